"""The folder of a search, and the images that it trains on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.config import RunConfig
from pipeline.data.fold_splits import halves_of_fold, pooled
from pipeline.data.group_holdout import splits_to_train_on
from pipeline.data.split import Split
from pipeline.run_folder.folder import RunFolder
from pipeline.training import fit
from pipeline.training.fit import Fitted
from tuning.search.objective import Objective, scorer
from tuning.search.trial_folds import Fold
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
    images: Mapping[str, int]
    """How many are in `train` and `validation`."""
    halves: Sequence[Callable[[], tuple[Split, Split]]]
    """For each fold, what returns the images to train on, copied anew, and those to score on; one without folds."""

    def folds(self, objective: Objective) -> list[Fold]:
        """Return how a network is trained and scored in each fold."""
        return [(partial(_fit, halves), scorer(objective, halves()[1])) for halves in self.halves]

    def identity(self) -> dict[str, Any]:
        """Return what identifies the images, wherever the dataset lies: sizes, and a hash of its metadata."""
        metadata = self.dataset / "metadata.json"
        content = hashlib.sha256(metadata.read_bytes()).hexdigest()[:16] if metadata.exists() else None
        return {"images": self.images, "image_size": self.halves[0]()[0].image_size, "metadata": content}


def _fit(halves: Callable[[], tuple[Split, Split]], config: RunConfig, **options: Any) -> Fitted:
    return fit.fit(config, *halves(), **options)


def open_data(settings: RunConfig) -> SearchData:
    """Open train and validation, or the `--trial-folds` of both; a search sees no other split, nor those of `--folds`.

    Raises:
        InputError: the dataset has no training or no validation images.
    """
    data, count = replace(settings.data, folds=0, fold=0), settings.search.trial_folds
    splits = splits_to_train_on(data)
    train, validation = splits["train"], splits["validation"]
    images = {"train": train.count, "validation": validation.count}
    if count == 1:
        return SearchData(data.built.folder, images, [lambda: (train, validation)])
    pool, data = pooled(splits)["train"], replace(data, hold_out="none", folds=count)
    folds = [partial(halves_of_fold, pool, replace(data, fold=number + 1)) for number in range(count)]
    return SearchData(data.built.folder, images, folds)
