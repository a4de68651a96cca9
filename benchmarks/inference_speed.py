"""Inference of one network by every runtime: Keras's ways, SavedModel, TF-Lite, and our ONNX files.

Each number of threads has a process of its own, confined to as many cores, because TensorFlow reads it once when it
starts. Every runtime takes a NumPy batch and returns NumPy probabilities. Latencies are those of single calls.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from benchmarks import cold_start
from benchmarks.benchmark_options import BenchmarkOptions
from benchmarks.measuring.harness import CannotRunError, Case, Contender, Pace, Record, Work, measure

IMAGE_SIZE = 150  # the study's
BATCHES, QUICK_BATCHES = (1, 8, 32, 128), (1, 8)
CALIBRATION_IMAGES = 64
SEED = 0
SOURCE = "made images"
TITLE = "compact"
FILES = {"float32": "model.onnx", "float16": "model.fp16.onnx", "int8": "model.int8.onnx"}

Images = npt.NDArray[np.uint8]
Answer = Callable[[Images], Any]
Result = TypeVar("Result")


def measure_stage(options: BenchmarkOptions) -> list[Record]:
    """Measure every runtime at each batch size, on one thread and on all, and the time from start to first answer."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        in_new_process(make_files, folder)
        batches = QUICK_BATCHES if options.quick else BATCHES
        pace = options.pace(seconds=0.6, rounds=5)
        records: list[Record] = []
        for threads in sorted({1, options.workers}):
            records += in_new_process(measure_runtimes, folder, batches, threads, pace)
        return records + cold_start.measure_starts(folder, IMAGE_SIZE, options.workers, 2 if options.quick else 5)


def make_files(folder: Path) -> None:
    """Build `compact` with fresh weights and write it as Keras, SavedModel, TF-Lite and ONNX files."""
    import keras
    import tensorflow as tf

    from export.graph.convert import to_onnx
    from export.graph.quantize import to_fp16, to_int8
    from export.inference.onnx_metadata import Metadata
    from pipeline.config import ModelConfig
    from pipeline.networks.models import build, inference_model

    keras.utils.set_random_seed(SEED)
    model = inference_model(build(ModelConfig(model="compact"), IMAGE_SIZE))
    model.save(folder / "model.keras")
    model.export(folder / "saved_model", verbose=False)
    if hasattr(tf, "lite"):
        lite = tf.lite.TFLiteConverter.from_saved_model(str(folder / "saved_model")).convert()
        (folder / "model.tflite").write_bytes(lite)
    facts = Metadata(
        image_size=IMAGE_SIZE, threshold=0.5, threshold_rule="none", dataset="none", dataset_version="0", metrics={}
    )
    source = folder / FILES["float32"]
    source.write_bytes(to_onnx(model, facts.to_props()).SerializeToString())
    (folder / FILES["float16"]).write_bytes(to_fp16(source).SerializeToString())
    (folder / FILES["int8"]).write_bytes(to_int8(source, images(CALIBRATION_IMAGES)).SerializeToString())


def images(count: int) -> Images:
    """Return noise of medium roughness, uint8 `[count, S, S, 1]`; convolutions take as long on it as on an X-ray."""
    coarse = np.random.default_rng(SEED).integers(
        0, 256, (count, IMAGE_SIZE // 10, IMAGE_SIZE // 10, 1), dtype=np.uint8
    )
    return coarse.repeat(10, axis=1).repeat(10, axis=2)


def measure_runtimes(folder: Path, batches: tuple[int, ...], threads: int, pace: Pace) -> list[Record]:
    """Measure one table for each batch size. Call it in a process where TensorFlow has not started."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    records: list[Record] = []
    for size in batches:
        case = Case("inference", SOURCE, IMAGE_SIZE, size, threads, TITLE)
        contenders = [
            contender(name, partial(load, folder / file, threads), folder / file, images(size))
            for name, (load, file) in RUNTIMES.items()
        ]
        records += measure(case, contenders, pace)
    return records


def contender(name: str, load: Callable[[], Answer], file: Path, batch: Images) -> Contender:
    """Return a runtime as a contender, with its latencies and the size of its file as details."""
    latencies: list[float] = []

    def run() -> Work:
        answer = load()
        while True:
            start = time.perf_counter()
            answer(batch)
            latencies.append(time.perf_counter() - start)
            yield len(batch)

    def details() -> Mapping[str, float]:
        settled = np.array(latencies[1:] or latencies) * 1000  # the first call compiles
        shares = {f"p{share} ms": round(float(np.percentile(settled, share)), 2) for share in (50, 95, 99)}
        return {**shares, "MB": round(size_in_bytes(file) / 1e6, 2)}

    return Contender(name, run, keep=True, details=details, extra="train")


def size_in_bytes(path: Path) -> int:
    """Return the size of a file, or of all files in a folder."""
    files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    return sum(file.stat().st_size for file in files)


def _keras(path: Path) -> Any:
    from pipeline.run_folder.model_file import load_model

    return load_model(path)


def _predict(path: Path, threads: int) -> Answer:
    model = _keras(path)
    return lambda batch: model.predict(batch, batch_size=len(batch), verbose=0)["probability"]


def _call(path: Path, threads: int) -> Answer:
    model = _keras(path)
    return lambda batch: model(batch, training=False)["probability"].numpy()


def _function(path: Path, threads: int, *, xla: bool) -> Answer:
    import tensorflow as tf

    model = _keras(path)
    compiled = tf.function(lambda batch: model(batch, training=False), jit_compile=xla)
    return lambda batch: compiled(tf.constant(batch))["probability"].numpy()


def _saved_model(path: Path, threads: int) -> Answer:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))
    return lambda batch: loaded.serve(tf.constant(batch))["probability"].numpy()


def tf_lite(path: Path, threads: int) -> Answer:
    """Return TF-Lite's interpreter of a file.

    Raises:
        CannotRunError: this TensorFlow has no TF-Lite.
    """
    import tensorflow as tf

    if not path.is_file():
        raise CannotRunError("this TensorFlow has no TF-Lite")
    runner = tf.lite.Interpreter(str(path), num_threads=threads).get_signature_runner()
    (name,) = runner.get_input_details()
    return lambda batch: runner(**{name: batch})


def _ours(path: Path, threads: int) -> Answer:
    from export.inference.classifier import Classifier

    classifier = Classifier(path, threads=threads)
    return lambda batch: classifier.predict_batch(batch)["probability"]


RUNTIMES: dict[str, tuple[Callable[[Path, int], Answer], str]] = {
    "peer: Keras model.predict": (_predict, "model.keras"),
    "peer: Keras model(x)": (_call, "model.keras"),
    "peer: Keras in tf.function": (partial(_function, xla=False), "model.keras"),
    "peer: Keras in tf.function, XLA": (partial(_function, xla=True), "model.keras"),
    "peer: SavedModel": (_saved_model, "saved_model"),
    "peer: TF-Lite": (tf_lite, "model.tflite"),
    "ours: onnxruntime float32": (_ours, FILES["float32"]),
    "ours: onnxruntime float16": (_ours, FILES["float16"]),
    "ours: onnxruntime int8": (_ours, FILES["int8"]),
}
"""Name to the function that loads a file for a number of threads, and the file."""


def in_new_process(work: Callable[..., Result], *arguments: Any) -> Result:
    """Run `work` in a new process, so that nothing it starts or sets stays behind."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()
