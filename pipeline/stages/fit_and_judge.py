"""Stages 1 and 2 of a run: train its network or networks, then judge what came of it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from pipeline.config import RunConfig
from pipeline.run_folder.folder import RunFolder
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.quiet import quiet_tensorflow

if TYPE_CHECKING:
    import keras

    from pipeline.data.split import Split
    from pipeline.run_folder.history import Epoch


def take_part(folder: RunFolder, config: RunConfig) -> None:
    """Train as a worker that is not the chief: what comes of it is the chief's to judge and to write."""
    quiet_tensorflow()
    from pipeline.devices.distribution import connect
    from pipeline.training.fit import fit

    connect(config.fit)
    splits = _splits(config)
    if not folder.metrics.exists():  # the chief will not train either
        for number in range(config.fit.ensemble_size):
            fit(member(config, number), splits["train"], splits["validation"], folder=folder.checkpoint_of(number))


def fit_and_judge(folder: RunFolder, config: RunConfig) -> None:
    """Train the network and judge what came of it."""
    quiet_tensorflow()
    from pipeline.devices.distribution import connect
    from pipeline.devices.precision import choose
    from pipeline.networks import models
    from pipeline.run_folder import history
    from pipeline.run_folder.model_file import load_model
    from pipeline.stages.illustrate import illustrate
    from pipeline.stages.judge import judge
    from pipeline.training.fit import fit

    devices, how = connect(config.fit), choose(config.fit)
    splits = _splits(config)
    counts = ", ".join(f"{name} {split.count}" for name, split in splits.items())
    compiled = "with XLA" if how.xla else "without XLA"
    device = how.device if devices.replicas == 1 else f"{devices.replicas} x {how.device}"
    print(f"{config.data.built.name} ({counts}); {config.model.model} on {device}, {how.precision}, {compiled}")
    if how.note:
        print(f"Note: {how.note}")

    def trained(number: int) -> keras.Model:
        of = f"network {number + 1}/{config.fit.ensemble_size}, " if config.fit.ensemble_size > 1 else ""

        def report(epoch: Epoch) -> None:
            history.append(folder.history_of(number), epoch)
            print(
                f"{of}epoch {epoch.epoch}/{config.fit.epochs}: loss {epoch.loss:.4f}, "
                f"validation AUROC {epoch.validation_auroc:.4f}, accuracy {epoch.validation_accuracy:.4f}, "
                f"{epoch.seconds:.1f} s, {epoch.images_per_second:.0f} images/s",
                flush=True,
            )

        mine, checkpoint = member(config, number), folder.checkpoint_of(number)
        fitted = fit(mine, splits["train"], splits["validation"], folder=checkpoint, on_epoch=report)
        print(f"{of}kept the weights of epoch {fitted.best.epoch}", flush=True)
        return fitted.network

    if not folder.metrics.exists():  # the last that judging writes; what was scored once is not scored again
        networks = [trained(number) for number in range(config.fit.ensemble_size)]
        judge(folder, config, models.committee(networks, flips=config.evaluation.test_time_flip), splits)
    illustrate(folder, load_model(folder.model), splits, config.evaluation.evaluation_seed)


def member(config: RunConfig, number: int) -> RunConfig:
    """Give the settings of one network of several: they differ by their seeds alone."""
    return dataclasses.replace(config, fit=dataclasses.replace(config.fit, seed=config.fit.seed + number))


def _splits(config: RunConfig) -> dict[str, Split]:
    from pipeline.data.group_holdout import splits_of

    splits = splits_of(config.data)
    missing = [name for name in ("train", "validation") if name not in splits]
    if missing:
        raise InputError(
            f"{config.data.built.folder} has no images in {' and '.join(missing)}; build it from more patients"
        )
    return splits
