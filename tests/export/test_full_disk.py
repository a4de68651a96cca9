"""An export on a full disk leaves the files that were there, and the next export succeeds."""

import json
import shutil

import pytest

from export.export_options import ExportOptions
from export.export_run import export_run
from pneumo_tfds.program.errors import InputError

OPTIONS = ExportOptions(int8=True, threads=1)
WRITTEN = ("model.onnx", "golden.npz", "parity.json", "model.int8.onnx")


def contents(run):
    return {name: (run / name).read_bytes() for name in WRITTEN if (run / name).exists()}


@pytest.mark.slow
def test_export_with_a_disk_that_is_full_at_the_nth_file(exported, tmp_path, sample_images, full_disk):
    run = shutil.copytree(exported, tmp_path / "run")
    metrics = json.loads((run / "metrics.json").read_text())
    metrics["operating_point"]["threshold"] = 0.25
    (run / "metrics.json").write_text(json.dumps(metrics))
    old = contents(run)
    whole = shutil.copytree(run, tmp_path / "whole")
    full_disk.at(0)
    list(export_run(whole, OPTIONS))
    new, files = contents(whole), full_disk.files
    assert old["model.onnx"] != new["model.onnx"]
    assert set(new) == set(WRITTEN)
    for number in range(1, files + 1):
        full_disk.at(number)
        with pytest.raises(InputError, match="No space left on device; make room"):
            list(export_run(run, OPTIONS))
        left = contents(run)
        for name in ("model.onnx", "model.int8.onnx"):
            assert left.get(name) in (old.get(name), new[name]), f"{name} after a full disk at file {number}"
        assert not [path for path in run.iterdir() if "partial" in path.name or "candidate" in path.name]
        shutil.rmtree(run)
        shutil.copytree(whole if number == files else exported, run)
        (run / "metrics.json").write_text(json.dumps(metrics))
    full_disk.at(0)
    list(export_run(run, OPTIONS))
    assert contents(run)["model.onnx"] == new["model.onnx"]
