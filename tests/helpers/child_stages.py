"""Stages for tests of `pneumo_tfds.program.child_process`: a new process must be able to import them by name."""

import os
import signal
import sys
import time

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


def speak(marker):
    print("the file is written")
    print("a note", file=sys.stderr)
    marker.write_text("done")


def wait(marker):
    marker.write_text(str(os.getpid()))
    time.sleep(60)
