"""The training step: augmentation, loss, gradients, AdamW, and a moving average of the weights, compiled as one."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pipeline.augmentation import augment, histogram_swap, on_device, on_host
from pipeline.config import FitConfig, RunConfig
from pipeline.data import aligned_arrays
from pipeline.data.batches import EVERY_ROW, training_batches
from pipeline.data.split import Split
from pipeline.devices.distribution import Devices
from pipeline.devices.precision import Execution, compiled
from pipeline.devices.replicated_layers import finite_for_all, replicated
from pipeline.run_folder import checkpoint
from pipeline.run_folder.history import Epoch
from pipeline.training.trained_part import WholeNetwork
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.parallel import one_thread_per_opencv_call
from pneumo_tfds.program.progress import track

FINAL_LEARNING_RATE = 0.01  # of the peak, where the cosine ends
EMA_RAMP = 10  # steps; the decay is at most (1 + step) / (EMA_RAMP + step), as in TensorFlow's ExponentialMovingAverage


class Training:
    """The network, its optimizer and the moving average of its weights (EMA), and the step that updates all three."""

    def __init__(
        self,
        config: RunConfig,
        train: Split,
        execution: Execution,
        devices: Devices | None = None,
        part: WholeNetwork | None = None,
    ) -> None:
        self.config, self.train, self.execution = config, train, execution
        self.devices = devices or Devices()
        part = part or WholeNetwork(config, train.image_size)
        self._size = part.image_size
        network = part.build(execution)
        with self.devices.strategy.scope():
            self.network = network if self.devices.replicas == 1 else replicated(network)
            self.optimizer = _optimizer(config.fit, train.count // config.fit.batch_size, execution)
            self.optimizer.build(self.network.trainable_variables)
        self.average = part.float32_copy(network)
        self.best = [tf.Variable(weight.value, trainable=False) for weight in self.average.weights]
        self.iterations = 0
        # scikit-learn's own class weights refuse a split of one class.
        counts = np.bincount(train.labels, minlength=2) if config.fit.class_weights else np.ones(2)
        of_classes, of_kind = counts.sum() / (2 * np.maximum(counts, 1)), config.fit.subtype_weight
        # Of each head: the weight of a target that is not known, of 0 and of 1.
        self._weights = tf.constant([[0, *of_classes], [0, of_kind, of_kind]], tf.float32)
        self._augments, self._on_host = config.augment.augment, execution.device == "CPU"
        self._augmented = on_device.compiled(config.augment, self._size)
        self._step = compiled(self._step_on_all_replicas, execution)

    def variables(self) -> dict[str, list[Any]]:
        """Return every variable that a step changes, by group: the content of a checkpoint."""
        return {
            "network": self.network.variables,
            "optimizer": self.optimizer.variables,
            "kept": self.average.weights,
            "best": self.best,
        }

    def save(self, folder: Path, history: Sequence[Epoch]) -> None:
        """Write a checkpoint: every variable, the epochs that led to it, and on which images."""
        epochs = [vars(epoch) for epoch in history]
        state = {"history": epochs, "iterations": self.iterations, "images": self._images}
        checkpoint.save(folder, self.variables(), state)

    def restore(self, folder: Path) -> list[Epoch]:
        """Restore the checkpoint in `folder` and return its epochs; none if there is no checkpoint.

        Raises:
            InputError: the checkpoint is damaged, of another network or optimizer, or of other training images. Earlier
                versions did not record these, and divided them into folds in another way.
        """
        saved = checkpoint.load(folder, self.variables()) or {}
        unknown = "" if self.config.data.fold else self._images
        if saved and saved.get("images", unknown) != self._images:
            raise InputError(
                f"{folder / checkpoint.FILE}: the images to train on are no longer those that this run was trained "
                "with; train it again, with another --run-dir"
            )
        self.iterations = saved.get("iterations", 0)
        return [Epoch(**row) for row in saved.get("history", ())]

    @cached_property
    def _images(self) -> str:
        """A digest of the names of the training images, in any order."""
        return hashlib.sha256("\n".join(sorted(self.train.names_and_patients[0])).encode()).hexdigest()

    def remember_best(self) -> None:
        """Copy the average into the best weights so far."""
        for best, weight in zip(self.best, self.average.weights, strict=True):
            best.assign(weight.value)

    def best_network(self) -> keras.Model:
        """Return the float32 network with the best weights."""
        self.average.set_weights([variable.numpy() for variable in self.best])
        return self.average

    def epoch(self, number: int, description: str) -> tuple[list[float], float, float]:
        """Run epoch `number`; return the loss of each step, the seconds of all, and those spent waiting for input."""
        steps = self.train.count // self.config.fit.batch_size
        losses, waiting, start = [], 0.0, time.perf_counter()
        with one_thread_per_opencv_call():
            batches = _one_ahead(self._batches(number))
            for _ in track(range(steps), description):
                asked = time.perf_counter()
                batch = next(batches)
                waiting += time.perf_counter() - asked
                decay = min(self.config.fit.ema_decay, (1 + self.iterations) / (EMA_RAMP + self.iterations))
                losses.append(self._step(self.devices.split_among_replicas(*batch), tf.constant(decay)))
                self.iterations += 1
        values = [float(loss) for loss in losses]  # here, not in the loop: a GPU need not stop after every step
        return values, time.perf_counter() - start, waiting

    def _batches(self, number: int) -> Iterator[tuple[Any, ...]]:
        """Yield this process's rows of each batch of an epoch: images, targets, and random numbers for their changes.

        For a CPU the images are changed here already, and are then float32.
        """
        fit, data = self.config.fit, self.config.data
        rows = self.devices.rows(fit.batch_size)
        swapped = self.config.augment.histogram_swap if self._augments else 0.0
        batches = training_batches(
            self.train, fit.batch_size,
            seed=fit.seed, epoch=number, rows=EVERY_ROW if swapped else rows,
            cache=data.cache, service=data.data_service,
        )  # fmt: skip
        sample = on_host.sampler(self.config.augment, self._size)
        for step, (images, targets) in enumerate(batches, start=self.iterations):
            uniform = augment.draw(fit.seed, step, fit.batch_size)
            if self._augments:
                pixels = images.numpy()
                if swapped:  # with images of the whole batch, whoever computes them
                    pixels = histogram_swap.swap(pixels, targets.numpy()[:, 0], uniform, swapped)[rows]
                    targets = targets[rows]
                if self._on_host:
                    changed = aligned_arrays.empty((len(pixels), self._size, self._size, 1), np.float32)
                    on_host.apply(pixels, sample(uniform[rows]), changed)
                    pixels = changed
                images = aligned_arrays.as_tensor(pixels)
            yield images, targets, uniform[rows]

    def _step_on_all_replicas(self, shares: tuple[Any, ...], decay: Any) -> Any:
        """Update the network, then the average; return the loss of the whole batch."""
        losses = self.devices.strategy.run(self._step_on_one_replica, shares)
        self._update_average(decay)
        return self.devices.strategy.reduce(tf.distribute.ReduceOp.SUM, losses, axis=None)

    def _step_on_one_replica(self, images: Any, known: Any, uniform: Any) -> Any:
        """Update the network by a replica's rows of the batch; return its share of the loss."""
        with tf.GradientTape() as tape:
            loss = self._loss(images, known, uniform)
            scaled = self.optimizer.scale_loss(loss)
        trainable = self.network.trainable_variables
        gradients = tape.gradient(scaled, [variable.value for variable in trainable])
        if self.devices.replicas > 1 and self.execution.precision == "mixed_float16":
            gradients = finite_for_all(gradients)
        self.optimizer.apply(gradients, trainable)
        return loss

    def _loss(self, images: Any, known: Any, uniform: Any) -> Any:
        """Compute a replica's share of the loss: weighted cross-entropy and penalties, on augmented images.

        A head learns nothing of images whose target, in `known` `[b, 2]`, is -1. Divided by the size of the whole
        batch, because losses and gradients of all replicas are added up.
        """
        fit = self.config.fit
        if self._augments and not self._on_host:
            images = self._augmented(images, uniform)
        images = tf.cast(images, tf.float32)
        heads = self.config.model.heads
        known = known[:, :heads]
        weights = tf.stack([tf.gather(self._weights[head], known[:, head] + 1) for head in range(heads)], axis=1)
        targets = tf.where(known < 0, 0.5, tf.cast(known, tf.float32))
        targets = targets * (1 - fit.label_smoothing) + 0.5 * fit.label_smoothing
        if fit.mixup:  # each image brings its own weight for and against a class: none where its target is not known
            both = tf.concat([weights * targets, weights], axis=1)
            images, both = augment.blend(images, both, uniform, fit.mixup)
            weighted, weights = tf.split(both, 2, axis=1)
            targets = tf.math.divide_no_nan(weighted, weights)
        logits = self.network(images, training=True)
        # Not Keras's BinaryCrossentropy: it would smooth the labels after they are blended.
        entropy = tf.nn.sigmoid_cross_entropy_with_logits(targets, logits)
        loss = tf.reduce_sum(entropy * weights) / fit.batch_size
        return loss + sum(self.network.losses, tf.constant(0.0)) / self.devices.replicas

    def _update_average(self, decay: Any) -> None:
        # Not by Keras's `use_ema`, which leaves out the statistics of batch normalization and keeps no float32 network.
        for average, weight in zip(self.average.weights, self.network.weights, strict=True):
            average.assign(weight + decay * (average - weight))


def _one_ahead(batches: Iterator[Any]) -> Iterator[Any]:
    """Yield the batches; each is made in a thread while the one before it is used."""
    with ThreadPoolExecutor(1, "batches") as thread:
        following = thread.submit(next, batches, None)
        while (batch := following.result()) is not None:
            following = thread.submit(next, batches, None)
            yield batch


def _optimizer(config: FitConfig, steps_per_epoch: int, execution: Execution) -> keras.Optimizer:
    """Return AdamW whose learning rate rises linearly to its peak and falls along a cosine; biases do not decay."""
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
