"""The power fails between any two steps of a writer: what is found afterwards is the old or the new, and works."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import bad_inputs_files
import killing
import power_loss
import powered_writers

PROGRAM = Path(powered_writers.__file__)
IN_PLACE = ("watch.sqlite", ".lock", "trained.txt")  # SQLite's; empty; of the stand-in for training
STRACE = (
    shutil.which("strace")
    and not subprocess.run(["strace", "-qq", "true"], capture_output=True, check=False).returncode
)
pytestmark = pytest.mark.skipif(not STRACE, reason="strace is not installed, or may not trace here")


class Variable:
    def __init__(self, shape):
        self.shape = shape

    def assign(self, value):
        self.value = value


def checkpoint(folder, marks):
    from pipeline.run_folder.checkpoint import load

    variable = Variable((3000,))
    age = load(folder / "checkpoint", {"network": [variable]})["epoch"]
    assert set(variable.value) == {age}
    assert age == 1 or "written" not in marks


def run_folder(folder, marks):
    """Files that were written one after the other: a later one is not new before an earlier one is."""
    from pipeline.run_folder import history
    from pipeline.run_folder.folder import RunFolder

    run = RunFolder(folder / "run")
    ages = [run.read_config().fit.seed, len(history.read(run.history)) - 1, run.read_json(run.metrics)["seed"]]
    assert ages == sorted(ages, reverse=True), ages
    assert ages == [1, 1, 1] or "written" not in marks


def model(folder, marks):
    from pipeline.run_folder.model_file import load_model

    age = load_model(folder / "model.keras").get_weights()[0].max()
    assert age == 1 or "written" not in marks


def journal(folder, marks):
    """What the journal said is done is done, and what was sent is there."""
    from export.watching import watch_journal as states

    order = [states.SEEN, states.ANSWERED, states.SENT]
    kept = states.WatchJournal(folder / "watch.sqlite", "model", "source")
    with kept.locked():
        known = {entry.key: state for state in order for entry in kept.entries(state)}
        answers = {key: kept.files(key) for key, state in known.items() if state == states.ANSWERED}
    for mark in marks - {"written"}:
        state, key = mark.split()
        assert order.index(known[key]) >= order.index(state), mark
    for key, files in answers.items():
        assert [file.content for file in files] == [bytes([int(key)]) * 6000]
    for key, state in known.items():
        if state == states.SENT:
            assert (folder / "answers" / f"{key}.dcm").read_bytes() == bytes([int(key)]) * 6000


def search(folder, marks):
    """The search goes on, with the trials that it had ended."""
    import stub_search as stub

    tuner = stub.tuner(folder / "run", stub.plan(max_trials=3, trial_epochs=2))
    ended = [trial for trial in tuner.oracle.trials.values() if trial.status == "COMPLETED"]
    assert len(ended) >= (3 if "written" in marks else 2)


def dataset(folder, marks):
    from pneumo_tfds.prepared import is_built
    from pneumo_tfds.program.locks import exclusive

    built = folder / "data/pneumo_tfds/gray_32/1.1.0"
    with exclusive(built):  # as every builder does: a swap that was half done is finished
        pass
    assert is_built(built)
    assert not list(built.parent.glob("*incomplete*"))


def export(folder, marks):
    """A model that answers, and no variant of other weights."""
    import onnx

    from export.inference.classifier import Classifier
    from pneumo_tfds.program.files import sha256_of

    run = folder / "run"
    Classifier(run / "model.onnx")
    if (run / "model.fp16.onnx").exists():
        Classifier(run / "model.fp16.onnx")
    if (run / "model.any_size.onnx").exists():
        props = {entry.key: entry.value for entry in onnx.load(run / "model.any_size.onnx").metadata_props}
        assert props["parent_sha256"] == sha256_of(run / "model.onnx")


LOOKS = {look.__name__: look for look in (checkpoint, run_folder, model, journal, search, dataset, export)}
MOMENTS = {"search": 12, "journal": 30, "export": 12, "dataset": 15}
"""After how many of its changes the power fails, where a look takes long; after every one of the others."""


def record(name, folder):
    """Make what is old, then record how a writer replaces it."""
    folder.mkdir()
    stock = bad_inputs_files.Stock(folder.parent if name == "dataset" else folder)
    if name == "dataset":
        for age in range(2):
            stock._xrays(folder.parent / f"xrays{age}")
        (folder.parent / "xrays1/train/NORMAL/IM-0001-0001.jpeg").unlink()
    if name == "export":
        stock("run")
        stock("data")
    paths = os.pathsep.join([str(Path(__file__).parents[2]), str(PROGRAM.parent)])
    words = [sys.executable, PROGRAM, name]
    subprocess.run([*words, "old"], cwd=folder, env=os.environ | {"PYTHONPATH": paths}, check=True)
    return power_loss.record(words, folder, PYTHONPATH=paths)


def unfinished(recording, state):
    """Give the finished names on what never got this name."""
    for path, content in state.tree:
        named = not (path.startswith(".") or "/." in path or killing.TEMPORARY.search(path))
        whole = content is None or content in recording.published.get(path, ())
        if named and not whole and not path.split("/")[-1].startswith(IN_PLACE):
            yield path


def replay(name, tmp_path, **options):
    recording, count = record(name, tmp_path / "work"), 0
    for state in recording.states(**options):
        count += 1
        assert not list(unfinished(recording, state)), state.what
        print(state.what)
        LOOKS[name](state.write(tmp_path / "state"), state.marks)
    print(f"{name}: {len(recording.changes)} changes, {count} states, all the old or the new")
    return count


@pytest.mark.slow
@pytest.mark.parametrize("name", ["run_folder", "journal"])
def test_power_that_fails_between_two_steps_leaves_the_old_or_the_new(name, tmp_path):
    assert replay(name, tmp_path, samples=2, most=12) > 10


@pytest.mark.long
@pytest.mark.parametrize("name", LOOKS)
def test_every_state_after_a_power_failure_is_the_old_or_the_new(name, tmp_path):
    assert replay(name, tmp_path, most=MOMENTS.get(name)) > 10
