"""What libraries are told before they are imported, by environment variables that they read once.

The packages that compute with TensorFlow call `prepare_tensorflow` in their `__init__`, so that neither a command, nor
a process that it starts, nor a script that imports one of their modules can forget it. Nothing is imported here. A
variable that the user set is obeyed, but for `KERAS_BACKEND`, and `KERAS_HOME` if the keras.json there is damaged or
made for other networks: the networks here need TensorFlow and `KERAS_SETTINGS`.
"""

from __future__ import annotations

import functools
import json
import os
import platform
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from pneumo_tfds.program.cores_and_memory import affinity_cores, available_cores
from pneumo_tfds.program.files import cache_folder

KERAS_SETTINGS: dict[str, Any] = {"floatx": "float32", "epsilon": 1e-7, "image_data_format": "channels_last"}
"""What the networks here are made for; Keras reads other values from the user's keras.json."""

X86 = ("x86_64", "amd64")

set_here: dict[str, str] = {}
"""Environment variables that were set by this module."""

overruled: dict[str, str] = {}
"""Those of them that the user had set to something else, with the user's value."""

_unsaid: list[str] = []


def ask(variable: str, value: str) -> None:
    """Set an environment variable unless the user set it."""
    if not os.environ.get(variable):
        os.environ[variable] = set_here[variable] = value


def ask_for_few_threads() -> None:
    """Let OpenCV use as many threads as the quota of this process has cores. It counts those of the affinity itself."""
    if available_cores() < affinity_cores():
        ask("OPENCV_FOR_THREADS_NUM", str(available_cores()))


@functools.cache
def prepare_tensorflow() -> None:
    """Choose what TensorFlow and Keras read when they are imported; say what is too late for that.

    - oneDNN on x86: TensorFlow turns it on by itself only if the CPU has AVX-512 VNNI, AVX-VNNI or AMX. On others a
      training step takes 1.5 to 2 times as long without it.
    - Keras on TensorFlow, with `KERAS_SETTINGS`, whatever keras.json says.
    - Threads: no more than the quota of this process allows. TensorFlow obeys the affinity by itself.
    """
    late = "tensorflow" in sys.modules
    if platform.machine().lower() in X86:
        if late and not onednn_is_on() and not os.environ.get("TF_ENABLE_ONEDNN_OPTS"):
            _unsaid.append(
                "TensorFlow was imported before pneumo, without oneDNN, its fast kernels for this CPU; import pneumo's "
                "modules first, or set TF_ENABLE_ONEDNN_OPTS=1"
            )
        elif not late:
            ask("TF_ENABLE_ONEDNN_OPTS", "1")
    _prepare_keras()
    try:
        import wrapt
    except ModuleNotFoundError:  # then TensorFlow is missing as well, which needs it
        return
    wrapt.register_post_import_hook(_tensorflow_was_imported, "tensorflow")


def say() -> None:
    """Print what is to be said about the libraries, each line once, on standard error."""
    while _unsaid:
        print(f"pneumo: {_unsaid.pop(0)}", file=sys.stderr, flush=True)


def onednn_is_on() -> bool | None:
    """Return whether the TensorFlow that was imported uses oneDNN; None if it does not tell."""
    try:
        from tensorflow.python.util import _pywrap_util_port
    except ImportError:
        return None
    return bool(_pywrap_util_port.IsMklEnabled())


def _insist(variable: str, value: str) -> None:
    """Set an environment variable, also if the user set it otherwise."""
    given = os.environ.get(variable)
    if given != value:
        os.environ[variable] = set_here[variable] = value
        overruled.update({variable: given} if given else {})


def _prepare_keras() -> None:
    keras = sys.modules.get("keras")
    if keras is not None:
        if keras.config.backend() != "tensorflow":
            _unsaid.append(
                f"Keras was imported before pneumo and runs on {keras.config.backend()}; pneumo needs TensorFlow: "
                "import its modules first, or set KERAS_BACKEND=tensorflow"
            )
        keras.config.set_floatx(KERAS_SETTINGS["floatx"])
        keras.config.set_epsilon(KERAS_SETTINGS["epsilon"])
        keras.config.set_image_data_format(KERAS_SETTINGS["image_data_format"])
        keras.config.set_dtype_policy(KERAS_SETTINGS["floatx"])
        return
    backend = os.environ.get("KERAS_BACKEND")
    if backend and backend != "tensorflow":
        _unsaid.append(f"KERAS_BACKEND is {backend}; pneumo needs TensorFlow and uses that")
    _insist("KERAS_BACKEND", "tensorflow")
    settings = keras_folder() / "keras.json"
    if reason := _reason_to_ignore(settings):
        other = cache_folder() / "keras"
        _insist("KERAS_HOME", str(other))
        _unsaid.append(f"{settings} {reason} and is not read; what Keras downloads is kept in {other} meanwhile")


def keras_folder() -> Path:
    """Return the folder of keras.json and of downloads, as Keras finds it."""
    home = os.path.expanduser("~")
    default = os.path.join(home if os.access(home, os.W_OK) else "/tmp", ".keras")
    return Path(os.path.expanduser(os.environ.get("KERAS_HOME", default)))


def _reason_to_ignore(settings: Path) -> str:
    """Return why Keras must not read a keras.json; empty if there is none or it changes nothing here.

    Its backend does not, as `KERAS_BACKEND` overrules it.
    """
    try:
        found = json.loads(settings.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return ""
    except (OSError, ValueError, RecursionError):
        return "cannot be read"
    if not isinstance(found, dict):
        return "holds no settings"
    other = [name for name, value in KERAS_SETTINGS.items() if found.get(name, value) != value]
    other += ["nnx_enabled"] if found.get("nnx_enabled") else []
    return f"sets {', '.join(other)}" if other else ""


def _tensorflow_was_imported(tensorflow: ModuleType) -> None:
    say()
    cores = available_cores()
    if cores == affinity_cores():
        return
    try:
        for kind in ("intra", "inter"):
            if not os.environ.get(f"TF_NUM_{kind.upper()}OP_THREADS"):
                getattr(tensorflow.config.threading, f"set_{kind}_op_parallelism_threads")(cores)
    except RuntimeError:  # it computes already
        _unsaid.append(f"TensorFlow was started before pneumo and may use more threads than the {cores} cores allowed")
        say()
