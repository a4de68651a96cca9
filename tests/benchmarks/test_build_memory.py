"""The memory of a build: what is counted, and that it does not grow with the number of images."""

import json
import sys
from types import SimpleNamespace

import psutil
import pytest

from benchmarks import build_memory
from benchmarks.build_memory import MemoryOptions, Usage, build_usage, usage
from pneumo_tfds.program.errors import InputError

HOLD = "x = bytearray(80_000_000); x[::4096] = b'1' * len(x[::4096]);"


def test_memory_of_children_is_counted_too():
    inner = HOLD + "import time; time.sleep(1)"
    nested = f"import subprocess, sys; {HOLD} subprocess.run([sys.executable, '-c', {inner!r}])"
    used = usage([sys.executable, "-c", nested])
    assert 160 < used.megabytes < 300
    assert used.processes == 2
    assert used.seconds >= 1


def test_a_command_that_fails_is_named_with_its_message():
    with pytest.raises(InputError, match=r"failed with exit code 3: no luck"):
        usage([sys.executable, "-c", "import sys; print('no luck', file=sys.stderr); sys.exit(3)"])


def test_each_count_is_a_line_and_an_entry(tmp_path, monkeypatch, capsys):
    asked = []

    def watched(words):
        asked.append(words[1:-4] if "--workers" in words else words[1:-2])
        return Usage(100.0 + len(asked), 12.0, 3)

    monkeypatch.setattr(build_memory, "usage", watched)
    build_memory.measure_builds(MemoryOptions(counts=(1500, 20), config="phantom_48", json=tmp_path / "memory.json"))
    build_memory.measure_builds(MemoryOptions(counts=(7,), workers=2))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "1,500 phantoms: peak 101 MB in 3 processes, 12 s"
    assert len(lines) == 3
    assert asked[0] == ["-m", "pneumo_tfds", "build", "--config", "phantom_48", "--count", "1500"]
    assert asked[2] == ["-m", "pneumo_tfds", "build", "--config", "phantom_224", "--count", "7"]
    written = json.loads((tmp_path / "memory.json").read_text())
    assert written["config"] == "phantom_48"
    assert written["builds"][1] == {"phantoms": 20, "megabytes": 102.0, "seconds": 12.0, "processes": 3}


def test_a_process_that_has_just_ended_holds_nothing():
    def gone(*_, **__):
        raise psutil.NoSuchProcess(0)

    ended = SimpleNamespace(pid=2**22 + 1, children=gone, memory_info=gone)  # above the largest process id of Linux
    assert build_memory.descendants(ended) == []
    assert build_memory.megabytes(ended) == 0.0
    elsewhere = SimpleNamespace(pid=2**22 + 1, memory_info=lambda: SimpleNamespace(rss=5_000_000))  # no /proc there
    assert build_memory.megabytes(elsewhere) == 5.0


@pytest.mark.long
def test_memory_does_not_grow_with_the_number_of_images():
    few, many = (build_usage(count, "phantom_224", workers=2).megabytes for count in (500, 2000))
    assert many < 1500
    assert many - few < 60, "1,500 more images: drawn, encoded and decoded they would be 2,400 MB, as records 75 MB"
