"""The training step: in every valid precision beside the study's own way, and both networks beside PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from itertools import count, product
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from benchmarks import image_folders
from benchmarks.benchmark_options import BenchmarkOptions
from benchmarks.measuring.harness import CannotRunError, Case, Contender, Record, Work, measure
from benchmarks.peers import keras_peers, torch_peers
from pipeline.config import AugmentConfig, DataConfig, FitConfig, ModelConfig, ModelName, Precision, RunConfig, Switch
from pipeline.data.split import Examples, MemorySplit
from pipeline.devices.precision import choose
from pipeline.networks import models
from pipeline.training.step import Training
from pneumo_tfds.program.errors import InputError

SIZE, BATCH = 150, 32  # the study's; the default recipe has batches of 32 too
STEPS, QUICK_STEPS = 4, 2  # in a piece of work: one call of model.fit, one epoch of ours
LEARNING_RATE = 1e-3
REFERENCE = "peer: study, Keras's defaults"
OWN_SIZES: tuple[tuple[ModelName, int], ...] = (
    ("compact", 192),
    ("efficientnet_lite0", 192),
    ("efficientnet_lite0", 128),  # the side of the lungs that the default recipe cuts out of 224 pixels
)
TORCH = {"float32": {}, "bfloat16 autocast": {"bfloat16": True}}
# Measured for `compact` alone: compiling EfficientNet-Lite0 takes two minutes, and does not make its steps faster.
COMPILED = {
    "float32, compiled": {"compiled": True},
    "bfloat16 autocast, compiled": {"bfloat16": True, "compiled": True},
}


def measure_stage(options: BenchmarkOptions) -> list[Record]:
    """Measure `study` and `compact` in every setting against the study's own way; then each network against PyTorch."""
    return [*_against_the_study(options), *_against_pytorch(options)]


def _against_the_study(options: BenchmarkOptions) -> list[Record]:
    found = image_folders.small(options.source, options.quick)
    steps = QUICK_STEPS if options.quick else STEPS
    train = _split(*found.decoded(steps * BATCH, SIZE))
    names: tuple[ModelName, ...] = ("study", "compact")
    precisions: tuple[Precision, ...] = ("auto",) if options.quick else ("float32", "mixed_bfloat16", "mixed_float16")
    switches: tuple[Switch, ...] = ("off",) if options.quick else ("off", "on")
    settings = product(names, precisions, switches)
    contenders = [_ours(name, precision, xla, train) for name, precision, xla in settings]
    contenders.append(Contender(REFERENCE, partial(_study, found.train, steps, options.workers), keep=True))
    case = Case("train", found.name, SIZE, BATCH, options.workers, _chosen(), REFERENCE)
    return measure(case, contenders, options.pace(seconds=1.0, rounds=3))


def _against_pytorch(options: BenchmarkOptions) -> list[Record]:
    """Measure one table for each network and size. The reference is PyTorch in float32, which every machine can run."""
    found = image_folders.small(options.source, options.quick)
    steps = 1 if options.quick else QUICK_STEPS
    precisions: tuple[Precision, ...] = ("float32", "mixed_bfloat16")
    records: list[Record] = []
    for name, size in OWN_SIZES[:1] if options.quick else OWN_SIZES:
        train = _split(*found.decoded(steps * BATCH, size))
        contenders = [
            _ours(name, precision, "off", train, augment) for precision, augment in product(precisions, (True, False))
        ]
        for words, ways in (TORCH | (COMPILED if name == "compact" else {})).items():
            start = partial(torch_peers.train, name, size, BATCH, options.workers, **ways)
            contenders.append(Contender(f"peer: PyTorch, {words}", start, needs=("torch",), keep=True))
        reference = "peer: PyTorch, float32"
        case = Case("train", found.name, size, BATCH, options.workers, f"{name}, {_chosen()}", reference)
        records += measure(case, contenders, options.pace(seconds=1.0, rounds=3))
    return records


def _chosen() -> str:
    execution = choose(FitConfig())
    return f"auto is {execution.precision}{' with XLA' if execution.xla else ''} on this {execution.device}"


def _split(images: npt.NDArray[np.uint8], files: list[str]) -> MemorySplit:
    labels = np.array([Path(file).parent.name == "PNEUMONIA" for file in files], np.int64)
    text = np.array(files, np.str_)
    return MemorySplit("train", Examples(images, labels, text, text, text))


def _ours(name: ModelName, precision: Precision, xla: Switch, train: MemorySplit, augment: bool = True) -> Contender:
    waited: list[tuple[float, float]] = []

    def start() -> Work:
        fit = FitConfig(batch_size=BATCH, precision=precision, xla=xla, learning_rate=LEARNING_RATE)
        try:
            execution = choose(fit)
        except InputError as error:
            raise CannotRunError(str(error)) from error
        if execution.note:
            raise CannotRunError(execution.note)
        config = RunConfig(
            model=ModelConfig(model=name, crop="none"),  # peers see the whole image
            augment=AugmentConfig(augment=augment),
            fit=fit,
            data=DataConfig(image_size=train.image_size, cache="on"),
        )
        own = replace(train, examples=replace(train.examples))  # with tensors of its own
        training = Training(config, own, execution)
        for number in count(1):
            losses, seconds, waiting = training.epoch(number, name)
            waited.append((seconds, waiting))
            yield len(losses) * BATCH

    def details() -> Mapping[str, float]:
        after_first = waited[1:]
        seconds = sum(total for total, _ in after_first)
        return {"waiting for input, %": 100 * sum(part for _, part in after_first) / seconds} if seconds else {}

    words = (precision if xla == "off" else f"{precision}, XLA") + ("" if augment else ", not augmented")
    return Contender(f"ours: {name}, {words}", start, keep=True, details=details)


def _study(folder: Path, steps: int, workers: int) -> Work:
    """Train the same network by `model.fit` with Keras's defaults, fed by ImageDataGenerator.

    The defaults are float32, and XLA if every layer can be compiled, also on a CPU.
    """
    keras.utils.set_random_seed(0)
    network = models.build(ModelConfig(model="study"), SIZE)
    network.compile(
        optimizer=keras.optimizers.RMSprop(LEARNING_RATE), loss=keras.losses.BinaryCrossentropy(from_logits=True)
    )
    batches: Any = keras_peers.flow(folder, SIZE, BATCH, augmented=True)
    batches.workers = workers
    while True:
        network.fit(batches, steps_per_epoch=steps, epochs=1, verbose=0)
        yield steps * BATCH
