"""The fastest way to train a network on this machine: measured by a few steps of each valid way, and remembered.

Which instructions a CPU has does not say how fast a library's kernels for them are. So where more than one precision is
valid, forward and backward passes of the network itself decide, at its image size and batch size. What was measured is
kept in `~/.cache/pneumo/fastest.json` under everything that it depends on: processor, cores, versions of the libraries
and of this project, the variables that switch kernels, network, image size and batch size.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from pipeline.config import RunConfig
from pipeline.devices.precision import Execution, candidates
from pipeline.training.trained_part import network_part
from pneumo_tfds.program import processor
from pneumo_tfds.program.cores_and_memory import available_cores
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.files import JSON_SHAPE_ERRORS, cache_folder, read_json, write_json
from pneumo_tfds.program.installed import version_of
from pneumo_tfds.program.progress import stage

ROUNDS = 3
"""Steps of each way that are timed, in turn, after one that compiles it."""

NEAR = 1.03
"""Two ways whose times differ by less than this factor are as fast as each other."""

VARIABLES = ("TF_ENABLE_ONEDNN_OPTS", "ONEDNN_MAX_CPU_ISA", "TF_NUM_INTRAOP_THREADS")

Step = Callable[[], Any]


def fastest(config: RunConfig) -> Execution:
    """Return the fastest valid way to run the training steps of a run here, with how it was found as `why`.

    The first call for a network on a machine takes about the time of compiling it twice; later ones read what was kept.
    Measurements that contradict each other are not kept, and float32 is taken, which is slow nowhere.
    """
    ways = candidates(config.fit)
    if len(ways) == 1:
        return ways[0]
    key = _key(config)
    times = _kept().get(key)
    if times is None or times.keys() != {way.precision for way in ways}:
        with stage(f"Measuring which is faster: {' or '.join(way.precision for way in ways)}"):
            seconds = np.asarray(_measured(config, ways))
        medians = np.median(seconds, axis=1).tolist()
        times = {way.precision: median for way, median in zip(ways, medians, strict=True)}
        if not _agree(seconds):
            safe = next(way for way in ways if way.precision == "float32")
            return replace(safe, why="measurements contradict each other on this busy machine; the safe choice")
        with suppress(InputError):  # a home folder that cannot be written; it is measured again at the next start
            write_json(cache_folder() / "fastest.json", {**_kept(), key: times})
    best = min(ways, key=lambda way: times[way.precision])
    others = [
        f"{times[way.precision] / times[best.precision]:.1f} times as fast as {way.precision}"
        for way in ways
        if way is not best
    ]
    return replace(best, why=f"measured here: {', '.join(others)}")


def fastest_for(file: Path, config: RunConfig) -> Execution:
    """Return the way that `file` records, so that work that was begun goes on alike; else the fastest, recorded there.

    Raises:
        InputError: the file is damaged.
    """
    if file.exists():
        remedy = "remove it, and it is measured again"
        try:
            return Execution(**read_json(file, remedy))
        except TypeError as error:
            raise InputError(f"{file} is damaged ({error}); {remedy}") from error
    execution = fastest(config)
    write_json(file, vars(execution))
    return execution


def _agree(seconds: NDArray[np.float64]) -> bool:
    """Return whether the same way won every round, or all are as fast as each other; `seconds` are [ways, rounds]."""
    medians, winners = np.median(seconds, axis=1), np.argmin(seconds, axis=0)
    return len(np.unique(winners)) == 1 or bool(medians.max() < NEAR * medians.min())


def _measured(config: RunConfig, ways: Sequence[Execution]) -> list[list[float]]:
    """Return the seconds of every round of each way."""
    steps = [_step(config, way) for way in ways]
    for step in steps:
        step()
    seconds = seconds_in_turn(steps, ROUNDS)
    keras.backend.clear_session()
    return seconds


def seconds_in_turn(steps: Sequence[Step], rounds: int) -> list[list[float]]:
    """Return the seconds of each step in every round. All take turns, so that what slows the machine slows all."""
    seconds: list[list[float]] = [[] for _ in steps]
    for _ in range(rounds):
        for step, times in zip(steps, seconds, strict=True):
            start = time.perf_counter()
            step()
            times.append(time.perf_counter() - start)
    return seconds


def _step(config: RunConfig, way: Execution) -> Step:
    """Return a function that computes the gradients of the network for one batch and waits for them."""
    part = network_part(config, config.data.image_size)
    network, size = part.build(way), part.image_size
    images = tf.random.stateless_uniform((config.fit.batch_size, size, size, 1), (0, 0), maxval=255.0)

    @tf.function(jit_compile=way.xla)
    def gradients() -> Any:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(network(images, training=True)))
        variables = [variable.value for variable in network.trainable_variables]
        return tf.add_n([tf.reduce_sum(gradient) for gradient in tape.gradient(loss, variables)])

    return lambda: gradients().numpy()


def measured_here() -> dict[str, str]:
    """Return what was measured here with these libraries: the network, and the seconds of a step in each way."""
    found = {}
    for key, times in _kept().items():
        with suppress(*JSON_SHAPE_ERRORS):  # an entry of another release
            machine, network = json.loads(key)
            if machine == _machine():
                name = "{model}, {image_size} pixels, {batch_size} a step".format(**network)
                found[name] = ", ".join(f"{way} {seconds:.2f} s" for way, seconds in times.items())
    return found


def _key(config: RunConfig) -> str:
    network = {
        "model": config.model.model,
        "fine_tune_blocks": config.model.free_blocks,
        "width": config.model.width,
        "depth": config.model.depth,
        "image_size": network_part(config, config.data.image_size).image_size,
        "batch_size": config.fit.batch_size,
    }
    return json.dumps([_machine(), network])


def _machine() -> dict[str, Any]:
    """Return what the fastest way depends on apart from the network."""
    return {
        "processor": processor.name(),
        "cores": available_cores(),
        # A step has kernels of this project too.
        **{name: version_of(name) for name in ("pneumo", "tensorflow", "keras")},
        **{name: os.environ.get(name, "") for name in VARIABLES},
    }


def _kept() -> dict[str, dict[str, float]]:
    """Return what was measured before; nothing if the file is damaged."""
    with suppress(InputError, *JSON_SHAPE_ERRORS):
        found = read_json(cache_folder() / "fastest.json", "remove it")
        return {key: {name: float(seconds) for name, seconds in times.items()} for key, times in found.items()}
    return {}
