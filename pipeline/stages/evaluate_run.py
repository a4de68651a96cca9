"""Evaluate a finished run again or on other images. Nothing is chosen here: the run's own threshold is applied."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pipeline.data.dataset import with_dataset
from pipeline.data.group_holdout import splits_of
from pipeline.data.split import Split, StoredSplit, open_splits
from pipeline.evaluation.predictions import as_written, read_csv
from pipeline.evaluation.scoring import Decision
from pipeline.networks.forward_pass import OutputsFn
from pipeline.run_folder.folder import RunFolder
from pipeline.run_folder.model_file import load_model
from pipeline.stages.illustrate import illustrate
from pipeline.stages.judge import predictions_of, write_scores
from pneumo_tfds.prepared import inspect
from pneumo_tfds.program.errors import InputError


def evaluate_run(
    run_dir: Path, source: Path | None = None, split: str = "all", *, show_names: bool = False
) -> RunFolder:
    """Score a run's model and write predictions, figures, plots and report.

    Args:
        run_dir: folder of a finished run.
        source: other X-rays to score, into a folder of their own inside the run folder; None scores the run's dataset.
        split: the split of the run's dataset to score; `all` is every split but train.
        show_names: show files and folders in the report.

    Returns:
        The folder that was written: that of the run, or `RUN/evaluation-NAME`.

    Raises:
        InputError: the run is not finished, or there is nothing to score.
    """
    run = RunFolder(run_dir)
    config, decision = run.read_config(), Decision.from_json(run.read_json(run.metrics), run.metrics)
    model = load_model(run.model)
    outputs = OutputsFn(model)
    if source:
        config = with_dataset(replace(config, data=replace(config.data, source=source, dataset=None)))
        splits = splits_of_other_images(config.data.built.folder)
        target, names = RunFolder(run.path / f"evaluation-{source.stem}"), list(splits)
    else:
        splits, target = splits_of(config.data), run
        names = [name for name in splits if split == name or (split == "all" and name != "train")]
        if not names:
            raise InputError(f"--split {split} is not in {config.data.dataset}; it has {', '.join(splits)}")
    with target.locked():
        tables = read_csv(target.predictions) if target is run and run.predictions.exists() else {}
        for name in names:
            examples = splits[name].examples
            tables[name] = predictions_of(examples, as_written(outputs.probabilities(examples.images)))
        if target is not run:
            target.write_config(config)
        write_scores(target, config, tables, decision)
        illustrate(target, model, splits, config.evaluation.evaluation_seed, show_names=show_names)
    return target


def splits_of_other_images(dataset: Path) -> dict[str, Split]:
    """Return the official test folder of another source, else all its images as one split: the model has seen none."""
    splits = open_splits(dataset)
    if "test" in splits and inspect(dataset).metadata.get("test_origin") == "official":
        return {"test": splits["test"]}
    files = tuple(file for split in splits.values() for file in split.files)
    size = next(iter(splits.values())).image_size
    return {"source": StoredSplit("source", files, sum(split.count for split in splits.values()), size)}
