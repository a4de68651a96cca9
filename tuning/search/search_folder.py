"""What a search stands on: its folder and its images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.config import RunConfig
from pipeline.data.group_holdout import splits_of
from pipeline.data.split import Split
from pneumo_tfds.program.errors import InputError
from tuning.search.search_plan import identity
from tuning.search.tuner import TRIALS

NEEDED = ("train", "validation")


class SearchFolder:
    """The paths of a search, `R/tuner/`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.start = path / "start.json"
        self.plan = path / "search.json"
        self.trials = path / TRIALS
        self.leaderboard = path / "leaderboard.csv"
        self.page = path / "search.html"
        self.tensorboard = path / "tensorboard"
        self.confirm = path / "confirm"
        self.confirmed = path / "confirmed.json"
        self.best = path / "best.json"


@dataclass(frozen=True)
class Data:
    """The images of a search."""

    dataset: Path
    train: Split
    validation: Split

    def identity(self) -> dict[str, Any]:
        """Give what identifies them wherever they lie."""
        counts = {"train": self.train.count, "validation": self.validation.count}
        return identity(self.dataset, counts, self.train.image_size)


def open_data(settings: RunConfig) -> Data:
    """Open the two splits that a search sees.

    Raises:
        InputError: the dataset has no training or no validation images.
    """
    dataset = settings.data.built.folder
    splits = splits_of(settings.data)
    if missing := [name for name in NEEDED if name not in splits]:
        raise InputError(f"{dataset} has no images in {' and '.join(missing)}; build it from more patients")
    return Data(dataset, splits["train"], splits["validation"])
