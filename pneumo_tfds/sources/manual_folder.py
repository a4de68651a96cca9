"""X-rays that wait in TFDS's manual folder, where `tfds.load` expects what it may not download itself."""

from __future__ import annotations

from pathlib import Path

NAMES = ("chest_xray", "chest_xray.zip", "archive.zip", "ChestXRay2017.zip")


def in_manual_folder(manual_dir: Path) -> Path | None:
    """Find X-rays under a name they are published by; None if there are none."""
    for name in NAMES:
        if (manual_dir / name).exists():
            return manual_dir / name
    return None
