"""What TensorBoard, MLflow and W&B were told of a training, read back with each tool's own reader."""

from __future__ import annotations

import json
import os
import re
import socket
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.tracking.tracker import BUILT_IN, TrackingError, tracker_class
from pipeline.tracking.tracking import Record, Tracking
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.installed import how_to_install

ROOT = Path(__file__).parents[3]
SETTINGS = {"fit.learning_rate": 5e-4, "fit.epochs": 3, "model.model": "compact", "augment.augment": True}
FIGURES = {"test/auroc": 0.9, "test/auroc_low": 0.85, "test/auroc_high": 0.95}
HASH = "ab" * 32


@pytest.fixture(autouse=True)
def no_settings_of_the_user(monkeypatch):
    for name in [name for name in os.environ if name.startswith(("MLFLOW_", "WANDB_"))]:
        monkeypatch.delenv(name)


@pytest.fixture
def training(tmp_path):
    """Return a function from a number of epochs to the record of a training; it has ended after three."""
    picture = tmp_path / "plots" / "roc_test.png"
    picture.parent.mkdir()
    cv2.imwrite(str(picture), np.zeros((3, 5), np.uint8))

    def record(epochs):
        curves = [
            (number, {"loss": 1 / number, "validation_auroc": 1 - 0.1 / number}) for number in range(1, epochs + 1)
        ]
        if epochs < 3:
            return Record("training", SETTINGS, curves)
        return Record("training", SETTINGS, curves, FIGURES, {"onnx_sha256": HASH}, {"roc_test": picture}, ended=True)

    return record


def follow(folder, name, *records, resume=False):
    """Be one process that tracks a run."""
    said = []
    tracking = Tracking(folder / "run", [name], records[0].name, resume=resume, warn=said.append)
    for record in records:
        tracking.tell(record, last=record is records[-1])
    return said


def two_processes(folder, name, training):
    """Track a run that is killed after its second epoch, whose checkpoint was not written, and is then resumed."""
    assert follow(folder, name, training(1), training(2)) == []
    if name == "wandb":
        sys.modules["wandb"].teardown()  # as at the end of a process
    assert follow(folder, name, training(2), training(3), resume=True) == []


def from_tensorboard(folder):
    pytest.importorskip("tensorboard", reason="needs the tensorboard extra")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder)).Reload()
    curves = {tag: [(one.step, one.value) for one in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
    return curves, events


@pytest.mark.slow
def test_tensorboard_shows_a_resumed_run_as_one(tmp_path, training):
    two_processes(tmp_path, "tensorboard", training)
    curves, events = from_tensorboard(tmp_path / "run" / "tracking" / "tensorboard" / "training")
    assert curves["loss"] == [(1, 1.0), (2, 0.5), (3, pytest.approx(1 / 3))]
    assert {name: curves[name][0][1] for name in FIGURES} == pytest.approx(FIGURES)
    (image,) = events.Images("roc_test")
    assert (image.width, image.height, image.encoded_image_string[1:4]) == (5, 3, b"PNG")
    texts = {tag: events.Tensors(tag)[0].tensor_proto.string_val[0].decode() for tag in events.Tags()["tensors"]}
    assert HASH in texts["onnx_sha256"]
    assert "| fit.learning_rate | 0.0005 |" in texts["settings"]


@pytest.mark.slow
def test_mlflow_shows_a_resumed_run_as_one(tmp_path, training):
    pytest.importorskip("mlflow", reason="needs the mlflow extra")
    two_processes(tmp_path, "mlflow", training)
    client, (run,) = from_mlflow(tmp_path / "run")
    assert run.info.status == "FINISHED"
    assert run.data.params == {name: str(value) for name, value in SETTINGS.items()}
    points = [(one.step, one.value) for one in client.get_metric_history(run.info.run_id, "loss")]
    assert points == [(1, 1.0), (2, 0.5), (3, pytest.approx(1 / 3))]
    assert {name: run.data.metrics[name] for name in FIGURES} == FIGURES
    assert run.data.tags["onnx_sha256"] == HASH
    assert [file.path for file in client.list_artifacts(run.info.run_id, "pictures")] == ["pictures/roc_test.png"]


def from_mlflow(run_folder):
    from mlflow import MlflowClient

    uri = (run_folder / "tracking" / "mlflow").as_uri()
    client = MlflowClient(uri, uri)
    experiment = client.get_experiment_by_name("pneumo")
    return client, client.search_runs([experiment.experiment_id], order_by=["attributes.start_time"])


@pytest.mark.slow
def test_wandb_keeps_a_resumed_run_as_one(tmp_path, training):
    pytest.importorskip("wandb", reason="needs the wandb extra")
    two_processes(tmp_path, "wandb", training)
    records = from_wandb(tmp_path / "run")
    assert len({one.run.run_id for one in records if one.HasField("run")}) == 1
    config = {item.key: json.loads(item.value_json) for one in records for item in one.run.config.update}
    assert {name: config[name] for name in SETTINGS} == SETTINGS
    rows = [
        {key(item): json.loads(item.value_json) for item in one.history.item} for one in records if one.history.item
    ]
    assert [(row["epoch"], row["loss"]) for row in rows if "loss" in row] == [(1, 1.0), (2, 0.5), (3, 1 / 3)]
    summary = {key(item): json.loads(item.value_json) for one in records for item in one.summary.update}
    assert {name: summary[name] for name in FIGURES} == FIGURES
    assert summary["onnx_sha256"] == HASH
    assert rows[-1]["roc_test/path"].startswith("media/images/roc_test")
    assert {one.run.host for one in records if one.HasField("run")} == {""}


def key(item):
    return "/".join(item.nested_key) or item.key


def from_wandb(run_folder):
    """Return all records of W&B's offline files, oldest file first, by its own schema."""
    from wandb.proto.wandb_internal_pb2 import Record as WandbRecord

    files = sorted((run_folder / "tracking" / "wandb").glob("offline-run-*/*.wandb"))
    return [WandbRecord.FromString(data) for path in files for data in log_records(path.read_bytes())]


def log_records(content):
    """Yield the records of a file in LevelDB's log format, which W&B keeps its own in: 32 KiB blocks of chunks."""
    place, record = 7, b""  # after W&B's own header
    while place < len(content):
        left = 32768 - place % 32768
        if left < 7:
            place += left  # a chunk's header does not fit there
            continue
        _, size, kind = struct.unpack_from("<IHB", content, place)
        record += content[place + 7 : place + 7 + size]
        place += 7 + size
        if kind in (1, 4):  # a whole record, or its last chunk
            yield record
            record = b""


def test_a_server_that_is_down_is_refused_at_the_start_and_costs_a_line_later(tmp_path, training, monkeypatch):
    pytest.importorskip("mlflow", reason="needs the mlflow extra")
    from urllib3.connection import HTTPConnection

    connect = HTTPConnection.connect
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{closed.getsockname()[1]}")
        attempts = []
        monkeypatch.setattr(HTTPConnection, "connect", lambda self: attempts.append(self) or connect(self))
        with pytest.raises(InputError, match=r"MLflow at http://127\.0\.0\.1:\d+: no answer; correct that, or leave"):
            follow(tmp_path, "mlflow", training(1))
        said = follow(tmp_path, "mlflow", training(1), training(2), resume=True)
    assert len(attempts) == 6  # each of the three times two, where MLflow's own eight would take minutes
    assert said[0].startswith("Warning: --track mlflow: MLflow at http://")
    assert len(said) == 2  # at the start, and at the end, where it is tried once more
    assert not (tmp_path / "run" / "tracking" / "mlflow").exists()


class Kept:
    """A tracker of the user's; it fails while `down` is set."""

    calls, down = [], False

    def __init__(self, run):
        self.run = run

    def begin(self, settings):
        self._call("begin", settings["fit.learning_rate"])

    def epoch(self, number, values):
        self._call("epoch", number)

    def end(self, figures, texts, pictures, *, failed):
        self._call("end", figures["test/auroc"], texts["onnx_sha256"], list(pictures), failed)

    def _call(self, *what):
        if Kept.down:
            raise TrackingError("no answer")
        Kept.calls.append((self.run.name, *what))


@pytest.fixture
def own(monkeypatch):
    module = type(sys)("my_tracker")
    module.Kept = Kept
    monkeypatch.setitem(sys.modules, "my_tracker", module)
    Kept.calls, Kept.down = [], False
    return "my_tracker:Kept"


def test_a_class_of_the_user_is_told_all_of_a_run_that_it_missed(tmp_path, training, own):
    said = []
    tracking = Tracking(tmp_path / "run", [own], "training", resume=False, warn=said.append)
    tracking.tell(training(1))
    Kept.down = True
    tracking.tell(training(2))
    Kept.down = False
    tracking.tell(training(2))  # set aside until the end, so that a server that hangs costs its time once
    assert said == [
        "Warning: --track my_tracker:Kept: no answer; the work goes on, and what is missing is sent at its end, or "
        "with --resume"
    ]
    assert Kept.calls == [("training", "begin", 5e-4), ("training", "epoch", 1)]
    tracking.tell(training(3), last=True)
    end = ("training", "end", 0.9, HASH, ["roc_test"], False)
    assert Kept.calls[2:] == [("training", "epoch", 2), ("training", "epoch", 3), end]


def test_a_run_that_has_ended_is_told_again_only_if_its_figures_changed(tmp_path, training, own):
    follow(tmp_path, own, training(3))
    told = len(Kept.calls)
    follow(tmp_path, own, training(3), resume=True)
    assert len(Kept.calls) == told
    follow(tmp_path, own, replace(training(3), figures=FIGURES | {"test/auroc": 0.8}), resume=True)
    assert [call[1:3] for call in Kept.calls[told:]] == [("begin", 5e-4), ("end", 0.8)]


def test_resuming_goes_on_with_the_trackers_of_the_run_without_naming_them(tmp_path, training, own):
    follow(tmp_path, own, training(2))
    Tracking(tmp_path / "run", [], "training", resume=True).tell(training(3), last=True)
    assert [call[1:] for call in Kept.calls if call[1] == "epoch"] == [("epoch", 1), ("epoch", 2), ("epoch", 3)]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("tensorbord", "--track tensorbord: choose from tensorboard, mlflow, wandb, or name a class as"),
        ("no_such_module:Mine", "--track no_such_module:Mine needs no_such_module, which is not installed"),
        ("json:Mine", "--track json:Mine: json has no class Mine"),
    ],
)
def test_what_cannot_track_is_refused_in_one_line(name, said):
    with pytest.raises(InputError) as refused:
        tracker_class(name)
    assert str(refused.value).startswith(said)


@pytest.mark.parametrize("name", ["tensorboard", "mlflow", "wandb"])
def test_a_tool_that_is_not_installed_is_refused_with_its_extra(name, monkeypatch):
    for module in [one for one in sys.modules if one.partition(".")[0] == name or one.endswith(f"to_{name}")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(InputError, match=f"--track {name} needs {name}.*; {re.escape(how_to_install(name))}"):
        tracker_class(name)


def test_no_tool_is_imported_unless_it_is_asked_for():
    code = "import sys, pipeline.train; print({'tensorboard', 'mlflow', 'wandb'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_class_in_the_working_folder_is_found_by_an_installed_command_too(tmp_path, monkeypatch):
    (tmp_path / "tracker_beside.py").write_text("class Beside:\n    pass\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    assert tracker_class("tracker_beside:Beside").__name__ == "Beside"


def test_a_tool_that_is_missing_is_named_with_the_line_that_installs_it(monkeypatch):
    monkeypatch.setitem(BUILT_IN, "mlflow", "no_such_module:Mine")
    with pytest.raises(InputError) as refused:
        tracker_class("mlflow")
    assert str(refused.value).endswith(f"not installed; {how_to_install('mlflow')}")
