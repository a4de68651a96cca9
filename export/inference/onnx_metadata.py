"""Metadata of an exported file: written into, and read back from, ONNX's `metadata_props`."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from typing import Any

from pneumo_tfds.program.answers import Limits
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.files import JSON_SHAPE_ERRORS
from pneumo_tfds.program.framing_names import DEFAULT_FRAMING, FRAMINGS, Framing, as_framing
from pneumo_tfds.program.wording import quoted
from pneumo_tfds.sources.inventory import KINDS, LABELS

FORMAT_VERSION = 2
"""The newest that is read. Increased when an older reader would misread a newer file: another input, output or meaning
of a key. A file gets the lowest version whose readers understand it: 2 if its framing is not squeeze, it gives four
answers or it has the output `subtype`, else 1."""

SUBTYPES = tuple(kind.upper() for kind in KINDS)
"""What the output `subtype` tells apart: it is the probability of the second."""

LARGEST_SIDE = 2048
"""Pixels. A limit, because memory is allocated for whatever size a file of unknown origin names."""
FORCED = "made with --force"
"""In the guarantee of a file that was recalibrated on images it may not tell apart."""

RESIZE = "pneumo_tfds.decode: grey, scaled decode, area average to a square"
RESEARCH = "research only"
PAEDIATRIC = f"{RESEARCH}; paediatric; one hospital"
"""Intended use of models that were trained on the published archive of Kermany et al."""


class ModelFileError(InputError):
    """Raised for a model file that is damaged, incomplete, of another project, or newer than this program."""


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """What a user of the file needs to know besides its tensors."""

    classes: tuple[str, ...] = LABELS
    """Class names by label; the probability is that of the second one."""
    subtypes: tuple[str, ...] = ()
    """What the output `subtype` tells apart among images of the second class; empty if the file has none."""
    image_size: int
    """Side of the square input in pixels."""
    framing: Framing = DEFAULT_FRAMING
    """How a picture that is not square becomes one. Files without this key are squeeze."""
    resize: str = RESIZE
    threshold: float
    """The decision is PNEUMONIA if the probability is at least this; in [0, 1]."""
    threshold_rule: str
    """Rule that chose the threshold, and the split it was chosen on."""
    dataset: str
    """Name of the dataset the model was trained on, such as `pneumo_tfds/phantom_192` for drawn images."""
    dataset_version: str
    metrics: Mapping[str, Any]
    """Split name to its single figures from `metrics.json`."""
    intended_use: str = RESEARCH
    familiarity_threshold: float | None = None
    """UNSUITABLE below this familiarity; None if the file has no output `familiarity`."""
    certain_normal_below: float | None = None
    """NORMAL below this probability; None, as the next one, if the file knows NORMAL and PNEUMONIA alone."""
    certain_pneumonia_from: float | None = None
    """PNEUMONIA from this probability on, and UNCERTAIN between the two."""
    guarantee: str = ""
    """What holds for certain answers, in words, and what shows it."""
    training_manifest_sha256: str = ""
    """Identity of the images that the model was trained and chosen on; empty if it was not recorded."""
    pretrained_weights: Mapping[str, Any] | None = None
    """What training started from: `name`, and `sha256` and `license` as far as known; None if it was not recorded."""
    parent_sha256: str = ""
    """SHA-256 of the file that this one was made from; empty for the float32 file of an export, which has none."""
    made_with: str = ""
    """Versions of the programs that exported it, such as `pneumo 0.1.0, tensorflow 2.20.0`."""
    recalibrated: tuple[Mapping[str, Any], ...] = ()
    """For each recalibration by `export.recalibrate`, the first one first: of which file, and on what images."""
    reference: Mapping[str, Any] | None = None
    """How its answers to validation images are distributed (`export.inference.answer_reference`), to notice drift."""
    golden_tolerance: Mapping[str, float] | None = None
    """By how much the outputs of a float16 or int8 file may differ from those of `golden.npz`, which are float32's."""
    version: int = 1
    """Version of this format, not of the model."""

    @property
    def four_way(self) -> bool:
        """Whether the file gives four answers, and not NORMAL and PNEUMONIA alone."""
        return self.certain_normal_below is not None

    @property
    def limits(self) -> Limits:
        """The limits of the answers: of two answers both are the threshold.

        Raises:
            ValueError: they are not complete, not in 0 to 1, or out of order.
        """
        low, high, familiarity = self.certain_normal_below, self.certain_pneumonia_from, self.familiarity_threshold
        if low is None and high is None and familiarity is None:
            return Limits(self.threshold, self.threshold)
        if low is None or high is None:
            raise ValueError("one limit of an answer without the other")
        return Limits(low, high, familiarity)

    @property
    def paediatric(self) -> bool:
        """Whether the model was trained on children alone, as far as that is known."""
        return self.intended_use == PAEDIATRIC

    def to_props(self) -> dict[str, str]:
        """Return all keys as text; structured values are JSON with sorted keys: equal values give equal bytes."""
        props = {key: str(value) for key in KEYS if (value := getattr(self, key)) not in (None, "", ())}
        structured = [key for key in STRUCTURED if key in props]
        return {**props, "classes": json.dumps(list(self.classes))} | {
            key: json.dumps(getattr(self, key), sort_keys=True, separators=(",", ":"), allow_nan=False)
            for key in structured
        }

    @classmethod
    def from_props(cls, props: Mapping[str, str], name: str) -> Metadata:
        """Read the metadata that `to_props` wrote.

        Args:
            props: the file's `metadata_props`.
            name: the file's name, for messages.

        Raises:
            ModelFileError: keys are missing, a value cannot be read, or the file has a newer version or framing.
        """
        if not any(key in props for key in KEYS):
            raise ModelFileError(f"{name} is an ONNX file but not one of this project; give one of python -m export")
        if "version" in props:
            _check_version(props["version"], name)
        props = {**WHERE_ABSENT, **props}
        missing = [key for key in KEYS if key not in props]
        for key in KEYS:
            if not props.get(key, "").isprintable():
                raise ModelFileError(f"{name} has control characters in its metadata {key}; export the run again")
        if missing:
            raise ModelFileError(f"{name} lacks the metadata {', '.join(missing)}; export the run again")
        if props["framing"] not in FRAMINGS:
            raise ModelFileError(f"{name} has the framing {props['framing']:.40}, unknown here; update the program")
        values = {}
        for key in KEYS:
            try:
                values[key] = PARSERS.get(key, str)(props[key])
            except (AttributeError, RecursionError, TypeError, ValueError) as error:
                raise ModelFileError(
                    f"{name} has unreadable metadata {key}={props[key]!r:.60}; export the run again"
                ) from error
        found = cls(**values)
        if found.classes != LABELS:
            raise ModelFileError(f"{name} has the classes {props['classes']}, not {json.dumps(LABELS)}; export again")
        if found.subtypes not in ((), SUBTYPES):
            raise ModelFileError(f"{name} has the subtypes {props['subtypes']:.40}, unknown here; update the program")
        if not 0.0 <= found.threshold <= 1.0:
            raise ModelFileError(f"{name} has the threshold {props['threshold']}, not one in 0 to 1; export again")
        if not 1 <= found.image_size <= LARGEST_SIDE or not isinstance(found.metrics, dict):
            raise ModelFileError(f"{name} has damaged metadata (image_size or metrics); export the run again")
        try:
            _ = found.limits
        except ValueError as error:
            raise ModelFileError(f"{name} has {error}; export the run again") from error
        return found


KEYS = tuple(field.name for field in fields(Metadata))
STRUCTURED = ("subtypes", "metrics", "pretrained_weights", "recalibrated", "reference", "golden_tolerance")
"""Keys whose values are JSON objects or lists of them."""
LIMITS = tuple(field.name for field in fields(Limits))
WHERE_ABSENT: Mapping[str, str] = {
    "framing": DEFAULT_FRAMING,
    **dict.fromkeys((*LIMITS, "guarantee", "training_manifest_sha256", "pretrained_weights"), ""),
    **dict.fromkeys(("subtypes", "parent_sha256", "made_with", "recalibrated", "reference", "golden_tolerance"), ""),
}
"""Keys that a file may lack, and what that means."""


def metadata_of_run(metrics: Mapping[str, Any], image_size: int, run: str) -> Metadata:
    """Collect the metadata from a run's `metrics.json`.

    Raises:
        InputError: the metrics have no operating point, or are damaged.
    """
    try:
        point = metrics["operating_point"]
        threshold, rule = float(point["threshold"]), f"{point['rule']} (chosen on {point['chosen_on']})"
    except JSON_SHAPE_ERRORS as error:
        raise InputError(
            f"{run}/metrics.json has no operating point; run python -m pipeline.evaluate {quoted(run)}"
        ) from error
    if not 0.0 <= threshold <= 1.0:
        raise InputError(f"{run}/metrics.json has the threshold {threshold}, not one in 0 to 1; evaluate the run again")
    try:
        framing = as_framing(metrics["dataset"].get("framing", DEFAULT_FRAMING))
        doubt, splits = metrics.get("doubt"), metrics["splits"]
        subtypes = SUBTYPES if any("subtype" in figures for figures in splits.values()) else ()
        found = Metadata(
            image_size=image_size,
            framing=framing,
            version=1 if framing == DEFAULT_FRAMING and doubt is None and not subtypes else 2,
            subtypes=subtypes,
            threshold=threshold,
            threshold_rule=rule,
            dataset=str(metrics["dataset"]["name"]),
            dataset_version=str(metrics["dataset"]["version"]),
            intended_use=_intended_use(metrics["dataset"]),
            pretrained_weights=metrics.get("pretrained_weights"),
            metrics={split: _single_figures(figures) for split, figures in splits.items()},
        )
        if doubt is None:
            return found
        low, high, familiarity = (doubt[key] for key in LIMITS)
        limits = Limits(float(low), float(high), None if familiarity is None else float(familiarity))
        manifest = str(metrics["dataset"]["manifest_sha256"])
        return replace(found, **asdict(limits), guarantee=str(doubt["guarantee"]), training_manifest_sha256=manifest)
    except JSON_SHAPE_ERRORS as error:
        raise InputError(f"{run}/metrics.json is damaged ({error!r:.200}); evaluate the run again") from error


def of_smaller_file(
    props: Mapping[str, str], parent_sha256: str, earlier: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return the keys for a float16 or int8 file: a guarantee was shown for the float32 file, and not for this one.

    `parent_sha256` is that of the float32 file. `earlier` are the keys that the file had, if it exists already: its
    tolerance stays.
    """
    found = {**props, "parent_sha256": parent_sha256}
    if not props.get("guarantee", "none").startswith("none"):
        found["guarantee"] = f"of the float32 file, not shown for this one: {props['guarantee']}"
    return found | {key: value for key, value in (earlier or {}).items() if key == "golden_tolerance"}


def _intended_use(dataset: Mapping[str, Any]) -> str:
    """Return what is known of the people that a model of this dataset may be tried on."""
    layout, title = dataset.get("layout"), str(dataset.get("title") or "")
    if layout == "kermany":
        return PAEDIATRIC
    if dataset.get("phantom"):
        return f"{RESEARCH}; trained on drawn phantoms, not on X-rays"
    named = f" ({''.join(filter(str.isprintable, title))})" if title and layout not in ("folders", "table") else ""
    return f"{RESEARCH}; for people like those of its training data alone{named}"


def _single_figures(figures: Mapping[str, Any]) -> dict[str, float]:
    """Return the single numbers of a split's metrics, rounded to 6 digits: no intervals and no matrices."""
    numbers = {key: value for key, value in figures.items() if isinstance(value, int | float)}
    return {key: round(value, 6) for key, value in numbers.items() if math.isfinite(value)}


def _check_version(text: str, name: str) -> None:
    if not text.isdecimal() or len(text) > 9:
        raise ModelFileError(f"{name} has the metadata version {text!r:.60}, not a number; export the run again")
    if int(text) > FORMAT_VERSION:
        raise ModelFileError(
            f"{name} has version {text}, newer than the {FORMAT_VERSION} this program reads; update the program"
        )


_json = partial(json.loads, parse_constant=int)
"""Read JSON; `int` refuses NaN and Infinity, which JSON does not have."""

PARSERS: dict[str, Callable[[str], Any]] = {
    "classes": lambda text: tuple(_json(text)),
    "image_size": int,
    "framing": as_framing,
    "threshold": float,
    **dict.fromkeys(LIMITS, lambda text: float(text) if text else None),
    **dict.fromkeys(("pretrained_weights", "reference"), lambda text: {**_json(text)} if text else None),
    "golden_tolerance": lambda text: {key: float(value) for key, value in _json(text).items()} if text else None,
    "subtypes": lambda text: tuple(_json(text)) if text else (),
    "recalibrated": lambda text: tuple({**entry} for entry in _json(text)) if text else (),
    "metrics": _json,
    "version": int,
}
