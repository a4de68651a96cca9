"""One training run: epochs of augmented steps, validation after each, and a checkpoint from which it can be resumed."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.metrics import log_loss, roc_auc_score

from pipeline.config import RunConfig, Switch
from pipeline.data.batches import evaluation_batches
from pipeline.data.split import Split
from pipeline.devices.distribution import connect
from pipeline.devices.precision import Execution
from pipeline.networks.forward_pass import BATCH, LogitsFn
from pipeline.run_folder.history import Epoch
from pipeline.training.fastest import fastest, fastest_for
from pipeline.training.step import Training
from pipeline.training.trained_part import part_to_train
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.progress import track


class DivergedError(InputError):
    """Raised when the loss is no longer finite; the settings are the cause."""


@dataclass(frozen=True)
class Fitted:
    """The result of a training run."""

    network: keras.Model
    """float32, with the weights of the epoch that was kept."""
    history: tuple[Epoch, ...]
    """Every epoch, oldest first."""
    keep: str = "best"
    """`FitConfig.keep`"""

    @property
    def best(self) -> Epoch:
        """The epoch whose weights were kept."""
        return self.history[-1] if self.keep == "last" else max(self.history, key=_merit)


def fit(
    config: RunConfig,
    train: Split,
    validation: Split,
    *,
    folder: Path | None = None,
    until: int | None = None,
    execution: Execution | None = None,
    on_epoch: Callable[[Epoch], bool | None] = lambda epoch: None,
    description: str = "Training",
) -> Fitted:
    """Train the network that `config` names, on `train`, and keep the best epoch on `validation`, or the last.

    Where TF_CONFIG names other machines, they all call this with the same arguments and end with the same weights. The
    chief writes a checkpoint to `folder` after every epoch, from which training is resumed. `until` ends training after
    so many epochs, on the schedule of all of them. `execution` is how steps are computed; None for the fastest way.
    `on_epoch` is called at least once for every epoch, before its checkpoint is written; after a crash an epoch may be
    reported a second time. Training ends early if it returns True.

    Raises:
        DivergedError: the loss became infinite or NaN.
        InputError: the settings do not fit the data, or the checkpoint does not fit the settings.
    """
    devices = connect(config.fit)
    if execution is None:
        chief = devices.cluster.chief
        execution = fastest_for(folder / "execution.json", config) if folder and chief else fastest(config)
    keras.utils.set_random_seed(config.fit.seed)  # after measuring, which draws weights too
    part = part_to_train(config, train)
    train, validation = part.inputs(train, room=config.augment.augment), part.inputs(validation)
    training = Training(config, train, execution, devices, part)
    network = LogitsFn(training.average, part.dtype)
    history = training.restore(folder) if folder else []

    settings = f"{config.augment} {config.model} {config.fit} {train.count} {validation.count} {train.image_size}"
    devices.check_same_on_all_workers("settings and images", settings, "start all workers with the same flags")
    epochs = str(len(history))
    devices.check_same_on_all_workers("checkpoint", epochs, "put the run folder where all workers can read it")

    while not _done(history, until or config.fit.epochs, config.fit.patience):
        number, start = len(history) + 1, time.perf_counter()
        losses, seconds, waiting = training.epoch(number, f"{description} {number}/{config.fit.epochs}")
        logits = devices.broadcast_from_chief(_logits(network, validation, config.data.cache, number))
        if not (math.isfinite(float(np.sum(losses))) and np.isfinite(logits).all()):
            raise DivergedError(
                f"the loss is not finite in epoch {number}; lower --learning-rate (now {config.fit.learning_rate:g})"
            )
        row = Epoch(
            epoch=number,
            loss=float(np.mean(losses)),
            learning_rate=float(training.optimizer.learning_rate),
            validation_loss=float(log_loss(validation.labels, expit(logits), labels=[0, 1])),
            validation_auroc=float(roc_auc_score(validation.labels, logits)),
            validation_accuracy=float(np.mean((logits > 0) == validation.labels)),
            seconds=time.perf_counter() - start,
            images_per_second=len(losses) * config.fit.batch_size / seconds,
            waiting=waiting / seconds,
        )
        if config.fit.keep == "last" or not history or _merit(row) > max(map(_merit, history)):
            training.remember_best()
        history.append(row)
        stop = on_epoch(row)
        if folder and devices.cluster.chief:
            training.save(folder, history)
        if stop:
            break
    return Fitted(part.complete(training.best_network()), tuple(history), config.fit.keep)


def _logits(network: LogitsFn, validation: Split, cache: Switch, epoch: int) -> NDArray[np.float64]:
    """Return the logit of each validation image after an epoch, `[n]`, with a progress bar."""
    count = -(-validation.count // BATCH)
    batches = track(evaluation_batches(validation, BATCH, cache=cache), f"Validation after epoch {epoch}", count)
    return network.logits(images for images, _ in batches)


def _done(history: list[Epoch], epochs: int, patience: int) -> bool:
    """Return whether `epochs` are trained, or the last `patience` of them, unless that is 0, were not the best."""
    out_of_patience = patience and history and len(history) - max(history, key=_merit).epoch >= patience
    return len(history) >= epochs or bool(out_of_patience)


def _merit(epoch: Epoch) -> tuple[float, float]:
    """Return the key by which the best epoch is chosen: AUROC, then loss, on validation."""
    return epoch.validation_auroc, -epoch.validation_loss
