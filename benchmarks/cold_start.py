"""Cold starts: the time from the start of a process to its first probability, as a command or a container takes it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median

from benchmarks.measuring import tensorflow_threads
from benchmarks.measuring.harness import CannotRunError, Case, Record
from pneumo_tfds.program.progress import track

ZEROS = "import numpy as np; x = np.zeros((1, {size}, {size}, 1), np.uint8); x[0, 0] = 255;"
# After the answer, so outside the time. VmHWM of Linux is reset at exec; getrusage would count the parent's memory.
PEAK = (
    ";import pathlib, resource; p = pathlib.Path('/proc/self/status');"
    "print(int(p.read_text().split('VmHWM:')[1].split()[0]) if p.exists() else "
    "resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
)
WAYS = {
    "peer: Keras model.predict": (
        "import keras; m = keras.models.load_model({folder!r} + '/model.keras', compile=False);"
        "print(m.predict(x, verbose=0)['probability'][0, 0], flush=True)"
    ),
    "peer: SavedModel": (
        "import tensorflow as tf; m = tf.saved_model.load({folder!r} + '/saved_model');"
        "print(m.serve(tf.constant(x))['probability'].numpy()[0, 0], flush=True)"
    ),
    "ours: onnxruntime float32": (
        "from export import Classifier; m = Classifier({folder!r} + '/model.onnx', threads={threads});"
        "print(m.predict(x)[0].probability, flush=True)"
    ),
    "ours: onnxruntime int8": (
        "from export import Classifier; m = Classifier({folder!r} + '/model.int8.onnx', threads={threads});"
        "print(m.predict(x)[0].probability, flush=True)"
    ),
}


def measure_starts(folder: Path, image_size: int, threads: int, rounds: int) -> list[Record]:
    """Return one record for each way: images per second is one over the seconds; peak memory is a detail.

    A way whose process ended without an answer has a note instead.

    Args:
        folder: with `model.keras`, `saved_model`, `model.onnx` and `model.int8.onnx`.
        image_size: of the model, pixels.
        threads: of every way.
        rounds: starts of each way, in turn.
    """
    case = Case("inference", "made images", image_size, 1, threads, "cold start: process start to first answer")
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in WAYS}
    failed: dict[str, str] = {}
    for name in track([name for _ in range(rounds + 1) for name in WAYS], "cold starts"):
        if name not in failed:
            try:
                taken[name].append(start_once(code_of(name, folder, image_size, threads), threads))
            except CannotRunError as error:
                failed[name] = str(error)
    return [  # without the first start, which fills the disk cache
        Record(case, name, note=failed[name]) if name in failed else _record(case, name, runs[1:])
        for name, runs in taken.items()
    ]


def code_of(way: str, folder: Path, image_size: int, threads: int) -> str:
    """Return the program of one way, which prints a probability."""
    return (ZEROS + WAYS[way]).format(size=image_size, folder=str(folder), threads=threads)


def start_once(code: str, threads: int) -> tuple[float, float]:
    """Return the seconds until a new Python process that runs `code` prints its first line, and its peak memory, MB.

    TensorFlow has `threads` threads there.

    Raises:
        CannotRunError: it ended without a line.
    """
    start = time.perf_counter()
    environment = {**os.environ, **tensorflow_threads.variables(threads), "TF_CPP_MIN_LOG_LEVEL": "3"}
    process = subprocess.Popen(
        [sys.executable, "-c", code + PEAK], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    )
    if process.stdout is None:
        raise CannotRunError("the process has no standard output")
    with process.stdout as output:
        answer = output.readline()
        seconds = time.perf_counter() - start
        peak = output.readline()
    if process.wait() or not answer.strip() or not peak.strip().isdigit():
        raise CannotRunError("the process ended without an answer")
    return seconds, int(peak) / 1000


def _record(case: Case, name: str, runs: list[tuple[float, float]]) -> Record:
    seconds, megabytes = median(run[0] for run in runs), max(run[1] for run in runs)
    details: Mapping[str, float] = {"seconds": round(seconds, 2), "peak MB": round(megabytes)}
    return Record(case, name, tuple(1 / run[0] for run in runs), details=details)
