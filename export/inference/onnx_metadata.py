"""What an exported file says of itself: written into, and read back from, ONNX `metadata_props`."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.files import JSON_SHAPE_ERRORS

FORMAT_VERSION = 1
"""Raised when an older reader would misread a newer file: another input, output or meaning of a key."""

LARGEST_SIDE = 2048
"""Pixels; datasets have no larger images either. What a stranger's file asks for is allocated."""

CLASSES = ("NORMAL", "PNEUMONIA")
"""Class names by label; the second one is positive, the one whose probability the file answers."""

RESIZE = "pneumo_tfds.decode: grey, scaled decode, area average to a square"
INTENDED_USE = "research only; paediatric; one hospital"
KEYS = (
    "classes",
    "image_size",
    "resize",
    "threshold",
    "threshold_rule",
    "dataset",
    "dataset_version",
    "metrics",
    "intended_use",
    "version",
)


class ModelFileError(InputError):
    """A file given as a model cannot be used as one: not ours, damaged, incomplete, or newer than this program."""


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """The facts a consumer of the file needs beside its tensors."""

    image_size: int
    """Side of the square input in pixels."""
    threshold: float
    """PNEUMONIA is decided when the probability is at least this; in [0, 1]."""
    threshold_rule: str
    """How the threshold was chosen, and on which split."""
    dataset: str
    """Name of the dataset the model was trained on, `phantom_...` for made images."""
    dataset_version: str
    metrics: Mapping[str, Any]
    """Split name to its headline figures, as `metrics.json` has them."""
    classes: tuple[str, ...] = CLASSES
    resize: str = RESIZE
    intended_use: str = INTENDED_USE
    version: int = FORMAT_VERSION
    """Version of this format, not of the model."""

    def to_props(self) -> dict[str, str]:
        """All keys as text; structured values are compact JSON with sorted keys, so equal facts give equal bytes."""
        return {
            "classes": json.dumps(list(self.classes)),
            "image_size": str(self.image_size),
            "resize": self.resize,
            "threshold": repr(float(self.threshold)),
            "threshold_rule": self.threshold_rule,
            "dataset": self.dataset,
            "dataset_version": self.dataset_version,
            "metrics": json.dumps(self.metrics, sort_keys=True, separators=(",", ":"), allow_nan=False),
            "intended_use": self.intended_use,
            "version": str(self.version),
        }

    @classmethod
    def from_props(cls, props: Mapping[str, str], name: str) -> Metadata:
        """Read what `to_props` wrote.

        Args:
            props: the file's `metadata_props`.
            name: the file's name, for messages.

        Raises:
            ModelFileError: keys are missing, a value cannot be read, or the file is of a newer version.
        """
        missing = [key for key in KEYS if key not in props]
        if len(missing) == len(KEYS):
            raise ModelFileError(
                f"{name} is an ONNX file but not one of this project; give one made by python -m export"
            )
        if "version" in props:
            _check_version(props["version"], name)
        for key in KEYS:
            if not props.get(key, "").isprintable():
                raise ModelFileError(f"{name} has control characters in its metadata {key}; export the run again")
        if missing:
            raise ModelFileError(f"{name} lacks the metadata {', '.join(missing)}; export the run again")
        found = cls(
            classes=_read(lambda text: tuple(json.loads(text)), props, "classes", name),
            image_size=_read(int, props, "image_size", name),
            resize=props["resize"],
            threshold=_read(float, props, "threshold", name),
            threshold_rule=props["threshold_rule"],
            dataset=props["dataset"],
            dataset_version=props["dataset_version"],
            metrics=_read(_finite_json, props, "metrics", name),
            intended_use=props["intended_use"],
            version=int(props["version"]),
        )
        if found.classes != CLASSES:
            raise ModelFileError(f"{name} has the classes {props['classes']}, not {json.dumps(CLASSES)}; export again")
        if not 0.0 <= found.threshold <= 1.0:
            raise ModelFileError(
                f"{name} has the threshold {props['threshold']}, not one in 0 to 1; export the run again"
            )
        if not 1 <= found.image_size <= LARGEST_SIDE or not isinstance(found.metrics, dict):
            raise ModelFileError(f"{name} has damaged metadata (image_size or metrics); export the run again")
        return found


def metadata_of_run(metrics: Mapping[str, Any], config: Mapping[str, Any], image_size: int, run: str) -> Metadata:
    """Gather the metadata from a run's `metrics.json` and `config.json`.

    Raises:
        InputError: there is no operating point in the metrics.
    """
    try:
        point = metrics["operating_point"]
        threshold, rule = float(point["threshold"]), str(point["rule"])
        chosen_on = str(point.get("chosen_on", "validation"))
    except JSON_SHAPE_ERRORS as error:
        raise InputError(f"{run}/metrics.json has no operating point; run python -m pipeline.evaluate {run}") from error
    if not (math.isfinite(threshold) and 0.0 <= threshold <= 1.0):
        raise InputError(f"{run}/metrics.json has the threshold {threshold}, not one in 0 to 1; evaluate the run again")
    dataset = metrics.get("dataset") or config.get("dataset") or {}
    if isinstance(dataset, str):
        dataset = {"name": dataset}
    try:
        return Metadata(
            image_size=image_size,
            threshold=threshold,
            threshold_rule=f"{rule} (chosen on {chosen_on})",
            dataset=str(dataset.get("name") or dataset.get("config") or "unknown"),
            dataset_version=str(dataset.get("version", "unknown")),
            metrics={split: _headline(figures) for split, figures in metrics.get("splits", {}).items()},
        )
    except JSON_SHAPE_ERRORS as error:
        raise InputError(f"{run}/metrics.json is not what evaluation writes ({error}); evaluate again") from error


def _headline(figures: Mapping[str, Any]) -> dict[str, float]:
    """The single numbers of a split's metrics, rounded to 6 digits: no intervals, no matrices."""
    numbers = {key: value for key, value in figures.items() if isinstance(value, int | float)}
    return {key: round(value, 6) for key, value in numbers.items() if math.isfinite(value)}


def _check_version(text: str, name: str) -> None:
    if not text.isdecimal() or len(text) > 9:
        raise ModelFileError(f"{name} has the metadata version {text!r:.60}, not a number; export the run again")
    if int(text) > FORMAT_VERSION:
        raise ModelFileError(
            f"{name} is of version {text}, newer than the {FORMAT_VERSION} this program reads; update it"
        )


def _finite_json(text: str) -> Any:
    def refuse(word: str) -> None:
        raise ValueError(f"{word} is no number that JSON has")

    return json.loads(text, parse_constant=refuse)


def _read(reader: Any, props: Mapping[str, str], key: str, name: str) -> Any:
    try:
        return reader(props[key])
    except (RecursionError, TypeError, ValueError) as error:
        raise ModelFileError(
            f"{name} has unreadable metadata {key}={props[key]!r:.60}; export the run again"
        ) from error
