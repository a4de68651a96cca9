"""Metadata for the exported files of a run, from all of its files that they speak of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pneumo_tfds
from export.inference.answer_reference import reference_of
from export.inference.onnx_metadata import Metadata, metadata_of_run
from pipeline.evaluation.predictions import read_csv
from pipeline.run_folder.folder import RunFolder
from pneumo_tfds.program.installed import version_of

SPLIT = "validation"
MAKERS = ("tensorflow", "keras", "tf2onnx", "onnx")
"""Packages that make the graph."""


def run_metadata(run: RunFolder, metrics: Mapping[str, Any], image_size: int) -> Metadata:
    """Return the metadata of a run with the content of its `metrics.json`, and how validation was answered, if known.

    Raises:
        InputError: the metrics have no operating point, or they or the predictions are damaged.
    """
    metadata = replace(metadata_of_run(metrics, image_size, str(run.path)), made_with=made_with())
    answers = read_csv(run.predictions, metrics).get(SPLIT) if run.predictions.is_file() else None
    if answers is None:
        return metadata
    known = None if metadata.limits.familiarity_threshold is None else answers.familiarity.tolist()
    return replace(metadata, reference=reference_of(metadata.limits, answers.probabilities.tolist(), known))


def made_with() -> str:
    """Return the versions of what makes the graph here and now."""
    makers = ", ".join(f"{name} {version_of(name)}" for name in MAKERS)
    return f"pneumo {pneumo_tfds.__version__}, {makers}"


def with_brightness(metadata: Metadata, brightness: Mapping[str, Any] | None) -> Metadata:
    """Add the distribution of the images' brightness to the reference, if both are there."""
    if metadata.reference is None or brightness is None:
        return metadata
    return replace(metadata, reference={**metadata.reference, "brightness": brightness})
