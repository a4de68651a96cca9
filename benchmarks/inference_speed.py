"""Inference of one network by every runtime: Keras's ways, SavedModel, TF-Lite, LiteRT, OpenVINO, and our ONNX files.

Each number of threads has a process of its own, confined to as many cores, because TensorFlow reads it once when it
starts. Every runtime takes a NumPy batch and returns NumPy probabilities, which are compared with those of onnxruntime
in float32 before anything is measured. Latencies are those of single calls. Of a file that is given by --model,
onnxruntime and OpenVINO are measured.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from benchmarks import cold_start
from benchmarks.benchmark_options import BenchmarkOptions
from benchmarks.measuring.harness import CannotRunError, Case, Contender, Pace, Record, Work, measure
from benchmarks.runtimes import BASE, BASE_OF_GIVEN, EXACT, FILES, RUNTIMES, Images, Runtime, runtimes_of_given

IMAGE_SIZE = 150  # the study's
BATCHES, QUICK_BATCHES = (1, 8, 32, 128), (1, 8)
CALIBRATION_IMAGES = 64
SEED = 0
SOURCE = "made images"
TITLE = "compact"

Result = TypeVar("Result")


def measure_stage(options: BenchmarkOptions) -> list[Record]:
    """Measure every runtime at each batch size, on one thread and on all, and the time from start to first answer."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        batches = QUICK_BATCHES if options.quick else BATCHES
        pace = options.pace(seconds=0.5, rounds=5)
        if options.model is None:
            in_new_process(make_files, folder)
        records: list[Record] = []
        for threads in sorted({1, options.workers}):
            records += in_new_process(measure_runtimes, folder, batches, threads, pace, options.model)
        if options.model is not None:
            return records  # a cold start needs the Keras model
        return records + cold_start.measure_starts(folder, IMAGE_SIZE, options.workers, 2 if options.quick else 5)


def make_files(folder: Path) -> None:
    """Write the network of `make_onnx` as Keras, SavedModel, TF-Lite and ONNX files."""
    import tensorflow as tf

    from export.graph.quantize import to_fp16, to_int8

    model = make_onnx(folder)
    model.save(folder / "model.keras")
    model.export(folder / "saved_model", verbose=False)
    if hasattr(tf, "lite"):
        lite = tf.lite.TFLiteConverter.from_saved_model(str(folder / "saved_model")).convert()
        (folder / "model.tflite").write_bytes(lite)
    source = folder / FILES["float32"]
    (folder / FILES["float16"]).write_bytes(to_fp16(source).SerializeToString())
    (folder / FILES["int8"]).write_bytes(to_int8(source, images(CALIBRATION_IMAGES)).SerializeToString())


def make_onnx(folder: Path) -> Any:
    """Build `compact` with fresh weights, write it as an ONNX file and return it as a Keras model.

    Its logits are given mean 0 and deviation 1, so that wrong answers differ from right ones.
    """
    import keras

    from export.graph.convert import to_onnx
    from export.inference.onnx_metadata import Metadata
    from pipeline.config import ModelConfig
    from pipeline.networks.inference_model import LOGIT, inference_model
    from pipeline.networks.models import build

    keras.utils.set_random_seed(SEED)
    network = build(ModelConfig(model="compact"), IMAGE_SIZE)
    logits = network.predict(images(CALIBRATION_IMAGES).astype(np.float32), verbose=0)
    head = network.get_layer(LOGIT)
    kernel, bias = head.get_weights()
    head.set_weights([kernel / logits.std(), (bias - logits.mean()) / logits.std()])
    facts = Metadata(
        image_size=IMAGE_SIZE, threshold=0.5, threshold_rule="none", dataset="none", dataset_version="0", metrics={}
    )
    model = inference_model(network)
    (folder / FILES["float32"]).write_bytes(to_onnx(model, facts.to_props()).SerializeToString())
    return model


def images(count: int, side: int = IMAGE_SIZE) -> Images:
    """Return noise of medium roughness, uint8 `[count, S, S, 1]`; convolutions take as long on it as on an X-ray."""
    cells = -(-side // 10)
    coarse = np.random.default_rng(SEED).integers(0, 256, (count, cells, cells, 1), dtype=np.uint8)
    return coarse.repeat(10, axis=1).repeat(10, axis=2)[:, :side, :side]


def measure_runtimes(
    folder: Path, batches: tuple[int, ...], threads: int, pace: Pace, model: Path | None = None
) -> list[Record]:
    """Measure one table for each batch size. Call it in a process where TensorFlow has not started.

    Args:
        folder: with the files of `make_files`.
        batches: sizes.
        threads: of every runtime.
        pace: how long to measure.
        model: an ONNX file to measure instead.

    Raises:
        InputError: `model` cannot be opened.
    """
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    if model is None:
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
        side, title, base, runtimes = IMAGE_SIZE, TITLE, BASE, RUNTIMES
    else:
        from export.inference.classifier import Classifier

        side, title = Classifier(model).metadata.image_size, model.name
        folder, base, runtimes = model.parent, BASE_OF_GIVEN, runtimes_of_given(model.name)
    records: list[Record] = []
    for size in batches:
        case = Case("inference", SOURCE, side, size, threads, title, base)
        batch = images(size, side)
        expected = runtimes[base].load(folder / runtimes[base].file, threads)(batch)
        contenders = [contender(name, runtimes[name], folder, threads, batch, expected) for name in runtimes]
        records += measure(case, contenders, pace)
    return records


def contender(
    name: str, runtime: Runtime, folder: Path, threads: int, batch: Images, expected: npt.NDArray[np.float32]
) -> Contender:
    """Return a runtime as a contender, with its latencies, largest difference and the size of its file as details."""
    latencies, differences = list[float](), list[float]()
    file = folder / runtime.file

    def run() -> Work:
        answer = runtime.load(file, threads)
        differences.append(float(np.abs(np.ravel(answer(batch)) - np.ravel(expected)).max()))
        if differences[0] > runtime.tolerance:
            raise CannotRunError(f"probabilities differ by {differences[0]:.2g}, more than {runtime.tolerance}")
        while True:
            start = time.perf_counter()
            answer(batch)
            latencies.append(time.perf_counter() - start)
            yield len(batch)

    def details() -> Mapping[str, float]:
        return {**percentiles(latencies), "MB": round(size_in_bytes(file) / 1e6, 2), "differs by": max(differences)}

    rounded = runtime.tolerance > EXACT
    return Contender(name, run, needs=runtime.needs, keep=True, rounded=rounded, details=details)


def percentiles(latencies: Sequence[float]) -> dict[str, float]:
    """Return percentiles of latencies, given in seconds, in milliseconds."""
    return {f"p{share} ms": round(float(np.percentile(latencies, share)) * 1000, 2) for share in (50, 95, 99)}


def size_in_bytes(path: Path) -> int:
    """Return the size of a file, or of all files in a folder."""
    files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    return sum(file.stat().st_size for file in files)


def in_new_process(work: Callable[..., Result], *arguments: Any) -> Result:
    """Run `work` in a new process, so that nothing it starts or sets stays behind."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()
