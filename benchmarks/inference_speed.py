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
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

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

EXACT, ROUNDED = 1e-3, 0.25
"""Largest differences of a probability, in float32 and in fewer bits. The logits have mean 0 and deviation 1."""

Images = npt.NDArray[np.uint8]
Answer = Callable[[Images], Any]
"""From uint8 `[N, S, S, 1]` to N probabilities, of any shape."""
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
    """Return TF-Lite's interpreter of a file; raises `CannotRunError` if this TensorFlow has no TF-Lite."""
    import tensorflow as tf

    return _interpreted(lambda: tf.lite.Interpreter, path, threads)


def lite_rt(path: Path, threads: int) -> Answer:
    """Return the same of LiteRT, TF-Lite's successor. Its newer `CompiledModel` fails on two outputs of any batch."""

    def interpreter() -> Any:
        from ai_edge_litert.interpreter import Interpreter

        return Interpreter

    return _interpreted(interpreter, path, threads)


def _interpreted(interpreter: Callable[[], Any], path: Path, threads: int) -> Answer:
    if not path.is_file():
        raise CannotRunError("this TensorFlow has no TF-Lite, which converts the network")
    runner = interpreter()(str(path), num_threads=threads).get_signature_runner()
    (name,) = runner.get_input_details()
    return lambda batch: runner(**{name: batch})["probability"]


def open_vino(path: Path, threads: int, *, precision: str = "f32") -> Answer:
    """Return OpenVINO's network of an ONNX file, compiled for each shape: for any shape it takes 1.5 times as long.

    Raises:
        CannotRunError: the CPU has no instructions of this precision.
    """
    from export.inference.openvino_session import import_openvino

    core = import_openvino().Core()
    if precision == "bf16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise CannotRunError("this CPU has no bfloat16 instructions")
    settings = {
        "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": precision,
    }  # fmt: skip

    @cache
    def compiled(shape: tuple[int, ...]) -> tuple[Any, Any]:
        network = core.read_model(path)
        network.reshape(list(shape))
        ready = core.compile_model(network, "CPU", settings)
        return ready.create_infer_request(), ready.output("probability")

    def answer(batch: Images) -> Any:
        request, output = compiled(batch.shape)
        request.get_input_tensor().data[:] = batch  # faster than sharing it
        return request.infer()[output]

    return answer


def _ours(path: Path, threads: int) -> Answer:
    from export.inference.classifier import Classifier

    classifier = Classifier(path, threads=threads)
    return lambda batch: classifier.predict_batch(batch)["probability"]


class Runtime(NamedTuple):
    """One way to answer."""

    load: Callable[[Path, int], Answer]
    """Loads the file for a number of threads."""
    file: str
    needs: tuple[str, ...] = ()
    """Modules that must be installed."""
    tolerance: float = EXACT


BASE = "ours: onnxruntime float32"
RUNTIMES = {
    "peer: Keras model.predict": Runtime(_predict, "model.keras"),
    "peer: Keras model(x)": Runtime(_call, "model.keras"),
    "peer: Keras in tf.function": Runtime(partial(_function, xla=False), "model.keras"),
    "peer: Keras in tf.function, XLA": Runtime(partial(_function, xla=True), "model.keras"),
    "peer: SavedModel": Runtime(_saved_model, "saved_model"),
    "peer: TF-Lite": Runtime(tf_lite, "model.tflite"),
    "peer: LiteRT": Runtime(lite_rt, "model.tflite", ("ai_edge_litert",)),
    "peer: OpenVINO float32": Runtime(open_vino, FILES["float32"], ("openvino",)),
    "peer: OpenVINO bfloat16": Runtime(partial(open_vino, precision="bf16"), FILES["float32"], ("openvino",), ROUNDED),
    "peer: OpenVINO int8": Runtime(open_vino, FILES["int8"], ("openvino",), ROUNDED),
    BASE: Runtime(_ours, FILES["float32"]),
    "ours: onnxruntime float16": Runtime(_ours, FILES["float16"], (), ROUNDED),
    "ours: onnxruntime int8": Runtime(_ours, FILES["int8"], (), ROUNDED),
}

BASE_OF_GIVEN = "ours: onnxruntime"


def runtimes_of_given(file: str) -> dict[str, Runtime]:
    """Return the runtimes of an ONNX file of the user's, in whatever precision it is."""
    peer = Runtime(open_vino, file, ("openvino",), ROUNDED)  # its int8 kernels round otherwise
    return {"peer: OpenVINO": peer, BASE_OF_GIVEN: Runtime(_ours, file)}


def in_new_process(work: Callable[..., Result], *arguments: Any) -> Result:
    """Run `work` in a new process, so that nothing it starts or sets stays behind."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()
