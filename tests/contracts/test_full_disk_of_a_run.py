"""A run whose disk is full stops with one line, and --resume brings it to the same end when there is room."""

import json
from contextlib import nullcontext
from pathlib import Path

import pytest

LINE = (
    "pipeline.train --run-dir out --model compact --dataset data/pneumo_tfds/gray_32/1.1.0 --image-size 32 --epochs 1 "
    "--batch-size 8 --precision float32 --xla off --resamples 100"
)


@pytest.fixture
def untrained(monkeypatch):
    """Training that takes no time: what is under test is what is written, in a process that exports nothing."""
    from pipeline.networks import models
    from pipeline.run_folder import checkpoint, history
    from pipeline.training import fit
    from pneumo_tfds.program import child_process

    def instead(config, train, validation, *, folder, on_epoch, **keywords):
        import keras

        keras.utils.set_random_seed(0)
        network = models.build(config.model, train.image_size)
        row = history.Epoch(1, *[0.5] * 8)
        on_epoch(row)
        checkpoint.save(folder, {"network": network.variables}, {"history": [vars(row)], "iterations": 0})
        return fit.Fitted(network, (row,))

    monkeypatch.setattr(fit, "fit", instead)
    monkeypatch.setattr(child_process, "beside", lambda *stage: nullcontext())  # which need not pass its parity


def names():
    return {path.as_posix() for path in Path("out").rglob("*") if path.is_file()}


def whole():
    """Names, and what the run came to."""
    metrics = json.loads(Path("out/metrics.json").read_text())
    return names(), metrics["operating_point"], Path("out/predictions.csv").read_text()


def refused_for_want_of_room(refused):
    error = refused(LINE + " --resume" * Path("out/config.json").exists())
    assert "cannot write out/" in error
    assert "No space left on device; make room or choose another folder" in error
    assert not [name for name in names() if "partial" in name]


@pytest.mark.slow
def test_run_that_meets_a_full_disk_once_is_resumed_to_its_end(place, run, refused, full_disk, untrained):
    place.take("data")
    full_disk.at(5)
    refused_for_want_of_room(refused)
    full_disk.at(0)
    ended = run(f"{LINE} --resume")
    assert ended.code == 0, ended.err
    assert {"out/metrics.json", "out/predictions.csv", "out/report.html", "out/plots/roc_test.png"} <= names()
    assert not [name for name in names() if "partial" in name]


@pytest.mark.long
def test_run_that_meets_a_full_disk_later_and_later_ends_whole(place, run, refused, full_disk, untrained):
    place.take("data")
    full_disk.at(0)
    assert run(LINE).code == 0
    expected, files = whole(), full_disk.files
    place.remove("out")
    step = 1
    while True:
        full_disk.at(step * (step + 1) // 2)
        ended = run(LINE + " --resume" * Path("out/config.json").exists())
        if ended.code == 0:
            break
        assert (ended.code, ended.err.count("\n")) == (2, 1), ended.err
        assert "No space left on device; make room" in ended.err
        assert not [name for name in names() if "partial" in name]
        step += 1
    assert step > 4
    assert files > 15
    assert whole() == expected
