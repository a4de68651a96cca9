"""What a trial trains: one network, or with `--trial-folds` one in each fold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from pipeline.config import RunConfig
from pipeline.run_folder.history import Epoch
from pipeline.training.fit import Fitted
from tuning.search.keras_memory import releasing_memory

Fold = tuple[Callable[..., Fitted], Callable[[RunConfig, Fitted], float]]
"""`pipeline.training.fit.fit` with the splits of a fold bound, or a stub; and what returns the network's objective."""


def train_in_folds(
    folds: Sequence[Fold],
    config: RunConfig,
    folder: Path,
    until: int,
    on_epoch: Callable[[Epoch, int], bool | None],
    description: str,
) -> tuple[list[Epoch], list[float]]:
    """Train a network in each fold for `until` epochs, each resumed from its own checkpoint, and score it.

    `on_epoch` is called as by `fit`, with the epoch and the number of the fold. If it returns True, the network ends
    there, and those of the folds that are left train no more epochs than it, so that a trial has a score in every fold.

    Returns:
        The epochs of all networks, counted through from the first fold to the last, and the score in each fold.
    """
    history: list[Epoch] = []
    scores: list[float] = []

    def after_epoch(epoch: Epoch) -> bool:
        nonlocal until
        stop = bool(on_epoch(replace(epoch, epoch=len(history) + epoch.epoch), len(scores) + 1))
        until = epoch.epoch if stop else until
        return stop

    for number, (fit, score) in enumerate(folds, start=1):
        several = len(folds) > 1  # the memory of an only network is released by the caller
        place = folder / f"fold-{number}" if several else folder
        said = f"{description}, fold {number}/{len(folds)}, epoch" if several else f"{description}, epoch"
        with releasing_memory() if several else nullcontext():
            fitted = fit(config, folder=place, until=until, on_epoch=after_epoch, description=said)
            history += [replace(epoch, epoch=len(history) + epoch.epoch) for epoch in fitted.history]
            scores.append(score(config, fitted))
            del fitted
    return history, scores
