"""The original study's experiments, one after the other: `python -m pipeline.ladder --source PATH`.

Each row changes one thing of the row it names, is trained from several seeds, and is judged as every run of this
project is: threshold from validation, figures with intervals. The study trained a four-block CNN with Keras's
ImageDataGenerator and read its accuracy off the official test images; its best row had 91.5 %. Its classification
report had the classes exchanged: its confusion matrix (190, 44, 9, 381) has NORMAL where the text says pneumonia. With
PNEUMONIA positive that row has sensitivity 97.7 % and specificity 81.2 %.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pipeline.config import AugmentConfig, DataConfig, EvaluationConfig, FitConfig, ModelConfig, RunConfig
from pneumo_tfds.command import Command, quiet_tensorflow, run
from pneumo_tfds.errors import InputError
from pneumo_tfds.files import write_text

STUDY_BEST = {"accuracy": 0.915, "sensitivity": 0.977, "specificity": 0.812}  # from its own confusion matrix
FIGURES = ("accuracy", "auroc", "sensitivity", "specificity")


@dataclass(frozen=True, kw_only=True)
class Ladder(Command):
    """Train each experiment of the original study from several seeds and set them in one table.

    The folder gets a run folder for each row and seed, ladder.csv and ladder.md. Called again it goes on where it was.
    """

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
    weights: str = "imagenet"
    """For the transfer rows: imagenet, or the path of an InceptionV3 weights file."""
    quick: bool = False
    """One seed, one epoch, 75 pixels and no transfer: shows in a minute or two that every row runs."""

    def __post_init__(self) -> None:
        unknown = [name for name in self.rows if name not in ROWS]
        if unknown:
            raise InputError(f"--rows {unknown[0]}: there is no such row; rows are {', '.join(ROWS)}")
        if self.seeds < 1 or self.epochs < 1:
            raise InputError(f"--seeds and --epochs must be 1 or more, not {self.seeds} and {self.epochs}")


@dataclass(frozen=True)
class Row:
    """One experiment: what it starts from and what it changes, in the study's order."""

    changed: str
    """For the table."""
    start: str | None = None
    """Name of the row it starts from."""
    data: Mapping[str, Any] = field(default_factory=dict)
    augment: bool | None = None
    model: Mapping[str, Any] = field(default_factory=dict)


ROWS: dict[str, Row] = {
    "base": Row("four-block CNN, 150 pixels, 5 % validation"),
    "augmented": Row("augmentation", "base", augment=True),
    "dropout": Row("dropout 20 %", "augmented", model={"dropout": 0.2}),
    "256": Row("256 pixels", "dropout", data={"image_size": 256}),
    "split": Row("20 % validation split", "dropout", data={"validation_fraction": 0.2}),
    "split-256": Row("20 % validation split", "256", data={"validation_fraction": 0.2}),
    "l1": Row("L1 1e-5", "split", model={"l1": 1e-5}),
    "l2": Row("L2 1e-4", "split", model={"l2": 1e-4}),
    "transfer": Row("InceptionV3, frozen", "split", model={"model": "inception_v3"}),
    "transfer-l1-l2": Row("L1 1e-5 and L2 1e-4", "transfer", model={"l1": 1e-5, "l2": 1e-4}),
}


def settings(name: str, command: Ladder) -> RunConfig:
    """Give the settings of a row: those of the row it starts from, with its own change."""
    row = ROWS[name]
    if row.start is None:
        # As the study had it: no standardization, no class weights, no average of weights, a constant-ish small rate.
        before = RunConfig(
            data=DataConfig(source=command.source, data_dir=command.data_dir, image_size=150, validation_fraction=0.05),
            augment=AugmentConfig(augment=False),
            model=ModelConfig(model="study", dropout=0.0, normalize=False),
            fit=FitConfig(epochs=command.epochs, average=0.0, class_weights=False, warmup=0.0, weight_decay=0.0),
            evaluation=EvaluationConfig(under_shift=False),
        )
    else:
        before = settings(row.start, command)
    model = dict(row.model)
    if model.get("model") == "inception_v3":
        model["weights"] = command.weights
    data = dict(row.data) | ({"image_size": 75} if command.quick else {})
    augment = before.augment if row.augment is None else AugmentConfig(augment=row.augment)
    return replace(before, data=replace(before.data, **data), augment=augment, model=replace(before.model, **model))


def climb(command: Ladder) -> None:
    """Run the command."""
    quiet_tensorflow()
    names = command.rows or tuple(ROWS)
    if command.quick:
        names = tuple(name for name in names if not name.startswith("transfer"))
        command = replace(command, seeds=1, epochs=1)
    results = dict(_results(command, names))
    _write(command.out, results)
    _print(results)


def _results(command: Ladder, names: Sequence[str]) -> Iterator[tuple[str, list[dict[str, Any]] | str]]:
    """Train what is not trained yet; yield each row's metrics by seed, or why it cannot be had."""
    from pipeline.run import RunFolder
    from pipeline.source import with_dataset
    from pipeline.train import fit_and_judge

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
                print(f"{name}, seed {seed}: {ROWS[name].changed}", flush=True)
                try:
                    fit_and_judge(folder, config)
                except InputError as error:
                    if config.model.weights == "none":
                        raise
                    reason = str(error)  # weights that cannot be had leave a row without figures, not a ladder
                    break
                found.append(folder.read_json(folder.metrics))
        yield name, reason or found


def _cells(name: str, found: list[dict[str, Any]] | str, split: str) -> list[str]:
    import numpy as np

    row = ROWS[name]
    start = f"{row.start} + " if row.start else ""
    if isinstance(found, str):
        return [name, start + row.changed, split, f"not run: {found}", *[""] * (len(FIGURES) - 1)]
    cells = []
    for figure in FIGURES:
        values = [metrics["splits"][split][figure] for metrics in found if split in metrics["splits"]]
        spread = f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else ""
        cells.append(f"{np.mean(values):.3f}{spread}" if values else "")
    return [name, start + row.changed, split, *cells]


def _table(results: Mapping[str, list[dict[str, Any]] | str]) -> list[list[str]]:
    return [_cells(name, found, split) for name, found in results.items() for split in ("validation", "test")]


HEAD = ["row", "what it is", "split", *FIGURES]
STUDY = ["study's best", "as it reported it, classes put right", "official test", *(
    f"{STUDY_BEST[figure]:.3f}" if figure in STUDY_BEST else "" for figure in FIGURES
)]  # fmt: skip


def _write(out: Path, results: Mapping[str, list[dict[str, Any]] | str]) -> None:
    lines = [HEAD, *_table(results), STUDY]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    write_text(out / "ladder.csv", text.getvalue())
    marks = [f"| {' | '.join(HEAD)} |", f"|{'---|' * len(HEAD)}", *(f"| {' | '.join(line)} |" for line in lines[1:])]
    write_text(out / "ladder.md", "\n".join(marks) + "\n")


def _print(results: Mapping[str, list[dict[str, Any]] | str]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title="Mean over seeds ± their standard deviation; PNEUMONIA is positive")
    for title in HEAD:
        table.add_column(title)
    for line in [*_table(results), STUDY]:
        table.add_row(*line)
    Console().print(table)


if __name__ == "__main__":
    run(Ladder, climb, prog="python -m pipeline.ladder")
