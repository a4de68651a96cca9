"""Every writer, on a disk that is full at any byte or at the last moment: the old file stays, and no other appears."""

import ast
import contextlib
import csv
import ctypes
import json
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from full_disk import full_after
from pneumo_tfds.program.errors import InputError

ROOT = Path(__file__).parents[2]
PACKAGES = ("pneumo_tfds", "pipeline", "tuning", "export", "benchmarks")
WRITE_NAMES = (
    ".write_text", ".write_bytes", ".savefig", ".savez", ".savez_compressed", ".copyfile", ".TFRecordWriter",
    "model.save", ".imwrite",
)  # fmt: skip
ELSEWHERE = {
    "pneumo_tfds/program/files.py": "it is what the others use",
    "pneumo_tfds/writing/shard_files.py": "a folder that TFDS names when all is written",
    "pneumo_tfds/pneumo_tfds_dataset_builder.py": "the same folder",
    "pneumo_tfds/phantoms/phantom_source.py": "a folder that was empty, and is again if it fails",
    "pneumo_tfds/program/locks.py": "locks",
    "pneumo_tfds/audit/audit_page.py": "memory",
    "pipeline/run_folder/model_file.py": "a function that `replace_patiently` calls",
    "export/carry_decision.py": "memory",
    "export/export_run.py": "candidates, in a temporary folder",
    "export/recalibration/labelled_images.py": "a temporary folder",
    "export/watching/watch_journal.py": "a lock; the journal is SQLite's",
    "export/inference/outputs.py": "a file that `replacing` holds open",
    "pipeline/networks/own_model.py": "a temporary folder",
    "pipeline/tracking/to_tensorboard.py": "the log of TensorBoard, event after event",
    "tuning/local_workers.py": "the logs of workers, line after line",
    "benchmarks/inference_speed.py": "a temporary folder",
    "benchmarks/image_folders.py": "a temporary folder",
}


def writes(tree):
    """Lines that write to disk outside `with replacing(...)` and `replace_patiently(...)`."""
    safe = {
        id(inside)
        for node in ast.walk(tree)
        if (isinstance(node, ast.With) and any("replacing(" in ast.unparse(item) for item in node.items))
        or (isinstance(node, ast.Call) and ast.unparse(node.func) == "replace_patiently")
        for inside in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and id(node) not in safe:
            called = ast.unparse(node.func)
            words = [word.value for word in node.args if isinstance(word, ast.Constant) and isinstance(word.value, str)]
            opened = called.split(".")[-1] == "open" and any(set(word) & set("wax") and len(word) < 4 for word in words)
            if called.endswith(WRITE_NAMES) or opened:
                yield node.lineno


def test_whatever_is_written_is_written_beside_and_renamed():
    found = {}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            if "node_modules" not in path.parts and (lines := list(writes(ast.parse(path.read_text())))):
                found[path.relative_to(ROOT).as_posix()] = lines
    assert set(found) <= set(ELSEWHERE), f"in place: {found}"


def predictions(path):
    from pipeline.evaluation.predictions import Predictions, write_csv

    names = np.array([f"{number}.jpeg" for number in range(40)])
    write_csv(path, {"test": Predictions(names, names, names, np.arange(40) % 2, np.linspace(0, 1, 40))})


def checkpoint(path):
    from pipeline.run_folder.checkpoint import save

    save(path.parent, {"network": [np.arange(500.0)]}, {"history": []})


def golden(path):
    from export.inference.golden import write

    write(path, {"images": np.random.default_rng(0).integers(0, 256, 2000, dtype=np.uint8)})


def answers(path):
    from export.inference.outputs import Writers

    with Writers(json_path=path) as writers:
        for number in range(50):
            writers.write({"file": f"{number}.jpeg", "error": "no"})


def table(path):
    from export.inference.outputs import Writers

    with Writers(csv_path=path) as writers:
        for number in range(50):
            writers.write({"file": f"{number}.jpeg", "error": "no"})


def overlay(path):
    from export.inference.outputs import Writers

    with Writers(heatmap=path.parent) as writers:
        writers.overlay("x", np.zeros((32, 32, 1), np.uint8), np.ones((4, 4), np.float32))


def plot(path):
    from pipeline.report.plot_style import canvas

    with canvas(path, 2, 2) as axes:
        axes.plot([0, 1], [1, 0])


def chart(path):
    from benchmarks.measuring.chart import write
    from benchmarks.measuring.harness import Case, Record

    write(path, [Record(Case("build", "made", 32, 1, 1, ""), "ours: this", (1.0, 2.0))])


def settings(path):
    from pipeline.config import RunConfig
    from pipeline.run_folder.folder import RunFolder

    RunFolder(path.parent).write_config(RunConfig())


def journal(path):
    from tuning.search.journal import Journal

    Journal({"dropout": 0.1}, reason="none " * 100).write(path.parent)


def leaderboard(path):
    from tuning.results.leaderboard import TrialRow, write_csv

    write_csv(
        [TrialRow(1, "finished", 0.9, 3, 1.0, {"dropout": 0.1}, (), "")] * 20, SimpleNamespace(name="auroc"), path
    )


def ladder(path):
    from pipeline.ladder import Ladder, write_tables

    write_tables(Ladder(out=path.parent), {"base": "not run"})


def model(path):
    import keras

    from pipeline.run_folder.model_file import save_model

    image = keras.Input((4, 4, 1))
    save_model(path, keras.Model(image, keras.layers.Flatten()(image)))


def history(path):
    from pipeline.run_folder.history import Epoch, append

    path.unlink(missing_ok=True)
    append(path, Epoch(1, *[0.5] * 8))


WRITERS = {
    "predictions.csv": predictions,
    "state.npz": checkpoint,
    "golden.npz": golden,
    "answers.jsonl": answers,
    "answers.csv": table,
    "x.heatmap.png": overlay,
    "plot.png": plot,
    "chart.svg": chart,
    "config.json": settings,
    "journal.json": journal,
    "leaderboard.csv": leaderboard,
    "ladder.md": ladder,
}
WITH_TENSORFLOW = {"model.keras": model}


@pytest.mark.parametrize(
    ("name", "write"),
    [*WRITERS.items(), *(pytest.param(*pair, marks=pytest.mark.slow) for pair in WITH_TENSORFLOW.items())],
    ids=[*WRITERS, *WITH_TENSORFLOW],
)
def test_disk_that_is_full_at_any_byte_leaves_the_old_file(name, write, tmp_path):
    path = tmp_path / name
    write(path)
    before = {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()}
    whole = len(before[name])
    for size in sorted({0, 1, whole // 3, whole - 1}):
        with full_after(size), pytest.raises(InputError) as caught:
            write(path)
        assert f"cannot write {tmp_path}" in str(caught.value)
        assert "make room or choose another folder" in str(caught.value)
        assert {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()} == before, f"at byte {size}"
    write(path)
    assert set(before) == {entry.name for entry in tmp_path.iterdir()}


COMMANDS = {
    "audit": ("pneumo_tfds audit --source xrays --json out/a.json --html out/a.html", 2),
    "show": ("pneumo_tfds show --source xrays --out out", 2),
    "compare": ("pipeline.compare runs/one runs/two --resamples 100 --json out/pairs.json", 1),
    "predict": ("export.predict model.onnx xrays --json out/a.jsonl --csv out/a.csv", 2),
}


@pytest.mark.parametrize(("line", "files"), COMMANDS.values(), ids=list(COMMANDS))
def test_command_whose_nth_file_meets_a_full_disk_goes_on_when_there_is_room(
    line, files, place, run, refused, full_disk
):
    place.take("xrays", "runs", "model.onnx")
    assert run(line).code == 0
    before = {path: path.read_bytes() for path in Path("out").iterdir()}
    assert len(before) == files
    for number in range(1, files + 1):
        full_disk.at(number)
        assert "No space left on device; make room or choose another folder" in refused(line)
        assert set(Path("out").iterdir()) == set(before)
        assert number > 1 or all(path.read_bytes() == content for path, content in before.items())
    full_disk.at(files + 1)
    assert run(line).code == 0
    assert set(Path("out").iterdir()) == set(before)


DENIED = {
    "phantoms": "pneumo_tfds phantoms --out closed/new --count 60",
    "build": "pneumo_tfds build --source xrays --config gray_32 --data-dir closed/data",
    "audit": "pneumo_tfds audit --source xrays --json closed/a.json",
    "show": "pneumo_tfds show --source xrays --out closed",
    "train": "pipeline.train --model compact --run-dir closed/run",
    "ladder": "pipeline.ladder --rows base --source xrays --data-dir data --out closed",
    "compare": "pipeline.compare runs/one runs/two --resamples 100 --json closed/pairs.json",
    "tune": "tuning --model compact --run-dir closed/run",
    "predict": "export.predict model.onnx xrays --csv closed/a.csv",
    "heatmaps": "export.predict model.onnx xrays --json closed/a.jsonl",
    # What is to be read is not there, so they are refused before their work begins.
    "recalibrate": "export.recalibrate gone.onnx --source gone --out closed/new.onnx",
    "drift": "export.drift gone.jsonl --model gone.onnx --plot closed/a.png",
    "learn_lungs": "pipeline.learn_lungs --boxes gone.csv --out closed/lungs.npz",
    "show_augmented": "pipeline.show_augmented --source gone --out closed/new",
}
HEAVY = {"build", "ladder", "tune"}


OVERRIDE = 1 << 1  # CAP_DAC_OVERRIDE of linux/capability.h: what lets root write where it may not
CAPABILITIES_3 = 0x20080522


@contextlib.contextmanager
def bound_by_permissions():
    """Let permissions bind this thread even if it is root's; others can only pass."""
    if os.geteuid():
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header, data = (ctypes.c_uint32 * 2)(CAPABILITIES_3, 0), (ctypes.c_uint32 * 6)()
    if libc.capget(header, data):
        pytest.skip("root's capabilities cannot be taken away here")
    effective = data[0]
    try:
        data[0] = effective & ~OVERRIDE
        assert libc.capset(header, data) == 0
        yield
    finally:
        data[0] = effective
        assert libc.capset(header, data) == 0


@pytest.fixture
def closed(place):
    """A folder that may be read but not written."""
    place.write("closed/kept.txt", "kept")
    Path("closed").chmod(0o555)
    yield
    Path("closed").chmod(0o755)


@pytest.mark.parametrize(
    "line",
    [pytest.param(line, id=name, marks=[pytest.mark.slow] * (name in HEAVY)) for name, line in DENIED.items()],
)
def test_folder_that_may_not_be_written_is_one_line(line, place, refused, closed):
    place.take("xrays", "runs", "model.onnx")
    with bound_by_permissions():
        error = refused(line)
    assert "closed" in error
    assert "Permission denied; " in error
    assert [path.name for path in Path("closed").iterdir()] == ["kept.txt"]


def test_json_and_csv_of_one_command_are_of_one_call(place, run, full_disk):
    """The outputs of one call are renamed when all of it was written, so that none is of another call."""
    place.take("xrays", "model.onnx")
    full_disk.at(1)
    line = "export.predict model.onnx xrays --json a.jsonl --csv a.csv"
    assert run(line).code == 2
    assert not Path("a.jsonl").exists()
    full_disk.at(0)
    assert run(line).code == 0
    lines = [json.loads(line)["file"] for line in Path("a.jsonl").read_text().splitlines()]
    with Path("a.csv").open(newline="") as file:
        assert [row["file"] for row in csv.DictReader(file)] == lines
