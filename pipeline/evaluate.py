"""Evaluate a finished run again, or on other X-rays, or decide again: `python -m pipeline.evaluate RUN`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from annotated_types import Gt, Lt

from pipeline.config import EvaluationConfig
from pipeline.run_folder.folder import RunFolder
from pneumo_tfds.program.command import Command, own_flags_first, run
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.quiet import quiet_tensorflow
from pneumo_tfds.sources.source_options import SourceOptions


@own_flags_first
@dataclass(frozen=True, kw_only=True)
class Evaluate(SourceOptions, Command):
    """Score a run's model: figures with 95 % intervals, plots and report.html.

    Without --source, the run's own dataset is scored again and the files of the run folder are replaced. With --source,
    other X-rays are scored at the run's own threshold, into RUN/evaluation-NAME: the test split of the source if it
    has one, else all of its images. How many of them the run was trained on is said first. With --threshold-rule,
    --guarantee or --prevalence, threshold and limits are chosen again; network and calibration stay.
    """

    run_folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Folder of a finished run, such as runs/first."""
    source: Path | None = None
    """Other labelled X-rays to score: a folder, zip or CSV, or a known data set. A few images or one class will do."""
    by: tuple[str, ...] = ()
    """Columns of the source's table, or elements of its DICOM headers, such as age sex view: the figures of each group
    are shown, and the gaps that are more than chance. Ages are taken in decades."""
    also_judge: tuple[Path, ...] = ()
    """Other labelled X-rays with both classes, to stand beside the figures of the run's own dataset, in its report too.
    Each also gets RUN/evaluation-NAME, as with --source."""
    split: Literal["all", "train", "validation", "test", "held_out"] = "all"
    """Which split of the run's own dataset to score. all: every split but train."""
    threshold_rule: str | None = None
    """Choose the threshold again, by this rule: youden, or for example sensitivity>=0.95. It is carried into the run's
    lock, figures, report and ONNX files."""
    guarantee: str | None = None
    """Choose the limits of certain answers again, for example npv>=0.95,ppv>=0.9. Default: what the run was told."""
    prevalence: Annotated[float, Gt(0), Lt(1)] | None = None
    """The fraction of patients with pneumonia for that guarantee. Default: what the run was told."""
    on: Path | None = None
    """Choose again on these labelled X-rays of yours, as they are. Default: on the run's validation images."""
    show_names: bool = False
    """Show file names of errors and folders of settings in report.html. Such a page may name patients."""

    def __post_init__(self) -> None:
        if self.source and self.split != "all":
            raise InputError(f"--split {self.split} is of the run's own dataset; leave --split or --source out")
        self.require_a_source("--source or --on", named=bool(self.source or self.on))
        if self.also_judge and (self.source or self.decides):
            raise InputError(
                "--also-judge is beside the run's own dataset, at its threshold; name no --source, rule or --on"
            )
        if self.by and not self.source:
            raise InputError("--by is about the images of --source; name them")
        if self.decides and (self.source or self.split != "all"):
            raise InputError(
                "--threshold-rule, --guarantee, --prevalence and --on decide for the whole run; leave "
                "--source and --split out, and score other images afterwards"
            )
        if self.decides:
            EvaluationConfig(**self.requested)

    @property
    def requested(self) -> dict[str, Any]:
        """What is to be decided in another way."""
        named = {name: getattr(self, name) for name in ("threshold_rule", "guarantee", "prevalence")}
        return {name: value for name, value in named.items() if value is not None}

    @property
    def decides(self) -> bool:
        """Whether threshold and limits are to be chosen again."""
        return bool(self.requested or self.on)


def evaluate(command: Evaluate) -> None:
    """Score, draw and print."""
    folder = evaluated(command)
    from pipeline.report.terminal import show

    show(folder)


def evaluated(command: Evaluate) -> RunFolder:
    """Score and draw; return the folder with the result."""
    quiet_tensorflow()
    from pipeline.data.dataset import require_judgeable
    from pipeline.stages.also_judge import also_judge
    from pipeline.stages.evaluate_run import evaluate_elsewhere, evaluate_run

    if command.decides:
        from export.carry_decision import with_decision
        from pipeline.stages.decide_again import decide_again

        return decide_again(
            command.run_folder, command.requested, with_decision, command.on, command, show_names=command.show_names
        )
    if command.source is not None:
        return evaluate_elsewhere(
            command.run_folder, command.source, command, command.by, show_names=command.show_names
        )
    for other in command.also_judge:
        require_judgeable(other)
    folder = evaluate_run(command.run_folder, command.split, show_names=command.show_names)
    also_judge(folder, command.also_judge, show_names=command.show_names)
    return folder


if __name__ == "__main__":
    run(Evaluate, evaluate, prog="python -m pipeline.evaluate")
