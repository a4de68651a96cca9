"""Inspect a built dataset on disk, without TensorFlow Datasets."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pneumo_tfds.program.errors import InputError, reason_of
from pneumo_tfds.program.files import JSON_SHAPE_ERRORS, read_json
from pneumo_tfds.program.wording import counted

NAME = "pneumo_tfds"
VERSION = "1.1.0"
"""Version of the datasets, part of their path; raised when records or splits of the same source change."""

READABLE = ("1.0.0", VERSION)
"""Versions whose records are read: those of the first differ only where X-rays are DICOM or of 16 bits."""

REBUILD = "build the dataset again with --overwrite"
_NEAR = "near_identical_across_splits"
_KINDS = {"ignored": dict, "skipped": dict, "dropped": dict, "unusual": dict, "byte_identical": list, _NEAR: list}

BUILT_BEFORE = "was built before from files of the same names and sizes (not read again; --overwrite builds anew)"

SHOWN = 10
"""Groups of near-identical images, and unusual images, that the summary names; `metadata.json` has all."""

MAX_COUNT = 1 << 60
"""Largest believable number of images or bytes."""


@dataclass(frozen=True)
class BuildSummary:
    """A built dataset on disk."""

    folder: Path
    """`DATA_DIR/pneumo_tfds/CONFIG/VERSION`."""
    seconds: float
    """Time that building took; 0 if the dataset was there already."""
    metadata: dict[str, Any]
    """`metadata.json`, see docs/reference/dataset.md."""
    examples: dict[str, int]
    """Split to number of records."""
    shards: int
    bytes: int
    """Size of all records."""


def is_built(folder: Path) -> bool:
    """Return whether `folder` holds a complete dataset, which gets this path last. False if it is unreadable."""
    return all(os.path.isfile(folder / name) for name in ("dataset_info.json", "features.json"))


def read_metadata(folder: Path) -> dict[str, Any]:
    """Read the `metadata.json` of a built dataset; empty if it has none.

    Raises:
        InputError: the file is damaged.
    """
    path = folder / "metadata.json"
    metadata: dict[str, Any] = read_json(path, REBUILD) if path.is_file() else {}
    if not isinstance(metadata, dict) or not all(
        isinstance(metadata.get(k, kind()), kind) for k, kind in _KINDS.items()
    ):
        raise InputError(f"{path} is not what a build writes; {REBUILD}")
    return metadata


def read_manifest(folder: Path) -> dict[str, str]:
    """Read the `manifest.sha256` of a built dataset: name to SHA-256 of every file that was read.

    Raises:
        InputError: it is not there or is damaged.
    """
    path = folder / "manifest.sha256"
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({reason_of(error)}); {REBUILD}") from error
    if not all(re.fullmatch(r"[0-9a-f]{64}  .+", line) for line in lines):
        raise InputError(f"{path} is not what a build writes; {REBUILD}")
    return {line[66:]: line[:64] for line in lines}


def inspect(folder: Path, seconds: float = 0.0) -> BuildSummary:
    """Read what a dataset on disk holds.

    Raises:
        InputError: its dataset_info.json or metadata.json is damaged.
    """
    path = folder / "dataset_info.json"
    info = read_json(path, REBUILD)
    try:
        examples = {str(split["name"]): sum(map(_count, split["shardLengths"])) for split in info["splits"]}
        shards = sum(len(split["shardLengths"]) for split in info["splits"])
        size = sum(_count(split["numBytes"]) for split in info["splits"])
    except JSON_SHAPE_ERRORS as error:
        raise InputError(f"{path} is not what a build writes ({reason_of(error):.100}); {REBUILD}") from error
    return BuildSummary(folder, seconds, read_metadata(folder), examples, shards, size)


def _count(text: Any) -> int:
    count = int(text)
    if not 0 <= count < MAX_COUNT:
        raise ValueError(f"{count} is not a valid count")
    return count


def summary(built: BuildSummary) -> list[str]:
    """Return lines to print: where the dataset is, how fast it was built, what it holds, and what was left out."""
    metadata = built.metadata
    total = sum(built.examples.values())
    speed = f"{total / built.seconds:,.0f} images/s" if built.seconds else BUILT_BEFORE
    parts = ", ".join(f"{split} {count:,}" for split, count in built.examples.items())
    lines = [
        f"{built.folder}: {counted(total, 'image')} ({parts}), {speed}, {counted(built.shards, 'shard')}, "
        f"{built.bytes / 2**20:,.1f} MiB",
        f"source: {metadata.get('source')} ({metadata.get('source_kind')}); splits {metadata.get('split_rule')}",
    ]
    lines.extend(
        f"ignored: {counted(count, 'file')} ({reason})" for reason, count in metadata.get("ignored", {}).items()
    )
    for word in ("skipped", "dropped", "unusual"):
        named = metadata.get(word, {})
        if named:
            lines.append(f"{word}: {counted(len(named), 'image')}")
            reasons = [(name, str(reason)) for name, reason in named.items()]
            shown = reasons[:SHOWN] if word == "unusual" else reasons
            lines.extend(f"  {reason if name in reason else f'{name}: {reason}'}" for name, reason in shown)
            lines.extend(["  and others, which metadata.json lists"] if len(shown) < len(reasons) else [])
    near = metadata.get(_NEAR)
    if near is None:
        lines.append(
            "inverted images, and near-identical images in different splits: not looked for; "
            "`python -m pneumo_tfds audit` does"
        )
    elif near:
        lines.append(
            f"warning: {counted(len(near), 'group')} of near-identical images in different splits, a leak if they are "
            "copies; look at them with: python -m pneumo_tfds audit --html"
        )
        lines.extend(f"  {', '.join(map(str, group))}" for group in near[:SHOWN])
        if len(near) > SHOWN:
            lines.append(f"  and {len(near) - SHOWN} more in metadata.json")
    return lines


def describe_built(data_dir: Path) -> list[str]:
    """Return a line for each dataset below the root `data_dir`, those that programs built for themselves included."""
    found = []
    for folder in sorted(data_dir.glob(f"{NAME}*/{NAME}/*/*")) + sorted(data_dir.glob(f"{NAME}/*/*")):
        if is_built(folder):
            built = inspect(folder)
            source = str(built.metadata.get("source", "an unknown source"))
            gone = "" if source.startswith("phantoms") or Path(source).exists() else ", which is gone"
            images = counted(sum(built.examples.values()), "image")
            found.append(f"{folder}: {images}, {built.bytes / 2**20:,.1f} MiB, from {source}{gone}")
    return found
