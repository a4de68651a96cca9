"""Two runs with one seed are the same, to the last bit with --deterministic."""

from __future__ import annotations

import json

import pytest

import first_step
import killing

SIZE = 48


@pytest.mark.slow
def test_seed_alone_fixes_weights_order_and_augmentation_in_every_process(tmp_path):
    def seen(log, seed):
        killing.finish((first_step.__file__, json.dumps({"seed": seed, "deterministic": False, "epochs": 1})), log)
        return json.loads(log.read_text().splitlines()[-1])

    one, same, other = (seen(tmp_path / f"log{number}", seed) for number, seed in enumerate((5, 5, 6)))
    assert one == same
    assert len(one) == 3
    assert all(one[what] != other[what] for what in one)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    from pneumo_tfds.prepared import prepare

    return prepare(None, SIZE, tmp_path_factory.mktemp("data"), phantoms=60)


@pytest.mark.long
@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("model", ["compact", "study", "efficientnet_lite0"])
def test_deterministic_run_leaves_the_same_bytes_twice(results, dataset, tmp_path, model, precision):
    flags = (
        "--dataset", dataset, "--image-size", SIZE, "--model", model, "--precision", precision, "--epochs", 2,
        "--batch-size", 16, "--mixup", 0.2, "--resamples", 100, "--deterministic",
    )  # fmt: skip
    first, second = (tmp_path / name / "run" for name in ("one", "a folder with another name"))
    for run in (first, second):
        run.parent.mkdir()
        killing.finish(("pipeline.train", "--run-dir", run, *flags), tmp_path / "log")
    found, again = results(first), results(second)
    assert sorted(found) == sorted(again)
    assert {"model.keras", "model.onnx", "metrics.json", "predictions.csv", "checkpoint/state.npz"} <= found.keys()
    assert [name for name in found if found[name] != again[name]] == []
