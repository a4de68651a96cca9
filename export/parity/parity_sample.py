"""Images of the dataset that a run was trained on: for comparing files with Keras, and for int8's value ranges."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.config import DataConfig
from pipeline.data.group_holdout import splits_of
from pipeline.data.split import Examples, Split, check_framing, open_splits
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.framing_names import DEFAULT_FRAMING


def dataset_folder(run: Path, config: Mapping[str, Any], given: Path | None) -> Path:
    """Return the built dataset to compare on: `given`, or the one that the run's config.json names.

    Raises:
        InputError: the folder does not exist, or `given` was made with another framing than the run's dataset.
    """
    data = config.get("data", {})
    if given is not None:
        if not given.is_dir():
            raise InputError(f"--dataset {given} is not a folder; give a built dataset, .../pneumo_tfds/CONFIG/VERSION")
        check_framing(given, data.get("framing", DEFAULT_FRAMING), "give another --dataset")
        return given
    named = data.get("dataset")
    if named and Path(named).is_dir():
        return Path(named)
    reason = f"{named} is gone" if named else "config.json does not name it"
    raise InputError(
        f"{run}: the dataset to compare on was not found ({reason}); build it again and give --dataset FOLDER"
    )


def take(dataset: Path, split: str, image_size: int, limit: int = 0) -> Examples:
    """Return images of a split, evenly spread over its records, so that the same call always returns the same ones.

    Args:
        dataset: folder of a dataset that `pneumo_tfds` built.
        split: `train`, `validation` or `test`; `all` for the whole dataset, split after split.
        image_size: side of the model's input, pixels.
        limit: maximum number of images of each split; 0 takes all.

    Raises:
        InputError: the dataset has no such split, or images of another size.
    """
    splits = open_splits(dataset)
    if split != "all" and split not in splits:
        raise InputError(f"{dataset} has no images in {split}, only in {', '.join(splits)}; build it again")
    held = next(iter(splits.values())).image_size
    if held != image_size:
        raise InputError(
            f"{dataset} has images of {held} pixels, but the model takes {image_size}; give another --dataset"
        )
    return Examples.concatenate([_spread(part, limit) for name, part in splits.items() if split in ("all", name)])


def trained_on(data: DataConfig, limit: int = 0) -> Examples:
    """Return at most `limit` of the images that a run was trained on, evenly spread over them; 0 returns all.

    Images that the run held out (`hold_out`, or those of its `fold`) are not among them.

    Raises:
        InputError: the dataset of the settings is not there.
    """
    return _spread(splits_of(data)["train"], limit)


def _spread(split: Split, limit: int) -> Examples:
    rows = np.linspace(0, split.count - 1, min(limit or split.count, split.count)).round().astype(np.int64)
    return split.take(rows)
