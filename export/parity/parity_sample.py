"""The images a run was trained and judged on, for comparing files with Keras and for setting int8 ranges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pneumo_tfds.program.errors import InputError


@dataclass(frozen=True)
class Sample:
    """Some images of one split."""

    images: npt.NDArray[np.uint8]
    """`[n, S, S, 1]`"""
    labels: npt.NDArray[np.int64]
    """`[n]`, 1 PNEUMONIA"""


def dataset_folder(run: Path, config: Mapping[str, Any], metrics: Mapping[str, Any], given: Path | None) -> Path:
    """The built dataset of a run: as given, or as the run wrote it down.

    Raises:
        InputError: none of the places the run names exists any more.
    """
    if given is not None:
        if not given.is_dir():
            raise InputError(f"--dataset {given} is not a folder; give a built dataset, .../pneumo_tfds/CONFIG/VERSION")
        return given
    noted = metrics.get("dataset")
    places = [config.get("data", {}).get("dataset")]
    if isinstance(noted, Mapping):
        places += [noted.get(key) for key in ("folder", "path", "directory")]
    named = [Path(place) for place in places if place]
    for place in named:
        if place.is_dir():
            return place
    where = f"{named[0]} is gone" if named else "the run does not name it"
    raise InputError(
        f"{run}: the dataset to compare on was not found ({where}); build it again and give --dataset FOLDER"
    )


def take(dataset: Path, split: str, image_size: int, limit: int) -> Sample:
    """Images of a split, evenly spread over its records, so that the same call always gives the same ones.

    Args:
        dataset: folder of a dataset that `pneumo_tfds` built.
        split: `train`, `validation` or `test`.
        image_size: side the model wants.
        limit: how many at most; 0 for all.

    Raises:
        InputError: no such split, or images of another size.
    """
    examples = _splits(dataset, image_size, split)[split].examples
    count = len(examples.labels)
    rows = (
        np.arange(count) if not limit or limit >= count else np.linspace(0, count - 1, limit).round().astype(np.int64)
    )
    return Sample(examples.images[rows], examples.labels[rows])


def take_all(dataset: Path, split: str, image_size: int) -> Sample:
    """Every image of a split, or with `all` of the whole dataset, split after split; raises like `take`."""
    splits = _splits(dataset, image_size, split)
    chosen = [part.examples for name, part in splits.items() if split in ("all", name)]
    return Sample(
        np.concatenate([examples.images for examples in chosen]),
        np.concatenate([examples.labels for examples in chosen]),
    )


def _splits(dataset: Path, image_size: int, split: str) -> dict[str, Any]:
    """The splits of a dataset, after a look at whether it has `split` (or any, for `all`) and the right size."""
    from pipeline.data.split import open_splits

    splits: dict[str, Any] = open_splits(dataset)
    if split != "all" and split not in splits:
        raise InputError(f"{dataset} has no images in {split}, only in {', '.join(splits)}; build it again")
    held = next(iter(splits.values())).image_size
    if held != image_size:
        raise InputError(f"{dataset} holds images of {held} pixels, the model takes {image_size}; give another")
    return splits
