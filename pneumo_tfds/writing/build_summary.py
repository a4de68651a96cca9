"""A dataset on disk, and what it says about itself; read without TensorFlow Datasets."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.files import UNFIT, read_json

REMEDY = "build the dataset again with --overwrite"
MOST = 1 << 60  # of images or bytes
_KINDS = {"ignored": dict, "skipped": dict, "dropped": dict, "byte_identical": list}


@dataclass(frozen=True)
class Built:
    """A dataset on disk."""

    folder: Path
    """`DATA_DIR/pneumo_tfds/CONFIG/VERSION`."""
    seconds: float
    """What building took; 0 if it was there."""
    metadata: dict[str, Any]
    """`metadata.json`, see docs/reference/dataset.md."""
    examples: dict[str, int]
    """Split to number of records."""
    shards: int
    bytes: int
    """Of all records."""

    @property
    def images_per_second(self) -> float:
        """Records over seconds; 0 if nothing was built."""
        return sum(self.examples.values()) / self.seconds if self.seconds else 0.0


def is_built(folder: Path) -> bool:
    """Whether `folder` holds a whole dataset: TFDS gives it its name only then. False where it may not be looked at."""
    return all(os.path.isfile(folder / name) for name in ("dataset_info.json", "features.json"))


def read_metadata(folder: Path) -> dict[str, Any]:
    """What a built dataset says about its source, splits and skipped images; empty if it says nothing.

    Raises:
        InputError: its metadata.json is damaged.
    """
    path = folder / "metadata.json"
    metadata: dict[str, Any] = read_json(path, REMEDY) if path.is_file() else {}
    if not isinstance(metadata, dict) or any(
        not isinstance(metadata.get(key, kind()), kind) for key, kind in _KINDS.items()
    ):
        raise InputError(f"{path} is not what a build writes; {REMEDY}")
    return metadata


def inspect(folder: Path, seconds: float = 0.0) -> Built:
    """Read what a dataset on disk holds, without TFDS.

    Raises:
        InputError: its dataset_info.json or metadata.json is damaged.
    """
    path = folder / "dataset_info.json"
    info = read_json(path, REMEDY)
    try:
        examples = {str(split["name"]): sum(map(_count, split["shardLengths"])) for split in info["splits"]}
        shards = sum(len(split["shardLengths"]) for split in info["splits"])
        size = sum(_count(split["numBytes"]) for split in info["splits"])
    except UNFIT as error:
        raise InputError(f"{path} is not what a build writes ({error!s:.100}); {REMEDY}") from error
    return Built(folder, seconds, read_metadata(folder), examples, shards, size)


def _count(text: Any) -> int:
    count = int(text)
    if not 0 <= count < MOST:
        raise ValueError(f"{count} is no count")
    return count


def summary(built: Built) -> list[str]:
    """Lines for people: where, how fast, how much, and what was left out."""
    metadata = built.metadata
    total = sum(built.examples.values())
    speed = f"{built.images_per_second:,.0f} images/s" if built.seconds else "was built before"
    parts = ", ".join(f"{split} {count:,}" for split, count in built.examples.items())
    lines = [
        f"{built.folder}: {total:,} images ({parts}), {speed}, {built.shards} shards, {built.bytes / 2**20:,.1f} MiB",
        f"source: {metadata.get('source')} ({metadata.get('source_kind')}); splits {metadata.get('split_rule')}",
    ]
    for reason, count in metadata.get("ignored", {}).items():
        lines.append(f"ignored: {count} files, {reason}")
    for word in ("skipped", "dropped"):
        named = metadata.get(word, {})
        if named:
            lines.append(f"{word}: {len(named)} images")
            reasons = ((name, str(reason)) for name, reason in named.items())
            lines.extend(f"  {reason if name in reason else f'{name}: {reason}'}" for name, reason in reasons)
    return lines
