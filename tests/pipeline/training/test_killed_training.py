"""A killed training is resumed where it was, and ends as if it had not been interrupted."""

from __future__ import annotations

import json

import pytest

import killing
import train_made_images

SETTINGS = (
    "--model", "compact", "--image-size", "32", "--epochs", "3", "--batch-size", "16", "--ensemble-size", "2",
    "--mixup", "0.2", "--resamples", "100", "--deterministic",
)  # fmt: skip


@pytest.mark.slow
def test_a_fit_killed_in_the_middle_of_an_epoch_ends_with_the_weights_of_the_undisturbed_one(state, tmp_path):
    def line(folder):
        return train_made_images.__file__, json.dumps({"epochs": 3, "precision": "auto"}), folder

    whole, halted = (tmp_path / name for name in ("whole", "halted"))
    undisturbed = killing.begin(line(whole), tmp_path / "whole.log")
    process = killing.begin(line(halted), tmp_path / "halted.log")
    for write in killing.watch(process, halted):
        if write and write.name == "state.npz":  # an epoch is done; the next is soon in the middle
            assert killing.kill(process)
            break
    assert 1 <= len(state(halted)["history"]) < 3
    killing.finish(line(halted), tmp_path / "halted.log")
    undisturbed.join()
    assert undisturbed.exitcode == 0, (tmp_path / "whole.log").read_text()
    assert state(halted) == state(whole)


def stage(name):
    """Name the part of the job that writes a file."""
    name = name.replace(".partial", "").removeprefix(".")
    if name in ("config.json", "lock", "start"):
        return "start"
    if name.startswith(("checkpoint", "history")):
        return "fit"
    if name in ("parity.json", "model.onnx", "golden.npz", "export.lock"):
        return "export"
    judged = ("model.keras", "lock.json", "robustness.json", "predictions.csv", "metrics.json")
    return "judge" if name in judged else "report"


@pytest.mark.long
def test_twenty_kills_of_a_training_from_its_first_epoch_to_its_onnx_file(results, tmp_path):
    from pneumo_tfds.prepared import prepare

    dataset = prepare(None, 32, tmp_path / "data", phantoms=60)
    run = tmp_path / "whole" / "run"  # every folder has this name: the report begins with it
    run.parent.mkdir()
    flags = ("--dataset", dataset, *SETTINGS)
    writes = killing.watched(("pipeline.train", "--run-dir", run, *flags), run, tmp_path / "whole.log")
    whole, had = results(run), {}

    def line(folder):
        resume = ("--resume",) if (folder / "config.json").exists() else ()
        return "pipeline.train", "--run-dir", folder, *flags, *resume

    def place(life):
        had.clear()
        (tmp_path / f"life{life}").mkdir()
        return tmp_path / f"life{life}" / "run"

    def nothing_lost(folder):
        found = killing.contents(folder)
        assert [name for name, path in found.items() if not killing.whole(path)] == []
        assert had.keys() <= found.keys()
        epochs = {name: path.read_text().count("\n") - 1 for name, path in found.items() if name.startswith("history")}
        assert all(epochs[name] >= had[name] for name in epochs.keys() & had.keys())
        had.update(dict.fromkeys(found) | epochs)

    def the_same(folder):
        found = results(folder)
        assert sorted(found) == sorted(whole)
        assert [name for name in whole if found[name] != whole[name]] == []
        assert "kept. Weights, configuration" in (folder / "report.html").read_text()
        assert list(folder.rglob("*partial*")) == []

    needed = frozenset({"start", "fit", "judge", "report", "export"})
    killed = killing.again_and_again(
        line, place, writes, 20, stage=stage, needed=needed, after_kill=nothing_lost, at_end=the_same
    )
    print(f"train: {killed}")
    assert killed.stages.total() >= 20
