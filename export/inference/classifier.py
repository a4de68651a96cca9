"""Prediction with an exported file: needs onnxruntime, OpenCV and NumPy, but neither TensorFlow nor Keras."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np

from export.inference import content_digest
from export.inference.answer_html import answer_table
from export.inference.decision import UNCERTAIN, UNSUITABLE, by_threshold, decide
from export.inference.engine import Engine, resolve
from export.inference.inference_session import BROKEN, open_session, version_of_engine
from export.inference.onnx_metadata import SUBTYPES, Metadata, ModelFileError
from export.inference.picture_input import JPEG
from pneumo_tfds.decode import decode
from pneumo_tfds.decode.reasons import Reasons, reasons_to_doubt
from pneumo_tfds.program.errors import InputError, reason_of
from pneumo_tfds.program.machine_errors import is_about_memory
from pneumo_tfds.sources.inventory import LABELS, VIRUS_FROM

OUTPUTS = ("probability", "heatmap", "familiarity", "subtype")
IDENTITY_DIGITS = 12
ROUNDING = 1e-6  # by which a familiarity may lie outside 0 to 1


@dataclass(frozen=True)
class Prediction:
    """The model's answer for one image."""

    probability: float
    """P(PNEUMONIA), in 0 to 1."""
    decision: str
    """NORMAL, PNEUMONIA, UNCERTAIN or UNSUITABLE by the limits in the file (`export.inference.decision`). In two ways,
    or from a file without limits: PNEUMONIA when the probability is at least the threshold, else NORMAL."""
    threshold: float
    heatmap: np.ndarray | None
    """float32 [h, w] in logit units; its mean is the logit. None if the model has no heat map, and for an UNSUITABLE
    image, where it means nothing."""
    reasons: tuple[str, ...] = ()
    """Why it is UNCERTAIN or UNSUITABLE, and what else is unusual about the file, such as a DICOM header that names
    another body part. An array of pixels does not tell the latter: use `predict_bytes` or `predict_file`."""
    familiarity: float | None = None
    """How much the image looks like the training images, as the share of validation images that look less like them, in
    0 to 1; None if the model does not say."""
    viral: float | None = None
    """P(VIRUS), should it be a pneumonia, in 0 to 1 and not calibrated; None if the model does not say."""
    computed_heatmap: np.ndarray | None = field(default=None, repr=False)
    """The heat map, also of an UNSUITABLE image, for a caller that decides in two ways after all."""

    @property
    def subtype(self) -> str | None:
        """BACTERIA or VIRUS, the likelier, if the decision is PNEUMONIA and the model says. For research only."""
        if self.viral is None or self.decision != LABELS[1]:
            return None
        return by_threshold(SUBTYPES, self.viral, VIRUS_FROM)

    def subtype_fields(self) -> dict[str, Any]:
        """Return `subtype` and `subtype_probability`, None unless it is PNEUMONIA; nothing if the model has no such."""
        if self.viral is None:
            return {}
        probability = float(f"{max(self.viral, 1 - self.viral):.9g}")
        return {"subtype": self.subtype, "subtype_probability": probability if self.subtype else None}

    def _repr_html_(self) -> str:
        probability = None if self.decision == UNSUITABLE else self.probability
        figures = {"probability": probability, "familiarity": self.familiarity}
        figures |= {self.subtype: self.subtype_fields()["subtype_probability"]} if self.subtype else {}
        return answer_table(self.decision, figures, self.reasons)


class Classifier:
    """An exported model, ready to predict.

    >>> classifier = Classifier("runs/first/model.onnx")  # doctest: +SKIP
    >>> classifier.predict_file("chest.jpeg").decision  # doctest: +SKIP
    'PNEUMONIA'

    Args:
        path: the ONNX file, or the folder of a run, whose model.onnx is taken.
        threads: threads that compute; None for one per core.
        threshold: decision threshold in [0, 1]; None for the one in the file. Giving one implies `two_way`.
        two_way: decide NORMAL or PNEUMONIA by the threshold alone, whatever speaks against the image.
        providers: onnxruntime execution providers, such as `["CUDAExecutionProvider", "CPUExecutionProvider"]`.
        engine: what computes. Unlike the commands, this takes "auto" only if it is told to: answers of a program should
            not change, by the little that engines differ, when a library is installed.

    Raises:
        ModelFileError: the file is missing, damaged, not as it was exported, of another project, newer than this
            program, or the engine cannot compute it.
        InputError: the threshold is no number in [0, 1], `threads` is none from 1 on, a provider cannot be used here,
            or the engine is not known or not installed.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        threads: int | None = None,
        threshold: float | None = None,
        two_way: bool = False,
        providers: Sequence[str] = ("CPUExecutionProvider",),
        engine: Engine = "onnxruntime",
    ) -> None:
        self.path = content_digest.model_file(path)
        self.content = content_digest.read_content(self.path)
        """SHA-256 of the file, whether it ends with its digest, and whether it is an int8 file."""
        used = resolve(engine, is_int8=self.content.is_int8)
        self.session = open_session(self.path, threads=threads, providers=providers, engine=used)
        self.engine = f"{used} {version_of_engine(used)}"
        """What computes, such as `onnxruntime 1.32.0`."""
        try:
            props = dict(self.session.get_modelmeta().custom_metadata_map)
            inputs = {value.name: (value.type, value.shape[1:]) for value in self.session.get_inputs()}
            outputs = {value.name: value.type for value in self.session.get_outputs()}
            self._shapes = {value.name: tuple(value.shape[1:]) for value in self.session.get_outputs()}
        except UnicodeDecodeError as error:
            raise ModelFileError(f"{path} has names that are not text ({error}); export or copy it again") from error
        if JPEG in inputs:
            usual = self.path.with_name("model.onnx")
            raise ModelFileError(f"{path} takes pictures of any size, for programs without this decoder; give {usual}")
        content_digest.check_place(props, self.path, is_last=self.content.has_digest)
        self._outputs = [name for name, kind in outputs.items() if name in OUTPUTS and kind == "tensor(float)"]
        self.metadata = Metadata.from_props(props, str(path))
        self.threshold = self.metadata.threshold if threshold is None else threshold
        given: Any = self.threshold
        if not isinstance(given, Real) or not 0.0 <= self.threshold <= 1.0:
            raise InputError(f"threshold {threshold!r} is not in 0 to 1; give a probability")
        self.two_way = two_way or threshold is not None or not self.metadata.four_way
        self._limits = self.metadata.limits
        side, needs = self.image_size, {"probability"}
        if self._limits.familiarity_threshold is not None:
            needs.add("familiarity")
        if self.has_subtype:
            needs.add("subtype")
        if inputs != {"image": ("tensor(uint8)", [side, side, 1])} or not needs <= {*self._outputs}:
            raise ModelFileError(f"{path} has other tensors than its metadata says; export the run again")

    @property
    def image_size(self) -> int:
        """Side of the input in pixels."""
        return self.metadata.image_size

    @property
    def identity(self) -> str:
        """The first 12 hex digits of the file's SHA-256, by which answers name the model."""
        return self.content.sha256[:IDENTITY_DIGITS]

    @property
    def has_heatmap(self) -> bool:
        """Whether the model has a heat map as second output."""
        return "heatmap" in self._outputs

    @property
    def heatmap_shape(self) -> tuple[int, int] | None:
        """Height and width of its heat maps; None if it has none, or the file does not tell their size."""
        shape = self._shapes["heatmap"] if self.has_heatmap else ()
        return (shape[0], shape[1]) if [type(side) for side in shape] == [int, int] else None

    @property
    def has_familiarity(self) -> bool:
        """Whether the model says how much an image looks like the training images."""
        return "familiarity" in self._outputs

    @property
    def has_subtype(self) -> bool:
        """Whether the model says if a pneumonia is bacterial or viral."""
        return bool(self.metadata.subtypes)

    @property
    def answers(self) -> tuple[str, ...]:
        """The decisions that are possible, PNEUMONIA first."""
        return (*self.metadata.classes[::-1], *(() if self.two_way else (UNCERTAIN, UNSUITABLE)))

    @property
    def rule(self) -> str:
        """What the decisions are made by, in words."""
        limits = self._limits
        if self.two_way:
            return f"threshold {self.threshold:g}"
        low, high = limits.certain_normal_below, limits.certain_pneumonia_from
        return f"limit {low:.4g}" if low == high else f"limits {low:.4g} and {high:.4g}"

    def decode(self, data: bytes, name: str = "image", doubts: list[str] | None = None) -> np.ndarray:
        """Decode an encoded image as in training: uint8 `[S, S, 1]`, with the model's framing; raises `DecodeError`.

        What the file says of its picture and was not believed is added to `doubts`.
        """
        return decode(data, self.image_size, name, self.metadata.framing, doubts)

    def predict_batch(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Compute the raw outputs for a batch.

        Args:
            images: uint8 `[N, S, S, 1]`, as `decode` returns them; N at least 1.

        Returns:
            `probability` float32 `[N, 1]` and, if the model has them, `heatmap` float32 `[N, h, w]`, `familiarity` and
            `subtype` float32 `[N, 1]`.

        Raises:
            InputError: `images` has another dtype or shape.
            ModelFileError: the network in the file fails, or its outputs are invalid.
        """
        side = self.image_size
        if not isinstance(images, np.ndarray) or images.dtype != np.uint8:
            kind = getattr(images, "dtype", type(images).__name__)
            raise InputError(f"images are {kind}, not a uint8 array of grey levels 0 to 255; do not scale them")
        if images.ndim != 4 or images.shape[1:] != (side, side, 1) or not len(images):
            raise InputError(f"images have the shape {list(images.shape)}, not [N, {side}, {side}, 1]; use decode()")
        try:
            found = dict(zip(self._outputs, self.session.run(self._outputs, {"image": images}), strict=True))
        except BROKEN as error:
            if is_about_memory(error):
                raise
            reason = reason_of(error)
            raise ModelFileError(f"{self.path} cannot be run ({reason:.200}); export the run again") from error
        count = len(images)
        probabilities = [found[name] for name in ("probability", "subtype") if name in found]
        if not all(_are_shares(values, count) for values in probabilities):
            raise ModelFileError(f"{self.path} returns values that are not probabilities; export the run again")
        if "familiarity" in found and not _are_shares(found["familiarity"], count, ROUNDING):
            raise ModelFileError(f"{self.path} returns values that are not familiarities; export the run again")
        if "heatmap" in found and (found["heatmap"].ndim != 3 or len(found["heatmap"]) != count):
            raise ModelFileError(f"{self.path} returns values that are not heat maps; export the run again")
        return found

    def predict(self, images: np.ndarray, reasons: Sequence[Reasons] | None = None) -> list[Prediction]:
        """Return one `Prediction` for each image of a uint8 batch `[N, S, S, 1]`.

        Args:
            images: as `decode` returns them.
            reasons: of each image what `reasons` returned; None for pixels of which no file is known.

        Raises:
            InputError: as `predict_batch`, or there are more or fewer reasons than images.
            ModelFileError: as `predict_batch`.
        """
        if reasons is not None and len(reasons) != len(images):
            raise InputError(f"reasons are {len(reasons)}, and images {len(images)}; give one Reasons for each image")
        outputs, none = self.predict_batch(images), [None] * len(images)
        found = zip(
            outputs["probability"][:, 0].tolist(),
            *(outputs[name][:, 0].tolist() if name in outputs else none for name in ("familiarity", "subtype")),
            outputs.get("heatmap", none),
            [Reasons()] * len(images) if reasons is None else reasons,
            strict=True,
        )
        return [self._prediction(*each) for each in found]

    def _prediction(
        self,
        probability: float,
        familiarity: float | None,
        viral: float | None,
        heatmap: np.ndarray | None,
        reasons: Reasons,
    ) -> Prediction:
        decision, why = decide(self._limits, probability, familiarity, reasons.unfit)
        computed = heatmap
        if self.two_way:
            decision = by_threshold(self.metadata.classes, probability, self.threshold)
        elif decision == UNSUITABLE:
            heatmap = None
        why = (*why, *reasons.remarks)
        return Prediction(probability, decision, self.threshold, heatmap, why, familiarity, viral, computed)

    def predict_bytes(self, data: bytes, name: str = "image") -> Prediction:
        """Decode and predict one encoded image (JPEG, PNG, or DICOM with the extra); raises `DecodeError`."""
        doubts: list[str] = []
        pixels = self.decode(data, name, doubts)
        return self.predict(pixels[np.newaxis], [self.reasons(data, pixels, name, doubts)])[0]

    def reasons(self, data: bytes, pixels: np.ndarray, name: str = "image", doubts: Sequence[str] = ()) -> Reasons:
        """Return what is unusual about an encoded image, of which `decode` gave `pixels` and `doubts`."""
        paediatric = self.metadata.paediatric
        return reasons_to_doubt(data, pixels, name, doubts, model_side=self.image_size, paediatric=paediatric)

    def predict_file(self, path: str | os.PathLike[str]) -> Prediction:
        """Decode and predict one image file.

        Raises:
            InputError: the file cannot be read or decoded.
        """
        return self.predict_bytes(read_image(path), str(path))


def _are_shares(values: np.ndarray, count: int, slack: float = 0.0) -> bool:
    """Return whether these are as many values, `[count, 1]`, in 0 to 1, or outside by `slack` at most."""
    return values.shape == (count, 1) and bool(((values >= -slack) & (values <= 1 + slack)).all())


def read_image(path: str | os.PathLike[str]) -> bytes:
    """Return the bytes of an image file, or raise InputError if it cannot be read."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {reason_of(error)}; give an image file") from error
