"""X-rays of another source than a run's own: opened to be scored, and compared with what the run was trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipeline.config import RunConfig
from pipeline.data.dataset import with_images_to_score
from pipeline.data.split import Split, open_splits
from pipeline.report.reader_warnings import overlap_sentences
from pipeline.stages.training_overlap import training_overlap
from pneumo_tfds.prepared import inspect
from pneumo_tfds.sources.source_options import SourceOptions


@dataclass(frozen=True)
class OtherSource:
    """A built dataset of another source."""

    config: RunConfig
    """The run's settings, with this dataset as its data."""
    split: Split
    """The images to score."""
    metadata: Mapping[str, Any]
    """What the dataset records of the source."""


def open_other_source(own: RunConfig, source: Path, options: SourceOptions, name: str) -> OtherSource:
    """Build the dataset of another source, unless that is done, and open its images as a split of this name.

    Raises:
        InputError: the source cannot be read or needs a decision.
    """
    config = with_images_to_score(own, source, options)
    folder = config.data.built.folder
    (found,) = open_splits(folder).values()
    return OtherSource(config, replace(found, name=name), inspect(folder).metadata)


def print_overlap(own: RunConfig, metrics: Mapping[str, Any], other: OtherSource) -> dict[str, Any]:
    """Print how many of the images a run was trained on, and return what `training_overlap` found."""
    manifest_sha256 = metrics.get("dataset", {}).get("manifest_sha256")
    overlap = training_overlap(own.data, manifest_sha256, other.config.data, other.split)
    print("\n".join(overlap_sentences(overlap, other.split.count)), flush=True)
    return overlap
