"""A built dataset as a value: its folder, and what the folder's name says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class BuiltDataset:
    """A dataset that `pneumo_tfds` built."""

    folder: Path
    """`.../pneumo_tfds/gray_224/1.0.0`."""

    @property
    def name(self) -> str:
        """Name of its TFDS config, such as `gray_224`."""
        return self.folder.parent.name

    @property
    def version(self) -> str:
        """Its version, such as `1.0.0`."""
        return self.folder.name

    @property
    def phantom(self) -> bool:
        """True if its images are drawn phantoms, not X-rays."""
        return self.name.startswith("phantom")
