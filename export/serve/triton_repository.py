"""Writing a folder that Triton Inference Server can serve: `NAME/config.pbtxt` and `NAME/1/model.onnx`.

The configuration is text in the schema of Triton's `model_config.proto`. Triton serves the tensors of the file alone:
pixels in, and `probability`, `familiarity`, `heatmap` out. The limits that make a decision of them are in the
configuration's parameters (docs/reference/onnx-file.md has the rule); for two answers that is the threshold alone.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from export.inference.classifier import Classifier
from export.inference.onnx_metadata import LIMITS
from export.serve.batching import BatchLimits
from export.serve.served_models import VERSION
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.files import replacing, write_text

TYPES = {"tensor(uint8)": "TYPE_UINT8", "tensor(float)": "TYPE_FP32"}
TOLD = ("threshold", *LIMITS, "framing", "intended_use")
"""Metadata that a client of Triton needs, as parameters of the configuration."""


def write_repository(folder: Path, classifiers: Mapping[str, Classifier], batch: BatchLimits) -> list[Path]:
    """Write one folder for each model into a model repository, and return them.

    Raises:
        InputError: one of them exists already, or the folder cannot be written.
    """
    places = {name: folder / name for name in classifiers}
    for place in places.values():
        if place.exists():
            raise InputError(f"{place} exists already; remove it, or give another folder or name")
    for name, classifier in classifiers.items():
        with replacing(places[name] / VERSION / "model.onnx") as temporary:
            shutil.copyfile(classifier.path, temporary)
        write_text(places[name] / "config.pbtxt", configuration(name, classifier, batch))
    return list(places.values())


def configuration(name: str, classifier: Classifier, batch: BatchLimits) -> str:
    """Return the text of a model's `config.pbtxt`."""
    session, metadata = classifier.session, classifier.metadata
    told = {key: getattr(metadata, key) for key in TOLD if getattr(metadata, key) is not None}
    told["threshold"] = classifier.threshold
    if classifier.two_way:
        told = {key: value for key, value in told.items() if key not in LIMITS}
    return "\n".join([
        f"name: {json.dumps(name)}",
        'backend: "onnxruntime"',
        f"max_batch_size: {batch.largest}",
        *_tensors("input", session.get_inputs()),
        *_tensors("output", session.get_outputs()),
        f"dynamic_batching {{ max_queue_delay_microseconds: {round(batch.wait * 1e6)} }}",
        *(f'parameters {{ key: "{key}" value {{ string_value: {_quoted(value)} }} }}' for key, value in told.items()),
        "",
    ])  # fmt: skip


def _tensors(kind: str, values: Any) -> list[str]:
    """Return the lines of inputs or outputs; the first axis, the batch, is not named."""
    lines = []
    for value in values:
        sides = ", ".join(str(side) if isinstance(side, int) else "-1" for side in value.shape[1:])
        lines.append(f'{kind} {{ name: "{value.name}" data_type: {TYPES[value.type]} dims: [ {sides} ] }}')
    return lines


def _quoted(value: object) -> str:
    """Return a text for the protobuf text format, whose escapes JSON's are for ASCII."""
    return json.dumps(str(value), ensure_ascii=False)
