"""Comparison of an exported file with Keras: every difference is collected before the result is decided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.metrics import roc_auc_score

from export.inference.batched_answers import Answer, in_batches
from export.inference.decision import decide
from export.inference.golden import EDGES, edge_images, rows
from export.inference.inference_session import ORT_ERRORS, open_session
from pneumo_tfds.program.answers import Limits
from pneumo_tfds.program.errors import InputError, reason_of
from pneumo_tfds.program.progress import stage, track

Floats = npt.NDArray[np.float32]
Labels = Sequence[int] | npt.NDArray[np.int64]

BATCH_SIZES = (1, 2, 7, 64)
LARGE_BATCH = 64
SMALL_BATCH_IMAGES = 16  # images that are run in the small batches too; all images are run in the large ones
EDGE_FACTOR = 10
"""Times the budget of a probability or subtype that the edge cases may differ by. Noise and a checkerboard have the
steepest edges that can be: where a network crops to the lungs, rounding of the box by 2e-7 of the side moved them by
1.1e-5, and 852 X-rays by 4e-6 at most."""


class ParityError(InputError):
    """Raised when an exported file differs from its Keras model; the file was not written."""


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Largest differences from Keras that are allowed."""

    probability: float = 1e-5
    """Largest absolute difference of a probability on a real image; on the edge cases ten times that."""
    heatmap: float = 1e-4
    """Largest absolute difference of a heat map, as a fraction of its largest absolute value (or of 1, if larger)."""
    familiarity: float = 1e-3
    """Largest absolute difference of a familiarity: one of its steps. It moves by 2e-5 at most on 852 X-rays:
    the distance that it ranks is a sum of some 800 squares, whose rounding is magnified where many images are alike."""
    subtype: float = 1e-5
    """Largest absolute difference of the probability of a virus."""
    flips: float = 0.0
    """Largest fraction of the real images whose decision at the threshold may change, 0 to 1."""
    answers: float = 0.0
    """Largest fraction of the real images for which another of the four answers may be given, 0 to 1."""
    auroc: float = 0.003
    """Largest absolute difference of AUROC on the real images. Not smaller, because on a small split AUROC moves when
    two equal scores come to differ by 1e-7."""

    heatmap_optional: bool = False
    """Whether the file may lack the heat map."""


FLOAT32 = Budget()
REDUCED = Budget(
    probability=1.0, heatmap=0.25, familiarity=1.0, subtype=1.0, flips=0.01, answers=0.05, heatmap_optional=True
)
"""For float16 and int8: single probabilities may move, the ranking and the decisions may not. Answers may become
UNCERTAIN or certain where they are near a limit: of 852 X-rays with the default network, 1 in float16, and 27 or 16 in
int8 with the first convolution or the first four in float32. Its heat map differed by 0.01 of the largest value in
float16, and by 0.34 or 0.15 in int8; 0.25 parts maps that still show the same place from maps that do not."""


@dataclass
class Report:
    """Result of `compare`; `differences` is empty if the file passed."""

    budget: Budget
    images: int
    real_images: int
    batch_sizes: tuple[int, ...] = BATCH_SIZES
    max_abs_probability: float | None = None
    mean_abs_probability: float | None = None
    max_abs_heatmap: float | None = None
    max_abs_familiarity: float | None = None
    max_abs_subtype: float | None = None
    decision_flips: int | None = None
    answer_flips: int | None = None
    heatmap_left_out: bool = False
    auroc_keras: float | None = None
    auroc_file: float | None = None
    differences: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether no difference is over the budget."""
        return not self.differences

    def to_json(self) -> dict[str, Any]:
        """Return the entry of this file in `parity.json`."""
        return {"passed": self.passed, **asdict(self)}

    def summary(self) -> str:
        """Return the main figures in words."""
        if self.max_abs_probability is None:
            return "not compared"
        largest = f"{self.max_abs_probability:.2g} on {self.images} images"
        answers = "" if self.answer_flips is None else f" and {self.answer_flips} of the four answers"
        flips = f"; {self.decision_flips} of {self.real_images} decisions{answers} change" if self.real_images else ""
        return f"largest difference of a probability from Keras {largest}{flips}"


def compare(
    expected: Answer,
    file: Path,
    images: npt.NDArray[np.uint8],
    *,
    labels: Labels | None = None,
    threshold: float = 0.5,
    limits: Limits | None = None,
    budget: Budget = FLOAT32,
    threads: int | None = None,
    engine: str = "onnxruntime",
) -> Report:
    """Run a file on real images and edge cases, and collect every difference from Keras.

    Args:
        expected: Keras's outputs for a uint8 batch, output name to float32 array.
        file: the ONNX file to compare.
        images: real images, uint8 [n, S, S, 1]; n may be 0.
        labels: 1 for PNEUMONIA, one per image; without them AUROC is not compared.
        threshold: threshold of the decisions.
        limits: of the four answers; without them these are not compared.
        budget: largest differences allowed.
        threads: threads that compute the file; None for one per core.
        engine: what computes the file.

    Returns:
        Figures, and every difference over the budget. Batches of 1, 2, 7 and 64 are run, all images in those of 64.
    """
    side = images.shape[1]
    everything = np.concatenate([edge_images(side), images])
    report = Report(budget=budget, images=len(everything), real_images=len(images))
    with stage("Keras's answers to compare with"):
        truth = in_batches(expected, everything, LARGE_BATCH)
    session = open_session(file, threads=threads, engine=engine)
    if budget.heatmap_optional and "heatmap" not in [output.name for output in session.get_outputs()]:
        report.heatmap_left_out = truth.pop("heatmap", None) is not None
    _compare_signature(session, truth, side, report.differences)
    if report.differences:
        return report

    def answer(batch: npt.NDArray[np.uint8]) -> Mapping[str, Floats]:
        return dict(zip(truth, session.run(list(truth), {"image": batch}), strict=True))

    answers: dict[str, Floats] = {}
    for size in track(BATCH_SIZES, "Comparing the ONNX file with Keras"):
        part = everything if size == LARGE_BATCH else everything[: max(SMALL_BATCH_IMAGES, size)]
        try:
            answers = in_batches(answer, part, size)
        except ORT_ERRORS as error:
            report.differences.append(f"batches of {size} fail: {reason_of(error):.200}")
            continue
        _compare_values(answers, {name: value[: len(part)] for name, value in truth.items()}, size, report)
    if len(answers.get("probability", ())) == len(everything) and len(images):
        real = slice(len(everything) - len(images), None)
        truth, answers = ({name: values[real] for name, values in each.items()} for each in (truth, answers))
        _compare_decisions(truth["probability"][:, 0], answers["probability"][:, 0], labels, threshold, report)
        if limits is not None:
            _compare_answers(truth, answers, limits, report)
    return report


def _compare_signature(session: Any, truth: Mapping[str, Floats], side: int, differences: list[str]) -> None:
    inputs = [(value.name, value.type, value.shape[1:]) for value in session.get_inputs()]
    if inputs != [("image", "tensor(uint8)", [side, side, 1])]:
        differences.append(f"the input is {inputs}, not image uint8 [N, {side}, {side}, 1]")
    batch = [value.shape[0] for value in (*session.get_inputs(), *session.get_outputs())]
    if any(isinstance(size, int) for size in batch):
        differences.append(f"the batch is fixed: {batch}")
    outputs = {value.name: (value.type, value.shape[1:]) for value in session.get_outputs()}
    if list(outputs) != list(truth):
        differences.append(f"the outputs are {list(outputs)}, not {list(truth)}")
    for name in outputs.keys() & truth.keys():
        expected = ("tensor(float)", list(truth[name].shape[1:]))
        if outputs[name] != expected:
            differences.append(f"{name} is {outputs[name]}, not {expected}")


def _compare_values(answers: Mapping[str, Floats], truth: Mapping[str, Floats], size: int, report: Report) -> None:
    for name, actual in answers.items():
        expected = truth[name]
        if actual.shape != expected.shape or actual.dtype != expected.dtype:
            found, wanted = f"{actual.dtype}{actual.shape}", f"{expected.dtype}{expected.shape}"
            report.differences.append(f"{name} is {found} in batches of {size}, not {wanted}")
            continue
        if not np.isfinite(actual).all():
            report.differences.append(f"{name} is not finite in batches of {size}")
            continue
        gaps = np.abs(actual.astype(np.float64) - expected)
        largest = float(gaps.max())
        allowed: float = getattr(report.budget, name)
        if name == "probability":
            report.mean_abs_probability = float(gaps.mean())
        if name in ("probability", "subtype"):
            gaps[: len(EDGES)] /= EDGE_FACTOR
        figure = f"max_abs_{name}"
        setattr(report, figure, max(largest, getattr(report, figure) or 0.0))
        if name == "heatmap":
            allowed *= max(1.0, float(np.abs(expected).max()))
        elif actual.min() < 0 or actual.max() > 1:
            report.differences.append(f"a {name} is outside 0 to 1 in batches of {size}")
        if gaps.max() > allowed:
            gap = f"{name} differs from Keras by {largest:.3g}"
            report.differences.append(f"{gap} in batches of {size} (allowed: {allowed:.3g})")


def _compare_decisions(
    expected: Floats, actual: Floats, labels: Labels | None, threshold: float, report: Report
) -> None:
    budget, precise = report.budget, expected.astype(np.float64)
    flipped = (precise >= threshold) != (actual.astype(np.float64) >= threshold)
    report.decision_flips = flips = int(flipped.sum())
    if budget.flips == 0:  # within the probability budget of the threshold, rounding alone may flip a decision
        flipped &= np.abs(precise - threshold) > budget.probability
    if flipped.sum() > budget.flips * len(expected):
        allowed = f"allowed: {int(budget.flips * len(expected))}"
        report.differences.append(f"{flips} of {len(expected)} decisions change at threshold {threshold:g} ({allowed})")
    if labels is None or len(np.unique(labels)) < 2:
        return
    report.auroc_keras = float(roc_auc_score(labels, expected))
    report.auroc_file = float(roc_auc_score(labels, actual))
    if abs(report.auroc_file - report.auroc_keras) > report.budget.auroc:
        report.differences.append(f"AUROC is {report.auroc_file:.5f}; with Keras it is {report.auroc_keras:.5f}")


def _compare_answers(
    expected: Mapping[str, Floats], actual: Mapping[str, Floats], limits: Limits, report: Report
) -> None:
    pairs = list(zip(rows(expected), rows(actual), strict=True))
    flipped = [row for row, other in pairs if decide(limits, *row)[0] != decide(limits, *other)[0]]
    report.answer_flips = flips = len(flipped)
    if report.budget.answers == 0:  # as for the decisions
        flipped = [row for row in flipped if not limits.near(*row, tolerance=report.budget.familiarity)]
    if len(flipped) > report.budget.answers * len(pairs):
        report.differences.append(f"{flips} of {len(pairs)} of the four answers change")
