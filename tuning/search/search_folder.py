"""The folder of a search, and the images that it trains on."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipeline.config import RunConfig
from pipeline.data.group_holdout import splits_to_train_on
from pipeline.data.split import Split
from pipeline.run_folder.folder import RunFolder
from tuning.search.tuner import TRIALS


class SearchFolder:
    """The paths of a search, `RUN/tuner/`."""

    def __init__(self, run: RunFolder) -> None:
        self.path = run.tuner
        self.start = run.search_start
        self.plan = self.path / "search.json"
        self.trials = self.path / TRIALS
        self.logs = self.path / "logs"
        self.leaderboard = self.path / "leaderboard.csv"
        self.page = self.path / "search.html"
        self.confirm = self.path / "confirm"
        self.confirmed = self.path / "confirmed.json"
        self.best = run.search_winner


@dataclass(frozen=True)
class SearchData:
    """The images of a search."""

    dataset: Path
    train: Split
    validation: Split

    def identity(self) -> dict[str, Any]:
        """Return what identifies the images, wherever the dataset lies: sizes, and a hash of its metadata."""
        counts = {"train": self.train.count, "validation": self.validation.count}
        metadata = self.dataset / "metadata.json"
        content = hashlib.sha256(metadata.read_bytes()).hexdigest()[:16] if metadata.exists() else None
        return {"images": counts, "image_size": self.train.image_size, "metadata": content}


def open_data(settings: RunConfig) -> SearchData:
    """Open the training and validation splits; a search sees no other, nor the folds that its winner is trained in.

    Raises:
        InputError: the dataset has no training or no validation images.
    """
    dataset = settings.data.built.folder
    splits = splits_to_train_on(replace(settings.data, folds=0, fold=0))
    return SearchData(dataset, splits["train"], splits["validation"])
