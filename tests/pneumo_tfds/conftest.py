"""Tiny made-up X-rays in Kaggle's layout: soft random pictures, quick to make and all different."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from image_files import jpeg, picture


def kaggle_names(normal: int, bacteria: int, virus: int, split: str = "train") -> list[str]:
    """Names of one image per patient, with Kaggle's folders."""
    names = [f"{split}/NORMAL/IM-{i:04d}-0001.jpeg" for i in range(1, normal + 1)]
    names += [f"{split}/PNEUMONIA/person{i}_bacteria_{i}.jpeg" for i in range(1, bacteria + 1)]
    names += [f"{split}/PNEUMONIA/person{i + 5000}_virus_{i}.jpeg" for i in range(1, virus + 1)]
    return names


@pytest.fixture(name="picture")
def picture_fixture() -> Callable[..., np.ndarray]:
    return picture


@pytest.fixture(name="jpeg")
def jpeg_fixture() -> Callable[[np.ndarray], bytes]:
    return jpeg


@pytest.fixture(name="names")
def names_fixture() -> Callable[..., list[str]]:
    return kaggle_names


@pytest.fixture
def write_images() -> Callable[[Path, list[str]], Path]:
    """Write a picture of its own for each name below a folder."""

    def write(folder: Path, names: list[str], seed: int = 0) -> Path:
        for index, name in enumerate(names):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(jpeg(picture(1000 * seed + index)))
        return folder

    return write


@pytest.fixture
def xrays(tmp_path: Path, write_images: Callable[[Path, list[str]], Path]) -> Path:
    """A small source with train and test folders: 20 NORMAL, 20 PNEUMONIA patients, and 4 of each to test."""
    return write_images(tmp_path / "chest_xray", kaggle_names(20, 12, 8) + kaggle_names(4, 2, 2, "test"))
