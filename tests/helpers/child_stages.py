"""Stages for tests of `run_in_child_process`: a new process must be able to import them by name."""

import os
import signal

from pneumo_tfds.program.errors import InputError


def where(add):
    return os.getpid() + add


def refuse():
    raise InputError("--source none does not exist; name a folder")


def fill_the_disk():
    raise OSError(28, "No space left on device", "model.onnx")


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def fail():
    raise ZeroDivisionError("a bug")


def leave():
    raise KeyboardInterrupt
