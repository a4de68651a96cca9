"""Commands on file systems that really are full: one line, nothing half written, and all of it once there is room."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import full_tmpfs

ROOT = Path(__file__).parents[2]
LOCK, FOLDER = "pneumo_tfds/gray_32/.1.1.0.lock", "pneumo_tfds/gray_32/1.1.0"


@pytest.fixture
def on_tmpfs(place):
    """Run a command on file systems of these sizes in kilobytes."""
    if not shutil.which("unshare") or subprocess.run(["unshare", "--mount", "true"], check=False, stderr=-3).returncode:
        pytest.skip("mount namespaces are not permitted here")

    def run(line, *sizes, again=None):
        Path("small").mkdir()
        words = ["unshare", "--mount", sys.executable, full_tmpfs.__file__, "small", line, again or line, *sizes]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        ended = subprocess.run(
            [*map(str, words)], env=environment, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
        )
        if "permission denied" in ended.stderr or "must be superuser" in ended.stderr:
            pytest.skip("mounting is not permitted here")
        assert ended.returncode == 0, ended.stderr
        # What a stage that is a process of its own prints stands between the reports.
        return [json.loads(line) for line in ended.stdout.splitlines() if line.startswith('{"size"')]

    return run


def check(report, line):
    assert report["code"] == 2, report
    *progress, error = report["said"].splitlines()
    assert all(re.search(r"\d s$", each) for each in progress), report["said"]  # of what took long on a busy machine
    assert error.startswith("python -m "), report["said"]
    assert "No space left on device; make room or choose" in error, (line, report["said"])
    assert report["again"] == 0
    assert not [name for name in report["left"] + report["whole"] if "partial" in name or "incomplete" in name]


LIGHT = {
    "predict": ("export.predict model.onnx xrays --csv small/a.csv --json small/b.json", (4, 8)),
    "phantoms": ("pneumo_tfds phantoms --out small/new --count 60", (64, 1000)),
    "audit": ("pneumo_tfds audit --source xrays --html small/a.html --json small/b.json", (4, 8)),
}


@pytest.mark.parametrize(("line", "sizes"), LIGHT.values(), ids=list(LIGHT))
def test_command_on_a_full_disk(line, sizes, place, on_tmpfs):
    place.take("xrays", "model.onnx")
    reports = on_tmpfs(line, *sizes)
    assert [report["size"] for report in reports] == list(sizes)
    for report in reports:
        check(report, line)
        assert set(report["left"]) < set(report["whole"]) == set(reports[0]["whole"])


@pytest.mark.slow
def test_build_on_a_full_disk(place, on_tmpfs):
    place.take("xrays")
    line = "pneumo_tfds build --source xrays --config gray_32 --data-dir small"
    reports = on_tmpfs(line, 4, 16, 40, 60)
    assert len(reports) == 4
    for report in reports:
        check(report, line)
        assert LOCK in report["left"]
        assert not [name for name in report["left"] if name.startswith(FOLDER)]
        assert report["whole"] == reports[0]["whole"]
        assert f"{FOLDER}/dataset_info.json" in report["whole"]


@pytest.mark.long
def test_training_on_a_full_disk(place, on_tmpfs):
    place.take("data")
    flags = "--image-size 32 --epochs 1 --batch-size 8 --precision float32 --xla off --resamples 100"
    line = f"pipeline.train --run-dir small/run --model compact --dataset data/pneumo_tfds/gray_32/1.1.0 {flags}"
    (report,) = on_tmpfs(line, 400, again=f"{line} --resume")
    check(report, line)
    assert "run/config.json" in report["left"]
    assert {"run/model.onnx", "run/report.html", "run/golden.npz"} <= set(report["whole"])
