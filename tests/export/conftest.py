"""A tiny run with untrained weights, exported once for the whole folder of tests."""

import functools
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

SIDE = 48
THRESHOLD = 0.49996  # finer than the steps of a slider


def make_tiny_model(side: int = SIDE, policy: str = "float32", heatmap: bool = True, seed: int = 3):
    """A small network that keeps the contract of an inference model, with uneven batch norm statistics."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(seed)
    outer = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        image = keras.Input((side, side, 1), dtype="uint8", name="image")
        x = layers.Rescaling(1 / 127.5, offset=-1.0)(image)
        for filters in (8, 16):
            x = layers.Conv2D(filters, 3, strides=2, padding="same", use_bias=False)(x)
            x = layers.ReLU()(layers.BatchNormalization()(x))
        x = layers.Dropout(0.3)(x)
        maps = layers.Conv2D(1, 1, dtype="float32")(x)
        logit = layers.GlobalAveragePooling2D(dtype="float32")(maps)
        outputs = {"probability": layers.Activation("sigmoid", dtype="float32")(logit)}
        if heatmap:
            outputs["heatmap"] = layers.Reshape(maps.shape[1:3], dtype="float32")(maps)
        model = keras.Model(image, outputs)
    finally:
        keras.config.set_dtype_policy(outer)
    random = np.random.default_rng(seed)
    for layer in model.layers:
        if layer.__class__.__name__ == "BatchNormalization":
            n = layer.moving_mean.shape[0]
            values = [
                random.uniform(0.5, 2, n),
                random.normal(0, 1, n),
                random.normal(0, 1, n),
                random.uniform(0.2, 3, n),
            ]
            layer.set_weights([value.astype("float32") for value in values])
    return model


def make_pictures(count: int, side: int = SIDE, seed: int = 0) -> np.ndarray:
    """Smooth grey pictures, uint8 [count, side, side, 1]; the odd ones are brighter on one side."""
    random = np.random.default_rng(seed)
    coarse = random.uniform(0, 255, (count, 6, 6)).astype(np.float32)
    coarse[1::2, :, 3:] = coarse[1::2, :, 3:] / 2 + 127
    return np.stack([cv2.resize(each, (side, side)) for each in coarse]).astype(np.uint8)[..., np.newaxis]


def make_run(folder: Path, model) -> Path:
    """What pipeline.train leaves behind, as far as export reads it."""
    folder.mkdir(parents=True)
    (folder / "dataset").mkdir()
    model.save(folder / "model.keras")
    figures = {"n": 40, "auroc": 0.91, "sensitivity": 0.9, "confusion_matrix": {"tn": 1}, "npv": None}
    metrics = {
        "dataset": {"name": "phantom_48", "version": "1.0.0"},
        "splits": {"validation": figures, "test": figures},
        "operating_point": {"threshold": THRESHOLD, "rule": "youden", "chosen_on": "validation"},
    }
    (folder / "metrics.json").write_text(json.dumps(metrics))
    (folder / "config.json").write_text(json.dumps({"data": {"dataset": str(folder / "dataset"), "image_size": SIDE}}))
    return folder


@pytest.fixture(scope="session")
def tiny_model():
    """The maker of small models."""
    return make_tiny_model


@pytest.fixture(scope="session")
def pictures():
    """The maker of small pictures."""
    return make_pictures


@pytest.fixture(scope="session")
def write_run():
    """The maker of run folders."""
    return make_run


def take_made_pictures(dataset, split, image_size, limit):
    """What `parity_sample.take` does, with made pictures, so that no dataset need be built."""
    from made_examples import examples_of

    return examples_of(make_pictures(40, image_size, seed=len(split)))


@pytest.fixture
def sample_images(monkeypatch):
    """Stand in for the splits of the run's dataset."""
    from export.parity import parity_sample

    monkeypatch.setattr(parity_sample, "take", take_made_pictures)
    monkeypatch.setattr(parity_sample, "trained_on", lambda data, limit: take_made_pictures(None, "train", SIDE, limit))
    return take_made_pictures


def export_made(folder: Path) -> Path:
    """Export the run in `folder`, compared on made pictures."""
    from export.export_options import ExportOptions
    from export.export_run import export_run
    from export.parity import parity_sample

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parity_sample, "take", take_made_pictures)
        list(export_run(folder, ExportOptions(threads=1)))
    return folder


@pytest.fixture(scope="session")
def exported(tmp_path_factory) -> Path:
    """A run folder with model.onnx, parity.json and golden.npz. Read only: copy before changing."""
    return export_made(make_run(tmp_path_factory.mktemp("runs") / "tiny", make_tiny_model()))


@pytest.fixture(scope="session")
def exported_as(tmp_path_factory):
    """The exporter of a run on a dataset of some framing. Read only: copy before changing."""

    @functools.cache
    def export(framing: str) -> Path:
        folder = make_run(tmp_path_factory.mktemp("runs") / framing, make_tiny_model())
        metrics = json.loads((folder / "metrics.json").read_text())
        metrics["dataset"]["framing"] = framing
        (folder / "metrics.json").write_text(json.dumps(metrics))
        return export_made(folder)

    return export


@pytest.fixture(scope="session")
def four_way(tmp_path_factory) -> Path:
    """An exported run whose model gives four answers: it knows smooth pictures, and noise is UNSUITABLE. Read only."""
    import keras

    from pipeline.config import ModelConfig
    from pipeline.networks import familiarity, inference_model, models
    from pipeline.networks.forward_pass import OutputsFn

    keras.utils.set_random_seed(3)
    network = models.build(ModelConfig(model="compact"), SIDE)
    whole = inference_model.committee([network])
    ask = OutputsFn(inference_model.scoring_model(whole))
    reference, others = familiarity.fit(ask(make_pictures(1500, seed=1))), ask(make_pictures(200, seed=2))
    reference = reference.with_levels(reference.distances(others))
    scale, middle = float(others["logit"].std()), float(np.median(others["logit"]))
    model = inference_model.inference_model(whole, scale, -middle / scale, reference)
    folder = make_run(tmp_path_factory.mktemp("runs") / "four-way", model)
    metrics = json.loads((folder / "metrics.json").read_text())
    metrics["dataset"]["manifest_sha256"] = "ab" * 32
    metrics["doubt"] = {
        "familiarity_threshold": 0.04,
        "certain_normal_below": 0.35,
        "certain_pneumonia_from": 0.67,
        "guarantee": "NPV at least 0.9 on made pictures",
    }
    (folder / "metrics.json").write_text(json.dumps(metrics))
    return export_made(folder)


@pytest.fixture(scope="session")
def jpegs(tmp_path_factory) -> Path:
    """A folder of twelve readable JPEGs in two subfolders."""
    folder = tmp_path_factory.mktemp("xrays")
    for number, picture in enumerate(make_pictures(12, 200, seed=9)):
        place = folder / ("a" if number % 2 else "b")
        place.mkdir(exist_ok=True)
        cv2.imwrite(str(place / f"{number}.jpeg"), picture)
    return folder
