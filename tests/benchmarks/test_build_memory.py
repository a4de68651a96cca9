"""The memory of a build: what is counted, and that it does not grow with the number of images."""

import sys

import pytest

from benchmarks.build_memory import build_usage, usage
from pneumo_tfds.errors import InputError

HOLD = "x = bytearray(80_000_000); x[::4096] = b'1' * len(x[::4096]);"


def test_memory_of_children_is_counted_too():
    inner = HOLD + "import time; time.sleep(1)"
    nested = f"import subprocess, sys; {HOLD} subprocess.run([sys.executable, '-c', {inner!r}])"
    used = usage([sys.executable, "-c", nested])
    assert 160 < used.megabytes < 300
    assert used.processes == 2
    assert used.seconds >= 1


def test_a_command_that_fails_is_named_with_what_it_said():
    with pytest.raises(InputError, match=r"failed with 3 and said: no luck"):
        usage([sys.executable, "-c", "import sys; print('no luck', file=sys.stderr); sys.exit(3)"])


@pytest.mark.long
def test_memory_does_not_grow_with_the_number_of_images():
    few, many = (build_usage(count, "phantom_224", workers=2).megabytes for count in (500, 2000))
    assert many < 1500
    assert many - few < 60, "1,500 more images: drawn, encoded and decoded they would be 2,400 MB, as records 75 MB"
