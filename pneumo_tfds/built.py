"""A dataset on disk, and what it says about itself; read without TensorFlow Datasets."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Built:
    """A dataset on disk."""

    folder: Path
    """`DATA_DIR/pneumo_tfds/CONFIG/VERSION`."""
    seconds: float
    """What building took; 0 if it was there."""
    metadata: dict[str, Any]
    """`metadata.json`, see docs/data.md."""
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
    """What a built dataset says about its source, splits and skipped images; empty if it says nothing."""
    path = folder / "metadata.json"
    metadata: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return metadata


def inspect(folder: Path, seconds: float = 0.0) -> Built:
    """Read what a dataset on disk holds, without TFDS."""
    info = json.loads((folder / "dataset_info.json").read_text(encoding="utf-8"))
    examples = {split["name"]: sum(map(int, split["shardLengths"])) for split in info["splits"]}
    shards = sum(len(split["shardLengths"]) for split in info["splits"])
    size = sum(int(split["numBytes"]) for split in info["splits"])
    return Built(folder, seconds, read_metadata(folder), examples, shards, size)


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
            lines.extend(f"  {reason if name in reason else f'{name}: {reason}'}" for name, reason in named.items())
    return lines
