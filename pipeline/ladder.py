"""Experiments one after the other: `python -m pipeline.ladder --source PATH`, the original study's or our own recipe's.

Each row (`pipeline.ladder_rows`) changes one thing of the row it names, is trained from several seeds, and is judged
as every run of this project is: threshold from validation, figures with intervals. The study trained a four-block CNN
with Keras's ImageDataGenerator and read its accuracy off the official test images; its best row had 91.5 %. Its
classification report had the classes exchanged: its confusion matrix (190, 44, 9, 381) has NORMAL where the text says
pneumonia. With PNEUMONIA positive that row has sensitivity 97.7 % and specificity 81.2 %.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pipeline.config import RunConfig, WeightsError
from pipeline.ladder_rows import RECIPE, RECIPE_BASE, STUDY, STUDY_BASE, Row
from pneumo_tfds.program.command import Command, run
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.files import write_text
from pneumo_tfds.program.quiet import quiet_tensorflow

STUDY_BEST = {"accuracy": 0.915, "sensitivity": 0.977, "specificity": 0.812}  # from its own confusion matrix
FIGURES = ("accuracy", "auroc", "sensitivity", "specificity")
SHIFTED = {  # what robustness.json says of validation: column to where it is
    "shifted AUROC": ("mean", "auroc"),
    "shifted bal. acc.": ("mean", "balanced_accuracy"),
    "NORMAL changed, mean": ("mean", "auroc_normal_changed"),
    "NORMAL changed, worst": ("worst", "auroc_normal_changed"),
}
QUICK_SIZE = 75

Found = list[dict[str, Any]] | str
"""What the seeds of a row came to, or why it cannot be had."""

LADDERS: dict[str, tuple[dict[str, Row], RunConfig]] = {"study": (STUDY, STUDY_BASE), "recipe": (RECIPE, RECIPE_BASE)}


@dataclass(frozen=True, kw_only=True)
class Ladder(Command):
    """Train the experiments of the original study, or our recipe without each of its parts, and set them in one table.

    The folder gets a run folder for each row and seed, ladder.csv and ladder.md. Called again it goes on where it was.
    """

    ladder: Literal["study", "recipe"] = "study"
    """study: the original study's experiments. recipe: the default recipe, and what each part of it buys."""
    source: Path | None = None
    """Folder or zip of chest X-rays; without it phantoms, which only show that it runs."""
    data_dir: Path | None = None
    """Where built datasets are kept (default: TFDS's own)."""
    out: Path = Path("runs/ladder")
    """Folder of the runs and tables."""
    rows: tuple[str, ...] = ()
    """Only these rows, by name; all if none is named."""
    seeds: int = 3
    """Seeds of each row."""
    epochs: int = 10
    """Passes over the training patients."""
    image_size: int = 0
    """Side of the images where a row says nothing of it, pixels; 0 takes the ladder's own, 150 or 224."""
    pretrained_weights: str = "imagenet"
    """For the study's transfer rows: imagenet, or the path of an InceptionV3 weights file."""
    quick: bool = False
    """One seed, one epoch, 75 pixels and no InceptionV3: shows in a few minutes that every row runs."""

    def __post_init__(self) -> None:
        known = LADDERS[self.ladder][0]
        unknown = [name for name in self.rows if name not in known]
        if unknown:
            raise InputError(f"--rows {unknown[0]}: there is no such row; rows are {', '.join(known)}")
        if self.seeds < 1 or self.epochs < 1:
            raise InputError(f"--seeds and --epochs must be 1 or more, not {self.seeds} and {self.epochs}")


def settings(name: str, command: Ladder) -> RunConfig:
    """Give the settings of a row: those of the row it starts from, with its own changes."""
    row = LADDERS[command.ladder][0][name]
    if row.start is not None:
        config = row.applied(settings(row.start, command))
    else:
        base = LADDERS[command.ladder][1]
        size = command.image_size or base.data.image_size
        data = replace(base.data, source=command.source, data_dir=command.data_dir, image_size=size)
        config = row.applied(replace(base, data=data, fit=replace(base.fit, epochs=command.epochs)))
    if command.quick:
        config = replace(config, data=replace(config.data, image_size=QUICK_SIZE))
    if "pretrained_weights" in row.changes.get("model", {}) and config.model.pretrained_weights == "imagenet":
        config = replace(config, model=replace(config.model, pretrained_weights=command.pretrained_weights))
    return config


def climb(command: Ladder) -> None:
    """Run the command."""
    quiet_tensorflow()
    names = command.rows or tuple(LADDERS[command.ladder][0])
    if command.quick:
        names = tuple(name for name in names if not name.startswith("transfer"))
        command = replace(command, seeds=1, epochs=1)
    results: dict[str, Found] = {}
    for name, found in _results(command, names):
        results[name] = found
        _write(command, results)  # after every row, so that a long ladder can be watched
    _print(command, results)
    print(f"Also in {command.out / 'ladder.md'} and {command.out / 'ladder.csv'}")


def _results(command: Ladder, names: Sequence[str]) -> Iterator[tuple[str, Found]]:
    """Train what is not trained yet; yield what each row's seeds came to, or why it cannot be had."""
    from pipeline.data.dataset import with_dataset
    from pipeline.run_folder.folder import RunFolder
    from pipeline.stages.fit_and_judge import fit_and_judge

    for name in names:
        found: list[dict[str, Any]] = []
        reason = ""
        for seed in range(command.seeds):
            config = settings(name, command)
            config = with_dataset(replace(config, fit=replace(config.fit, seed=seed)))
            folder = RunFolder(command.out / name / f"seed{seed}")
            with folder.locked():
                if folder.config.exists() and folder.read_config() != config:
                    raise InputError(f"{folder.path} holds a run of other settings; remove it, or name another --out")
                folder.write_config(config)
                print(f"{name}, seed {seed}: {LADDERS[command.ladder][0][name].changed}", flush=True)
                try:
                    fit_and_judge(folder, config)
                except WeightsError as error:
                    reason = str(error)  # leaves a row without figures, not a ladder without rows
                    break
                under_shift = folder.read_json(folder.robustness) if folder.robustness.exists() else {}
                found.append({**folder.read_json(folder.metrics), "shift": under_shift})
        yield name, reason or found


def _cells(command: Ladder, name: str, found: Found, split: str) -> list[str]:
    row = LADDERS[command.ladder][0][name]
    start = f"{row.start} + " if row.start and command.ladder == "study" else ""
    head = [name, start + row.changed, split]
    if isinstance(found, str):
        return [*head, f"not run: {found}", *[""] * (len(_head(command)) - len(head) - 1)]
    cells = [
        _spread([metrics["splits"][split][figure] for metrics in found if split in metrics["splits"]])
        for figure in FIGURES
    ]
    if command.ladder == "recipe":
        cells += [_spread([run["shift"][part][figure] for run in found]) for part, figure in SHIFTED.values()]
    return [*head, *cells]


def _spread(values: Sequence[float]) -> str:
    import numpy as np

    if not values:
        return ""
    return f"{np.mean(values):.3f}" + (f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else "")


def _table(command: Ladder, results: Mapping[str, Found]) -> list[list[str]]:
    splits = ("validation", "test") if command.ladder == "study" else ("validation",)  # a recipe is not chosen on test
    lines = [_cells(command, name, found, split) for name, found in results.items() for split in splits]
    return [*lines, STUDY_LINE] if command.ladder == "study" else lines


def _head(command: Ladder) -> list[str]:
    return ["row", "what it is", "split", *FIGURES, *(SHIFTED if command.ladder == "recipe" else ())]


STUDY_LINE = ["study's best", "as it reported it, classes put right", "official test", *(
    f"{STUDY_BEST[figure]:.3f}" if figure in STUDY_BEST else "" for figure in FIGURES
)]  # fmt: skip


def _write(command: Ladder, results: Mapping[str, Found]) -> None:
    lines = [_head(command), *_table(command, results)]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    write_text(command.out / "ladder.csv", text.getvalue())
    marks = [
        f"| {' | '.join(lines[0])} |",
        f"|{'---|' * len(lines[0])}",
        *(f"| {' | '.join(line)} |" for line in lines[1:]),
    ]
    write_text(command.out / "ladder.md", "\n".join(marks) + "\n")


def _print(command: Ladder, results: Mapping[str, Found]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title="Mean over seeds ± their standard deviation; PNEUMONIA is positive")
    for title in _head(command):
        table.add_column(title)
    for line in _table(command, results):
        table.add_row(*line)
    Console().print(table)


if __name__ == "__main__":
    run(Ladder, climb, prog="python -m pipeline.ladder")
