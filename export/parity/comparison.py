"""Whether an exported file answers as Keras does: one function that collects every difference before it judges."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from export.inference.classifier import ORT_ERRORS, open_session
from export.inference.edge_cases import edge_images
from pneumo_tfds.program.errors import InputError

Answer = Callable[[npt.NDArray[np.uint8]], Mapping[str, npt.NDArray[np.float32]]]

BATCH_SIZES = (1, 2, 7, 64)
LARGE_BATCH = 64
SMALL_BATCH_IMAGES = 16  # how many images go through in the small batches too; all go through in the large one


class ParityError(InputError):
    """An exported file does not answer as its Keras model does, so it was not given its name."""


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How far a file may be from Keras."""

    probability: float = 1e-5
    """Largest |Δp| on any image."""
    heatmap: float = 1e-4
    """Largest |Δheatmap|, as a part of the largest |heatmap| (or of 1, if that is more)."""
    flips: float = 0.0
    """Largest part of the real images whose decision may change, 0 to 1."""
    auroc: float = 0.003
    """Largest |ΔAUROC| on the real images; not less, as equal scores that part by 1e-7 move it on a small split."""


FLOAT32 = Budget()
REDUCED = Budget(probability=1.0, heatmap=1.0, flips=0.01)
"""For float16 and int8: single probabilities may move, the ranking and the decisions may not."""


@dataclass
class Report:
    """What `compare` found; `differences` is empty when the file may have its name."""

    budget: Budget
    images: int
    real_images: int
    batch_sizes: tuple[int, ...] = BATCH_SIZES
    max_abs_probability: float | None = None
    mean_abs_probability: float | None = None
    max_abs_heatmap: float | None = None
    decision_flips: int | None = None
    auroc_keras: float | None = None
    auroc_file: float | None = None
    differences: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether no difference is over budget."""
        return not self.differences

    def to_json(self) -> dict[str, Any]:
        """What `parity.json` holds of this file."""
        return {"passed": self.passed, **asdict(self)}

    def summary(self) -> str:
        """One line for a person."""
        if self.max_abs_probability is None:
            return "not compared"
        flips = f", {self.decision_flips} of {self.real_images} decisions flipped" if self.real_images else ""
        return f"max |Δp| {self.max_abs_probability:.2g} over {self.images} images{flips}"


def compare(
    expected: Answer,
    file: Path,
    images: npt.NDArray[np.uint8],
    *,
    labels: Sequence[int] | npt.NDArray[np.int64] | None = None,
    threshold: float = 0.5,
    budget: Budget = FLOAT32,
    threads: int = 0,
) -> Report:
    """Run a file on real and edge images and collect every difference from what is expected.

    Args:
        expected: Keras's answer to a uint8 batch, output name to float32 array.
        file: the ONNX file to judge.
        images: real images, uint8 [n, S, S, 1]; n may be 0.
        labels: 1 for PNEUMONIA, one for each image; without them AUROC is not compared.
        threshold: decisions are made at it.
        budget: what is allowed.
        threads: of onnxruntime; 0 for every core.

    Returns:
        Figures and every difference over budget. Batches of 1, 2, 7 and 64 are run, all images in those of 64.
    """
    side = images.shape[1]
    everything = np.concatenate([edge_images(side), images])
    report = Report(budget=budget, images=len(everything), real_images=len(images))
    truth = _in_batches(expected, everything, LARGE_BATCH)
    session = open_session(file, threads=threads)
    _compare_signature(session, truth, side, report.differences)
    if report.differences:
        return report
    names = list(truth)
    answers: dict[str, npt.NDArray[np.float32]] = {}
    for size in BATCH_SIZES:
        part = everything if size == LARGE_BATCH else everything[: max(SMALL_BATCH_IMAGES, size)]
        try:
            answers = _in_batches(
                lambda batch: dict(zip(names, session.run(names, {"image": batch}), strict=True)), part, size
            )
        except ORT_ERRORS as error:
            report.differences.append(f"batches of {size} fail: {' '.join(str(error).split()):.200}")
            continue
        _compare_values(answers, {name: value[: len(part)] for name, value in truth.items()}, size, report)
    if len(answers.get("probability", ())) == len(everything) and len(images):
        real = slice(len(everything) - len(images), None)
        _compare_decisions(truth["probability"][real, 0], answers["probability"][real, 0], labels, threshold, report)
    return report


def _in_batches(answer: Answer, images: npt.NDArray[np.uint8], size: int) -> dict[str, npt.NDArray[np.float32]]:
    parts = [answer(images[start : start + size]) for start in range(0, len(images), size)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _compare_signature(session: Any, truth: Mapping[str, npt.NDArray[np.float32]], side: int, found: list[str]) -> None:
    inputs = [(value.name, value.type, value.shape[1:]) for value in session.get_inputs()]
    if inputs != [("image", "tensor(uint8)", [side, side, 1])]:
        found.append(f"the input is {inputs}, not image uint8 [N, {side}, {side}, 1]")
    batch = [value.shape[0] for value in (*session.get_inputs(), *session.get_outputs())]
    if any(isinstance(size, int) for size in batch):
        found.append(f"the batch is fixed: {batch}")
    outputs = {value.name: (value.type, value.shape[1:]) for value in session.get_outputs()}
    if list(outputs) != list(truth):
        found.append(f"the outputs are {list(outputs)}, not {list(truth)}")
    for name in outputs.keys() & truth.keys():
        wanted = ("tensor(float)", list(truth[name].shape[1:]))
        if outputs[name] != wanted:
            found.append(f"{name} is {outputs[name]}, not {wanted}")


def _compare_values(
    answers: Mapping[str, npt.NDArray[np.float32]],
    truth: Mapping[str, npt.NDArray[np.float32]],
    size: int,
    report: Report,
) -> None:
    for name, found in answers.items():
        wanted = truth[name]
        if found.shape != wanted.shape or found.dtype != wanted.dtype:
            report.differences.append(
                f"{name} is {found.dtype}{found.shape} in batches of {size}, not {wanted.dtype}{wanted.shape}"
            )
            continue
        if not np.isfinite(found).all():
            report.differences.append(f"{name} is not finite in batches of {size}")
            continue
        gaps = np.abs(found.astype(np.float64) - wanted)
        largest = float(gaps.max())
        if name == "probability":
            allowed = report.budget.probability
            report.max_abs_probability = max(largest, report.max_abs_probability or 0.0)
            report.mean_abs_probability = float(gaps.mean())
            if found.min() < 0 or found.max() > 1:
                report.differences.append(f"a probability is outside 0 to 1 in batches of {size}")
        else:
            allowed = report.budget.heatmap * max(1.0, float(np.abs(wanted).max()))
            report.max_abs_heatmap = max(largest, report.max_abs_heatmap or 0.0)
        if largest > allowed:
            report.differences.append(f"max |Δ{name}| is {largest:.3g} in batches of {size}, over {allowed:.3g}")


def _compare_decisions(
    wanted: npt.NDArray[np.float32],
    found: npt.NDArray[np.float32],
    labels: Sequence[int] | npt.NDArray[np.int64] | None,
    threshold: float,
    report: Report,
) -> None:
    budget = report.budget
    flipped = (wanted.astype(np.float64) >= threshold) != (found.astype(np.float64) >= threshold)
    on_the_edge = np.abs(wanted.astype(np.float64) - threshold) <= budget.probability
    report.decision_flips = int(flipped.sum())
    unexcused = flipped & ~on_the_edge if budget.flips == 0 else flipped
    if unexcused.sum() > budget.flips * len(wanted):
        report.differences.append(f"{report.decision_flips} of {len(wanted)} decisions flip at threshold {threshold:g}")
    if labels is None or len(np.unique(labels)) < 2:
        return
    from sklearn.metrics import roc_auc_score

    report.auroc_keras = float(roc_auc_score(labels, wanted))
    report.auroc_file = float(roc_auc_score(labels, found))
    if abs(report.auroc_file - report.auroc_keras) > report.budget.auroc:
        report.differences.append(f"AUROC is {report.auroc_file:.5f}, Keras's {report.auroc_keras:.5f}")
