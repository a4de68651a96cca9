"""Experiments one after the other: `python -m pipeline.ladder --source PATH`, the original study's or our own recipe's.

Each experiment (`pipeline.ladder_rows`) changes one thing of the one it starts from, is trained from several seeds, and
is evaluated like every run of this project: threshold from validation, figures with intervals.

The study trained a four-block CNN with Keras's ImageDataGenerator and read its accuracy off the official test images;
its best experiment had 91.5 %. Its classification report exchanged the classes: its confusion matrix (190, 44, 9, 381)
has NORMAL where the text says pneumonia. With PNEUMONIA positive it has sensitivity 97.7 % and specificity 81.2 %.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge, Unit

from pipeline.config import RunConfig, WeightsError
from pipeline.ladder_rows import RECIPE, STUDY, STUDY_BASE, Experiment
from pneumo_tfds.program.bounds import Bounded
from pneumo_tfds.program.command import Command, own_flags_first, run
from pneumo_tfds.program.errors import InputError, require
from pneumo_tfds.program.files import write_csv_rows, write_text
from pneumo_tfds.program.quiet import quiet_tensorflow
from pneumo_tfds.sources.source_options import SourceOptions

STUDY_BEST = {"accuracy": 0.915, "sensitivity": 0.977, "specificity": 0.812}  # from its own confusion matrix
FIGURES = ("accuracy", "auroc", "sensitivity", "specificity")
SHIFTED = {  # column to the place of its figure of validation in robustness.json
    "shifted AUROC": ("mean", "auroc"),
    "shifted bal. acc.": ("mean", "balanced_accuracy"),
    "NORMAL changed, mean": ("mean", "auroc_normal_changed"),
    "NORMAL changed, worst": ("worst", "auroc_normal_changed"),
}
QUICK_SIZE = 75

Outcome = list[dict[str, Any]] | str
"""The figures of each seed of an experiment, or the reason why it was not run."""

LADDERS = {"study": (STUDY, STUDY_BASE), "recipe": (RECIPE, RunConfig())}
"""The experiments of each ladder, by name, and the settings that they start from."""


@own_flags_first
@dataclass(frozen=True, kw_only=True)
class Ladder(SourceOptions, Bounded, Command):
    """Train the experiments of the original study, or our recipe without each of its parts, and write one table.

    --out gets a run folder for each experiment and seed, ladder.csv and ladder.md. Finished runs are not trained again.
    """

    ladder: Literal["study", "recipe"] = "study"
    """study: the original study's experiments. recipe: the default recipe, and the effect of each of its parts."""
    model: str | None = None
    """Network of --ladder recipe, such as PACKAGE.MODULE:FUNCTION. Rows with settings that it lacks are left out."""
    source: Path | None = None
    """Folder or zip of chest X-rays. Default: phantoms, which only show that the ladder runs."""
    data_dir: Path | None = None
    """Where built datasets are kept. Default: TFDS's own folder, ~/tensorflow_datasets."""
    out: Path = Path("runs/ladder")
    """Folder of the runs and tables."""
    rows: tuple[str, ...] = ()
    """Names of the experiments to run. Default: all."""
    seeds: Annotated[int, Ge(1)] = 3
    """Number of seeds of each experiment."""
    epochs: Annotated[int, Ge(1)] = 10
    """Passes over the training images."""
    image_size: Annotated[int, Ge(0), Unit("pixels")] = 0
    """Side of the images, in pixels, where an experiment does not set it. 0: 150 for the study, 224 for the recipe."""
    pretrained_weights: str = "imagenet"
    """For the study's transfer experiments: imagenet, or the path of an InceptionV3 weights file."""
    quick: bool = False
    """Run one seed, one epoch and 75 pixels, without InceptionV3: shows in a few minutes that every experiment runs."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            self.model is None or self.ladder == "recipe", "model", self.model, "left out, unless --ladder is recipe"
        )
        unknown = [name for name in self.rows if name not in self.experiments]
        if unknown:
            raise InputError(f"--rows {unknown[0]}: there is no such row; rows are {', '.join(self.experiments)}")

    @property
    def experiments(self) -> dict[str, Experiment]:
        """All experiments of the ladder, by name; with a network of the user, those whose settings it takes."""
        found = LADDERS[self.ladder][0]
        if (own := self.base.model.own) is None:
            return found
        known = {"model", *own.defaults}
        return {name: row for name, row in found.items() if known.issuperset(row.changes.get("model", ()))}

    @property
    def base(self) -> RunConfig:
        """The settings that the ladder starts from."""
        base = LADDERS[self.ladder][1]
        return base if self.model is None else replace(base, model=replace(base.model, model=self.model))


def settings(name: str, command: Ladder) -> RunConfig:
    """Return the settings of an experiment: those of the one it starts from, with its own changes."""
    experiment = command.experiments[name]
    if experiment.start is not None:
        config = experiment.applied(settings(experiment.start, command))
    else:
        base = command.base
        size = command.image_size or base.data.image_size
        data = replace(
            base.data, source=command.source, data_dir=command.data_dir, image_size=size, **command.source_options()
        )
        config = experiment.applied(replace(base, data=data, fit=replace(base.fit, epochs=command.epochs)))
    if command.quick:
        config = replace(config, data=replace(config.data, image_size=QUICK_SIZE))
    if "pretrained_weights" in experiment.changes.get("model", {}) and config.model.pretrained_weights == "imagenet":
        config = replace(config, model=replace(config.model, pretrained_weights=command.pretrained_weights))
    return config


def run_ladder(command: Ladder) -> None:
    """Run the command."""
    quiet_tensorflow()
    from rich.console import Console
    from rich.table import Table

    names = command.rows or tuple(command.experiments)
    if command.quick:
        names = tuple(name for name in names if not name.startswith("transfer"))
        command = replace(command, seeds=1, epochs=1)
    outcomes: dict[str, Outcome] = {}
    for name in names:
        outcomes[name] = _outcome(command, name)
        write_tables(command, outcomes)  # after every experiment, so that a long ladder can be watched
    titles, lines = write_tables(command, outcomes)
    table = Table(*titles, title="Mean over seeds ± their standard deviation; PNEUMONIA is positive")
    for line in lines:
        table.add_row(*line)
    Console().print(table)
    print(f"Also in {command.out / 'ladder.md'} and {command.out / 'ladder.csv'}")


def _outcome(command: Ladder, name: str) -> Outcome:
    """Return the outcome of an experiment, after training what is not trained yet."""
    from pipeline.data.dataset import with_dataset
    from pipeline.run_folder.folder import RunFolder
    from pipeline.stages.fit_and_judge import fit_and_judge

    found: list[dict[str, Any]] = []
    for seed in range(command.seeds):
        config = settings(name, command)
        config = with_dataset(replace(config, fit=replace(config.fit, seed=seed)))
        folder = RunFolder(command.out / name / f"seed{seed}")
        with folder.locked():
            if folder.config.exists() and folder.read_config() != config:
                raise InputError(f"{folder.path} holds a run of other settings; remove it, or name another --out")
            folder.write_config(config)
            print(f"{name}, seed {seed}: {command.experiments[name].changed}", flush=True)
            try:
                fit_and_judge(folder, config)
            except WeightsError as error:
                return str(error)  # the table gets a row without figures, and the other rows are still run
            under_shift = folder.read_json_if_there(folder.robustness)
            found.append({**folder.read_json(folder.metrics), "shift": under_shift})
    return found


def write_tables(command: Ladder, outcomes: Mapping[str, Outcome]) -> tuple[list[str], list[list[str]]]:
    """Write `ladder.csv` and `ladder.md`; return their titles and their lines of as many cells."""
    recipe = command.ladder == "recipe"
    titles = ["row", "what it is", "split", *FIGURES, *(SHIFTED if recipe else ())]
    splits = ("validation",) if recipe else ("validation", "test")  # a recipe is not chosen on test
    lines = [_line(command, name, outcome, split) for name, outcome in outcomes.items() for split in splits]
    if not recipe:
        best = [f"{STUDY_BEST[figure]:.3f}" if figure in STUDY_BEST else "" for figure in FIGURES]
        lines.append(["study's best", "as it reported it, classes put right", "official test", *best])
    lines = [line + [""] * (len(titles) - len(line)) for line in lines]
    write_csv_rows(command.out / "ladder.csv", [titles, *lines])
    head, *body = (f"| {' | '.join(row)} |\n" for row in (titles, *lines))
    write_text(command.out / "ladder.md", f"{head}|{'---|' * len(titles)}\n{''.join(body)}")
    return titles, lines


def _line(command: Ladder, name: str, outcome: Outcome, split: str) -> list[str]:
    experiment = command.experiments[name]
    start = f"{experiment.start} + " if experiment.start and command.ladder == "study" else ""
    cells = [name, start + experiment.changed, split]
    if isinstance(outcome, str):
        return [*cells, f"not run: {outcome}"]
    scored = [metrics["splits"][split] for metrics in outcome if split in metrics["splits"]]
    if not scored:
        return [*cells, f"no {split} split was scored"]
    cells += [_mean_and_spread([figures[name] for figures in scored]) for name in FIGURES]
    if command.ladder == "recipe":
        cells += [_mean_and_spread([seed["shift"][part][name] for seed in outcome]) for part, name in SHIFTED.values()]
    return cells


def _mean_and_spread(values: Sequence[float | None]) -> str:
    """Return the mean and the sample standard deviation as text; a dash if a seed has no such figure."""
    from pipeline.report.report_tables import DASH, number

    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return DASH
    spread = f" ± {statistics.stdev(known):.3f}" if len(known) > 1 else ""
    return f"{number(statistics.fmean(known))}{spread}" if known else ""


if __name__ == "__main__":
    run(Ladder, run_ladder, prog="python -m pipeline.ladder")
