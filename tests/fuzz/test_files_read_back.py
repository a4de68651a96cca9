"""Files that we wrote and read again, after anything happened to them: the same, or one line."""

import functools
import io
import json
import struct
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pneumo_tfds.decode import decode
from pneumo_tfds.program.answers import Limits
from pneumo_tfds.program.errors import InputError

DEEP = "[" * 100_000
LONG = "9" * 5000


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("run")


def text(value):
    return json.dumps(value)


def texts(original):
    """What a file may hold: bytes of the original after accidents, or the same JSON with other values in it."""
    from hypothesis.strategies import one_of

    return lambda mutated, changed: one_of(
        mutated([text(original).encode()], most=3), changed(original).map(lambda value: text(value).encode())
    )


@functools.cache
def settings_of_a_run():
    from pipeline.config import RunConfig
    from pipeline.config.config_json import to_dict

    return to_dict(RunConfig())


@given(data=st.data())
@example(data=DEEP)
@example(data='{"fit": {"epochs": ' + LONG + "}}")
@example(data=b'{"data": {"source": "\xff"}}')
@example(data='{"fit": {"learning_rate": NaN}}')
@example(data='{"data": {"source": "a\\u0000b"}}')
def test_config(data, folder, mutated, changed, input_error_only):
    from pipeline.config import RunConfig
    from pipeline.config.config_json import read, to_dict

    path = folder / "config.json"
    content = data if isinstance(data, str | bytes) else data.draw(texts(settings_of_a_run())(mutated, changed))
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with input_error_only("config.json"):
        found = read(path, RunConfig)
        path.write_text(json.dumps(to_dict(found)))
        assert read(path, RunConfig) == found


FIGURES = {
    "n": 40, "prevalence": 0.5, "accuracy": 0.9, "auroc": 0.9, "average_precision": 0.9, "sensitivity": 0.9,
    "specificity": 0.9, "precision": 0.9, "npv": 0.9, "f1": 0.9, "balanced_accuracy": 0.9, "brier": 0.1, "ece": 0.1,
    "confusion_matrix": {"tn": 18, "fp": 2, "fn": 2, "tp": 18}, "patients": 20, "intervals": {"auroc": [0.8, 1.0]},
}  # fmt: skip
METRICS = {
    "dataset": {"name": "pneumo_tfds/gray_8", "version": "1.0.0"},
    "splits": {"validation": FIGURES, "test": FIGURES},
    "operating_point": {
        "threshold": 0.4, "rule": "youden", "chosen_on": "validation", "sensitivity": 0.9, "specificity": 0.9,
    },
    "temperature": 1.1,
    "bias": 0.1,
    "calibration": {"fitted_on": "validation", "ece_after": 0.1},
}  # fmt: skip


@given(data=st.data())
def test_metrics(data, folder, mutated, changed, input_error_only):
    """What evaluation, export and comparison take from metrics.json."""
    from export.inference.onnx_metadata import Metadata, metadata_of_run
    from pipeline.compare import load
    from pipeline.evaluation.scoring import Decision
    from pipeline.run_folder.folder import RunFolder

    run = RunFolder(folder)
    run.metrics.write_bytes(data.draw(texts(METRICS)(mutated, changed)))
    run.predictions.write_text("split,filename,patient,subtype,label,probability\ntest,a,p,virus,PNEUMONIA,0.5\n")
    with input_error_only("metrics.json"):
        assert 0 <= load(run, "test").threshold <= 1
    with input_error_only("metrics.json"):
        made = metadata_of_run(run.read_json(run.metrics), 8, str(folder))
        Metadata.from_props(made.to_props(), "m.onnx metrics.json")
    with input_error_only("metrics.json"):
        decision = Decision.from_json(run.read_json(run.metrics), run.metrics)
        assert decision.temperature > 0
        assert 0 <= decision.operating_point.threshold <= 1


@given(data=st.data())
def test_lock(data, folder, mutated, changed, input_error_only):
    from pipeline.evaluation.evaluation_lock import verify, write_lock
    from pipeline.evaluation.scoring import Decision
    from pipeline.run_folder.folder import RunFolder

    run = RunFolder(folder)
    run.evaluation_lock.unlink(missing_ok=True)
    for path, content in ((run.model, "x"), (run.config, "{}"), (run.metrics, text(METRICS))):
        path.write_text(content)
    write_lock(run, Decision.from_json(METRICS, run.metrics))
    lock = json.loads(run.evaluation_lock.read_text())
    run.evaluation_lock.write_bytes(data.draw(texts(lock)(mutated, changed)))
    with input_error_only("lock.json"):
        assert verify(run).summary


TABLE = "split,filename,patient,subtype,label,probability\n" + "".join(
    f"{split},{number}.jpeg,p{number},virus,{label},{number / 8:.9g}\n"
    for split in ("validation", "test")
    for number, label in enumerate(("NORMAL", "PNEUMONIA", "PNEUMONIA"))
)


@given(data=st.data())
def test_predictions(data, folder, mutated, input_error_only):
    from pipeline.evaluation.predictions import read_csv, write_csv

    path = folder / "predictions.csv"
    path.write_bytes(data.draw(mutated([TABLE.encode()])))
    with input_error_only():
        found = read_csv(path)
        write_csv(path, found)
        assert {name: len(table) for name, table in read_csv(path).items()} == {n: len(t) for n, t in found.items()}


HISTORY = (
    "epoch,loss,learning_rate,validation_loss,validation_auroc,validation_accuracy,seconds,images_per_second,waiting\n"
    "1,0.5,0.001,0.4,0.8,0.9,1.5,100.0,0.1\n2,0.4,0.0005,0.3,0.9,0.9,1.5,100.0,0.1\n"
)


@given(data=st.data())
def test_history(data, folder, mutated, input_error_only):
    from pipeline.run_folder import history

    path = folder / "history.csv"
    path.write_bytes(data.draw(mutated([HISTORY.encode()])))
    with input_error_only("history.csv"):
        history.read(path)


BUILT = {
    "name": "pneumo_tfds", "version": "1.0.0", "moduleName": "x",
    "splits": [{"name": "train", "shardLengths": ["3", "4"], "numBytes": "70"}],
}  # fmt: skip
METADATA = {"source": "x", "fingerprint": "abc", "skipped": {"a": "b"}, "dropped": {}, "byte_identical": [["a", "b"]]}


@given(data=st.data())
def test_dataset_info(data, folder, mutated, changed, input_error_only):
    from pneumo_tfds.writing.build_summary import inspect, summary

    (folder / "dataset_info.json").write_bytes(data.draw(texts(BUILT)(mutated, changed)))
    (folder / "metadata.json").write_bytes(
        data.draw(st.just(text(METADATA).encode()) | texts(METADATA)(mutated, changed))
    )
    with input_error_only():
        assert summary(inspect(folder))


TRIAL = {"status": "COMPLETED", "message": None, "score": 0.9}
JOURNAL = {
    "values": {"dropout": 0.1}, "epochs": [{"epoch": 1, "validation_auroc": 0.9}], "seconds": 1.0,
    "training_seconds": 1.0, "outcome": "finished", "score": 0.9, "reason": "", "inherited": 0,
}  # fmt: skip


@given(data=st.data())
def test_trials(data, folder, mutated, changed, input_error_only):
    from tuning.results.leaderboard import line, rows
    from tuning.search.objective import parse_objective

    trial = folder / "trials" / "trial_0"
    trial.mkdir(parents=True, exist_ok=True)
    (trial / "journal.json").write_bytes(data.draw(texts(JOURNAL)(mutated, changed)))
    (trial / "trial.json").write_bytes(data.draw(st.just(text(TRIAL).encode()) | texts(TRIAL)(mutated, changed)))
    objective = parse_objective("validation_auroc")
    with input_error_only():
        if found := rows(folder / "trials", objective):
            assert line(found, objective, found[0].trial)


SPACE = {"dropout": [0.1, 0.5], "learning_rate": 0.001, "weight_decay": True}


@given(data=st.data())
@example(data='{"dropout": [0.1, ' + "9" * 400 + "]}")
@example(data=DEEP)
def test_space(data, folder, mutated, changed, input_error_only):
    from pipeline.config import RunConfig
    from tuning.search.space import build_space

    path = folder / "space.json"
    path.write_bytes(data.encode() if isinstance(data, str) else data.draw(texts(SPACE)(mutated, changed)))
    with input_error_only():
        parameters, _ = build_space((), path, RunConfig())
        assert all(parameter.low < parameter.high for parameter in parameters)


CLUSTER = {"cluster": {"chief": ["a:1"], "worker": ["b:1", "c:1"]}, "task": {"type": "worker", "index": 1}}


@given(data=st.data())
def test_tf_config(data, changed, mutated, input_error_only):
    from pipeline.devices.tf_config import read_cluster

    content = data.draw(texts(CLUSTER)(mutated, changed)).decode("utf-8", "replace").replace("\0", "")
    with pytest.MonkeyPatch.context() as patch, input_error_only("TF_CONFIG"):
        patch.setenv("TF_CONFIG", content)
        found = read_cluster()
        assert 0 <= found.index < found.workers


def saved(save, **arrays):
    file = io.BytesIO()
    save(file, **arrays)
    return file.getvalue()


SIDE = 8


@functools.cache
def goldens():
    rng = np.random.default_rng(0)
    arrays = {
        "names": np.array(["a", "b"]),
        "images": rng.integers(0, 256, (2, SIDE, SIDE, 1), np.uint8),
        "probability": np.full((2, 1), 0.5, np.float32),
        "heatmap": np.zeros((2, 2, 2), np.float32),
        "familiarity": np.full((2, 1), 0.5, np.float32),
        "decision": np.array(["UNCERTAIN", "NORMAL"]),
        "file_0": rng.integers(0, 256, 40, np.uint8),
    }
    odd = [
        arrays | {"names": np.array(7)},
        arrays | {"probability": np.zeros(2)},
        arrays | {"images": arrays["images"][0]},
        arrays | {"decision": np.array(["NORMAL"])},
        arrays | {"familiarity": np.zeros((1, 1), np.float32)},
    ]
    return [saved(np.savez_compressed, **arrays), *(saved(np.savez, **each) for each in [arrays, *odd])]


class _Half:
    """A classifier that always says 0.5."""

    image_size, metadata = SIDE, SimpleNamespace(limits=Limits(0.1, 0.9, 0.2), golden_tolerance=None)
    engine = "onnxruntime"

    def decode(self, data, name):
        return decode(data, SIDE, name)

    def predict_batch(self, images):
        half = np.full((len(images), 1), 0.5, np.float32)
        return {"probability": half, "heatmap": np.zeros((len(images), 2, 2)), "familiarity": half}


@given(data=st.data())
def test_golden(data, folder, mutated, input_error_only):
    from export.inference.golden import read, self_test

    path = folder / "golden.npz"
    path.write_bytes(data.draw(mutated(goldens())))
    with input_error_only():
        assert all(isinstance(line, str) for line in self_test(_Half(), read(path)))


@pytest.mark.parametrize("header", ["{'descr': (\n", "{\n  'descr': 1\n }\n", "1L +\n\0"])
def test_an_array_whose_header_is_no_python(header, folder):
    """Found here: NumPy takes such a header for one of Python 2, and its tokenizer has errors of its own."""
    from pneumo_tfds.program.npz import read_arrays

    path = folder / "golden.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("images.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode())
    with pytest.raises(InputError, match=r"golden\.npz is damaged"):
        read_arrays(path, "make it again")


def test_arrays_that_grow_are_refused(folder):
    from pneumo_tfds.program.npz import read_arrays

    path = folder / "bomb.npz"
    path.write_bytes(saved(np.savez_compressed, x=np.zeros(20 << 20, np.uint8)))
    with pytest.raises(ValueError, match="100 times its size"):
        read_arrays(path, "give another")


class _Variable:
    shape = (2, 3)

    def assign(self, value):
        assert value.shape == self.shape
        assert value.dtype.kind in "biuf"


@functools.cache
def checkpoints():
    arrays = {"model/0": np.zeros((2, 3), np.float32), "state": np.array(json.dumps({"epoch": 1}))}
    other = arrays | {"model/0": np.full((2, 3), "x")}
    return [saved(np.savez, **arrays), saved(np.savez, **other), saved(np.savez, state=np.array("[]"))]


@given(data=st.data())
def test_checkpoint(data, folder, mutated, input_error_only):
    from pipeline.run_folder.checkpoint import load

    (folder / "state.npz").write_bytes(data.draw(mutated(checkpoints())))
    with input_error_only("state.npz"):
        assert isinstance(load(folder, {"model": [_Variable()]}), dict)


@settings(max_examples=max(25, settings.default.max_examples // 40))  # a page takes 30 ms
@given(data=st.data())
def test_report(data, tmp_path_factory, changed, input_error_only):
    """The page is made of six files; each may be wrong."""
    from pipeline.report.report_page import write_report
    from pipeline.run_folder.folder import RunFolder

    run = tmp_path_factory.mktemp("report")
    files = {"metrics.json": METRICS, "config.json": settings_of_a_run(), "parity.json": {"files": {}}}
    name = data.draw(st.sampled_from(sorted(files)))
    for each, content in files.items():
        (run / each).write_text(text(data.draw(changed(content)) if each == name else content))
    (run / "predictions.csv").write_text(TABLE)
    with input_error_only():
        write_report(RunFolder(run))
        assert (run / "report.html").stat().st_size > 1000
