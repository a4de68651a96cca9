"""Stages 1 and 2 of a run: train its network or networks, then judge the result."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from contextlib import nullcontext

import keras

from pipeline.config import RunConfig
from pipeline.data.group_holdout import splits_to_train_on
from pipeline.data.split import Split
from pipeline.devices.distribution import connect
from pipeline.devices.precision import Execution
from pipeline.networks.forward_pass import OutputsFn
from pipeline.networks.inference_model import committee
from pipeline.networks.models import check_own
from pipeline.run_folder import history
from pipeline.run_folder.folder import RunFolder
from pipeline.run_folder.model_file import load_model
from pipeline.stages.also_judge import also_judge
from pipeline.stages.examine import examine, passes
from pipeline.stages.illustrate import illustrate
from pipeline.stages.judge import judge
from pipeline.stages.same_images import require_same_images
from pipeline.training.fastest import fastest_for
from pipeline.training.fit import fit
from pneumo_tfds.program.child_process import Beside


def fit_and_judge(
    folder: RunFolder,
    config: RunConfig,
    splits: dict[str, Split] | None = None,
    after_epoch: Callable[[], None] = lambda: None,
    when_judged: Beside = nullcontext,
) -> None:
    """Train the networks of a run, judge them on every split, and draw the plots and the report.

    `splits` are those of the run's dataset, if they are open already.

    What is done already is not done again: training continues from its checkpoint, and test is never scored twice.
    `after_epoch` is called when an epoch is in the run's history. What `when_judged` returns is entered when the model
    and its threshold are saved, and left after the report.
    """
    devices = connect(config.fit)
    splits = splits or splits_to_train_on(config.data)
    if folder.metrics.exists():
        require_same_images(folder, splits)
    else:
        check_own(config.model, splits["train"].image_size)
    execution = fastest_for(folder.execution, config)
    counts = ", ".join(f"{name} {split.count}" for name, split in splits.items())
    compiled = "with XLA" if execution.xla else "without XLA"
    device = execution.device if devices.replicas == 1 else f"{devices.replicas} x {execution.device}"
    print(f"{config.data.built.name} ({counts}); {config.model.model} on {device}, {execution.precision}, {compiled}")
    if execution.why:
        print(f"{execution.precision}: {execution.why}")
    if execution.note:
        print(f"Note: {execution.note}")
    if not folder.metrics.exists():  # judge() writes it last; if it exists, test has been scored
        members = range(config.fit.ensemble_size)
        networks = [_fit_network(folder, config, splits, number, execution, after_epoch) for number in members]
        judge(folder, config, committee(networks, flips=config.evaluation.test_time_flip), splits)
    with when_judged():
        predict = OutputsFn(load_model(folder.model), expected=passes(splits))
        examine(folder, predict, splits, config)
        illustrate(folder, predict, splits, config.evaluation.evaluation_seed)
        also_judge(folder, config.evaluation.also_judge)


def train_as_worker(folder: RunFolder, config: RunConfig) -> None:
    """Train beside the chief on another machine. The chief alone judges and writes the run folder."""
    connect(config.fit)
    splits = splits_to_train_on(config.data)
    if not folder.metrics.exists():  # otherwise the chief does not train either
        for number in range(config.fit.ensemble_size):
            own, checkpoint = _with_seed_of(config, number), folder.checkpoint_of(number)
            fit(own, splits["train"], splits["validation"], folder=checkpoint)


def _fit_network(
    folder: RunFolder,
    config: RunConfig,
    splits: dict[str, Split],
    number: int,
    execution: Execution,
    after_epoch: Callable[[], None],
) -> keras.Model:
    """Train network `number` of a run, counted from 0; print and record every epoch."""
    size = config.fit.ensemble_size
    prefix = f"network {number + 1}/{size}, " if size > 1 else ""

    def record(epoch: history.Epoch) -> None:
        history.append(folder.history_of(number), epoch)
        print(
            f"{prefix}epoch {epoch.epoch}/{config.fit.epochs}: loss {epoch.loss:.4f}, "
            f"validation AUROC {epoch.validation_auroc:.4f}, accuracy {epoch.validation_accuracy:.4f}, "
            f"{epoch.seconds:.1f} s, {epoch.images_per_second:.0f} images/s",
            flush=True,
        )
        after_epoch()

    own, checkpoint = _with_seed_of(config, number), folder.checkpoint_of(number)
    fitted = fit(own, splits["train"], splits["validation"], folder=checkpoint, execution=execution, on_epoch=record)
    print(f"{prefix}kept the weights of epoch {fitted.best.epoch}", flush=True)
    return fitted.network


def _with_seed_of(config: RunConfig, number: int) -> RunConfig:
    """Return the settings of network `number` of an ensemble: the networks differ by their seeds alone."""
    return dataclasses.replace(config, fit=dataclasses.replace(config.fit, seed=config.fit.seed + number))
