"""Judge a finished run once more, or on other X-rays: `python -m pipeline.evaluate RUN`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from pneumo_tfds.program.command import Command, quiet_tensorflow, run
from pneumo_tfds.program.errors import InputError

if TYPE_CHECKING:
    from pipeline.data.split import Split


@dataclass(frozen=True, kw_only=True)
class Evaluate(Command):
    """Score a run's model: figures with 95 % intervals, plots and report.html.

    Without --source the run's own dataset is scored again, in the run folder. With --source the images given are scored
    by the operating point the run already has, into RUN/evaluation-NAME: the test folder of the source if it has one,
    else all of its images.
    """

    run_folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Folder of a finished run, such as runs/first."""
    source: Path | None = None
    """Other X-rays to score: a folder or zip with NORMAL and PNEUMONIA."""
    split: Literal["all", "train", "validation", "test", "held_out"] = "all"
    """Which split of the run's own dataset to score; all is every split but train."""
    show_names: bool = False
    """Name the file of each mistake in report.html, and the folders in its settings. Such a page may name patients."""


def evaluate(command: Evaluate) -> None:
    """Run the command: nothing is chosen here, the run's own choice is applied."""
    quiet_tensorflow()
    from pipeline.data.dataset import with_dataset
    from pipeline.data.group_holdout import splits_of
    from pipeline.data.split import open_splits
    from pipeline.evaluation.predictions import as_written, read_csv
    from pipeline.evaluation.scoring import Decision
    from pipeline.networks.forward_pass import Answers
    from pipeline.report.terminal import show
    from pipeline.run_folder.folder import RunFolder
    from pipeline.run_folder.model_file import load_model
    from pipeline.stages.illustrate import illustrate
    from pipeline.stages.judge import predictions_of, write_scores

    trained = RunFolder(command.run_folder)
    config, decision = trained.read_config(), Decision.from_json(trained.read_json(trained.metrics), trained.metrics)
    model = load_model(trained.model)
    ask = Answers(model)
    if command.source:
        config = with_dataset(replace(config, data=replace(config.data, source=command.source, dataset=None)))
        splits = _as_one(open_splits(config.data.built.folder), config.data.built.folder)
        target, chosen = RunFolder(trained.path / f"evaluation-{command.source.stem}"), list(splits)
    else:
        splits = splits_of(config.data)
        chosen = [name for name in splits if command.split == name or (command.split == "all" and name != "train")]
        target = trained
        if not chosen:
            raise InputError(f"--split {command.split} is not in {config.data.dataset}; it has {', '.join(splits)}")
    with target.locked():
        tables = read_csv(target.predictions) if target is trained and trained.predictions.exists() else {}
        for name in chosen:
            examples = splits[name].examples
            tables[name] = predictions_of(examples, as_written(ask.probabilities(examples.images)))
        if target is not trained:
            target.write_config(config)
        write_scores(target, config, tables, decision)
        illustrate(target, model, splits, config.evaluation.evaluation_seed, show_names=command.show_names)
    show(target)


def _as_one(splits: dict[str, Split], dataset: Path) -> dict[str, Split]:
    """Give the official test folder of another source, or all its images as one split: to a model they are all new."""
    from pipeline.data.split import Split
    from pneumo_tfds.prepared import inspect

    if "test" in splits and inspect(dataset).metadata.get("test_origin") == "official":
        return {"test": splits["test"]}
    files = tuple(file for split in splits.values() for file in split.files)
    size = next(iter(splits.values())).image_size
    return {"source": Split("source", files, sum(split.count for split in splits.values()), size)}


if __name__ == "__main__":
    run(Evaluate, evaluate, prog="python -m pipeline.evaluate")
