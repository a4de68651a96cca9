"""One training run: epochs of augmented steps, a moving average of the weights, validation, a checkpoint after each."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from sklearn.metrics import log_loss, roc_auc_score

from pipeline.augmentation import augment
from pipeline.config import AugmentConfig, FitConfig, RunConfig
from pipeline.data.split import Split, evaluation_batches, training_batches
from pipeline.devices.distribution import Devices, connect
from pipeline.devices.precision import Execution, choose, compiled
from pipeline.devices.replicated_layers import finite_for_all
from pipeline.networks import models
from pipeline.networks.forward_pass import BATCH, Scorer
from pipeline.run_folder import checkpoint
from pipeline.run_folder.history import Epoch
from pipeline.training import frozen_features
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.progress import track

FINAL_LEARNING_RATE = 0.01  # of the peak, where the cosine ends
AVERAGE_RAMP = 10  # steps; the average's decay is at most (1 + step) / (AVERAGE_RAMP + step), as TensorFlow's EMA does


class DivergedError(InputError):
    """The loss is no number any more; the settings, not the program, are at fault."""


@dataclass(frozen=True)
class Fitted:
    """What a training run ends with."""

    network: keras.Model
    """float32, with the kept weights of the best epoch."""
    history: tuple[Epoch, ...]
    """Every epoch, oldest first."""
    execution: Execution
    """On what, and how, it was trained."""

    @property
    def best(self) -> Epoch:
        """The epoch whose weights were kept."""
        return max(self.history, key=_merit)


def fit(
    config: RunConfig,
    train: Split,
    validation: Split,
    *,
    folder: Path | None = None,
    until: int | None = None,
    on_epoch: Callable[[Epoch], bool | None] = lambda epoch: None,
    description: str = "Training",
) -> Fitted:
    """Train the network that `config` names; sees `train` and `validation` and nothing else.

    Where TF_CONFIG names other machines, they all call this with the same arguments and end with the same weights.

    Args:
        config: the settings.
        train: what is learned from.
        validation: what chooses the epoch to keep.
        folder: where a checkpoint is written after every epoch (by the chief), and taken up again if there is one.
        until: stop after so many epochs, the schedule still being that of all of them; None goes to the end.
        on_epoch: called after every epoch, before its checkpoint; training ends early when it returns True. After a
            kill it may hear of an epoch a second time, but it misses none.
        description: what the progress bar says.

    Raises:
        DivergedError: the loss became infinite or NaN.
        InputError: the settings do not fit the data, or the checkpoint does not fit the settings.
    """
    devices = connect(config.fit)
    keras.utils.set_random_seed(config.fit.seed)
    execution = choose(config.fit)
    head = (
        frozen_features.Head(config, train.image_size)
        if frozen_features.applies(config) and train.fits(config.data.cache)
        else None
    )
    if head:
        train, validation = head.features(train, "Features"), head.features(validation, "Features")
    training = Training(config, train, execution, devices, head)
    scorer = Scorer(training.kept, tf.float32 if head else tf.uint8)
    history: list[Epoch] = []
    if folder and (state := checkpoint.load(folder, training.variables())):
        history = [Epoch(**row) for row in state["history"]]
        training.iterations = state["iterations"]
    same = f"{config.augment} {config.model} {config.fit} {train.count} {validation.count} {train.image_size}"
    devices.agree("settings and images", same, "start all workers with the same flags")
    devices.agree("checkpoint", str(len(history)), "put the run folder where all workers can read it")

    while len(history) < (until or config.fit.epochs) and not _out_of_patience(history, config.fit.patience):
        number = len(history) + 1
        start = time.perf_counter()
        losses, training_seconds, waiting = training.epoch(number, f"{description} {number}/{config.fit.epochs}")
        batches = evaluation_batches(validation, BATCH, cache=config.data.cache)
        logits, labels = devices.from_chief(scorer.logits(images for images, _ in batches)), validation.labels
        if not (math.isfinite(float(np.sum(losses))) and np.isfinite(logits).all()):
            raise DivergedError(
                f"the loss is not finite in epoch {number}; lower --learning-rate (now {config.fit.learning_rate:g})"
            )
        row = Epoch(
            epoch=number,
            loss=float(np.mean(losses)),
            learning_rate=float(training.optimizer.learning_rate),
            validation_loss=float(log_loss(labels, 1 / (1 + np.exp(-logits)), labels=[0, 1])),
            validation_auroc=float(roc_auc_score(labels, logits)),
            validation_accuracy=float(np.mean((logits > 0) == labels)),
            seconds=time.perf_counter() - start,
            images_per_second=len(losses) * config.fit.batch_size / training_seconds,
            waiting=waiting / training_seconds,
        )
        if not history or _merit(row) > max(map(_merit, history)):
            training.remember_best()
        history.append(row)
        enough = on_epoch(row)  # before the checkpoint: killed in between, the epoch is trained and told once more
        if folder and devices.cluster.chief:
            state = {"history": [vars(epoch) for epoch in history], "iterations": training.iterations}
            checkpoint.save(folder, training.variables(), state)
        if enough:
            break
    training.kept.set_weights([variable.numpy() for variable in training.best])
    return Fitted(head.assembled(training.kept) if head else training.kept, tuple(history), execution)


def _merit(epoch: Epoch) -> tuple[float, float]:
    return epoch.validation_auroc, -epoch.validation_loss


def _out_of_patience(history: list[Epoch], patience: int) -> bool:
    if not patience or not history:
        return False
    return len(history) - max(history, key=_merit).epoch >= patience


class Training:
    """The network, its optimizer and its moving average, and the compiled step that moves all three."""

    def __init__(
        self,
        config: RunConfig,
        train: Split,
        execution: Execution,
        devices: Devices | None = None,
        head: frozen_features.Head | None = None,
    ) -> None:
        self.config, self.train, self.devices = config, train, devices or Devices()
        fused = execution.device == "CPU"
        network = (
            head.build() if head else models.build(config.model, train.image_size, execution.precision, fused=fused)
        )
        with self.devices.strategy.scope():
            self.network = self.devices.replicated(network)
            self.optimizer = _optimizer(config.fit, train.count // config.fit.batch_size, execution)
            self.optimizer.build(self.network.trainable_variables)
        self.kept = keras.models.clone_model(network) if head else models.float32_copy(network, config.model)
        self.best = [tf.Variable(weight.value, trainable=False) for weight in self.kept.weights]
        self.iterations = 0
        self._step = self._compiled(execution)

    def variables(self) -> dict[str, list[Any]]:
        """Give everything that a step changes, by group."""
        return {
            "network": self.network.variables,
            "optimizer": self.optimizer.variables,
            "kept": self.kept.weights,
            "best": self.best,
        }

    def remember_best(self) -> None:
        """Take the kept weights as the best so far."""
        for best, weight in zip(self.best, self.kept.weights, strict=True):
            best.assign(weight.value)

    def epoch(self, number: int, description: str) -> tuple[list[float], float, float]:
        """Run one epoch; give the loss of each step, the seconds it took and those spent waiting for input."""
        fit, steps = self.config.fit, self.train.count // self.config.fit.batch_size
        losses, waiting, start = [], 0.0, time.perf_counter()
        rows = self.devices.rows(fit.batch_size)
        batches = training_batches(
            self.train, fit.batch_size,
            seed=fit.seed, epoch=number, rows=rows, cache=self.config.data.cache, service=self.config.data.data_service,
        )  # fmt: skip
        for _ in track(range(steps), description):
            asked = time.perf_counter()
            images, labels = next(batches)
            waiting += time.perf_counter() - asked
            uniform = augment.draw(fit.seed, self.iterations, fit.batch_size)[rows]
            losses.append(self._step(self.devices.shares(images, labels, uniform), tf.constant(self._decay())))
            self.iterations += 1
        values = [float(loss) for loss in losses]  # here, not in the loop: a GPU need not stop after every step
        return values, time.perf_counter() - start, waiting

    def _decay(self) -> float:
        return min(self.config.fit.ema_decay, (1 + self.iterations) / (AVERAGE_RAMP + self.iterations))

    def _compiled(self, execution: Execution) -> Callable[..., Any]:
        fit, changes, size = self.config.fit, self.config.augment, self.train.image_size
        weights = tf.constant(_class_weights(self.train) if fit.class_weights else [1.0, 1.0], tf.float32)

        augmented = _augmented(changes, size)

        replicas = self.devices.replicas

        def one_replica(images: Any, labels: Any, uniform: Any) -> Any:
            images = augmented(images, uniform) if changes.augment else tf.cast(images, tf.float32)
            targets = tf.cast(labels, tf.float32)[:, None]
            targets = targets * (1 - fit.label_smoothing) + 0.5 * fit.label_smoothing
            if fit.mixup:
                images, targets = augment.blend(images, targets, uniform, fit.mixup)
            with tf.GradientTape() as tape:
                logits = self.network(images, training=True)
                entropy = tf.nn.sigmoid_cross_entropy_with_logits(targets, logits)[:, 0]
                # Parts of the batch's mean, because gradients and losses of the replicas are added up.
                loss = tf.reduce_sum(entropy * tf.gather(weights, labels)) / fit.batch_size
                loss += sum(self.network.losses, tf.constant(0.0)) / replicas
                scaled = self.optimizer.scale_loss(loss)
            trainable = self.network.trainable_variables
            gradients = tape.gradient(scaled, [variable.value for variable in trainable])
            if replicas > 1 and execution.precision == "mixed_float16":
                gradients = finite_for_all(gradients)
            self.optimizer.apply(gradients, trainable)
            return loss

        def step(shares: Any, decay: Any) -> Any:
            losses = self.devices.strategy.run(one_replica, shares)
            for kept, weight in zip(self.kept.weights, self.network.weights, strict=True):
                kept.assign(weight + decay * (kept - weight))
            return self.devices.sum(losses)

        return compiled(step, execution)


@functools.lru_cache(maxsize=8)  # XLA keeps what it compiled for as long as the process lives, so not once a fit
def _augmented(changes: AugmentConfig, size: int) -> Callable[[Any, Any], Any]:
    # Compiled on its own whatever the step is: uncompiled, these gathers are several times slower
    # (docs/explanation/speed.md).
    @tf.function(jit_compile=True)
    def augmented(images: Any, uniform: Any) -> Any:
        return augment.apply(images, augment.sample(uniform, changes, size))

    return augmented  # type: ignore[no-any-return]


def _class_weights(train: Split) -> list[float]:
    counts = np.bincount(train.labels, minlength=2)
    return [float(count) for count in counts.sum() / (2 * np.maximum(counts, 1))]


def _optimizer(config: FitConfig, steps_per_epoch: int, execution: Execution) -> keras.Optimizer:
    steps = max(1, steps_per_epoch * config.epochs)
    warmup = int(config.warmup * steps)
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=config.learning_rate * (FINAL_LEARNING_RATE if warmup else 1.0),
        decay_steps=max(1, steps - warmup),
        alpha=FINAL_LEARNING_RATE,
        warmup_target=config.learning_rate if warmup else None,
        warmup_steps=warmup,
    )
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=config.weight_decay)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    if execution.precision == "mixed_float16":
        return keras.optimizers.LossScaleOptimizer(optimizer)
    return optimizer
