"""The stages on a handful of images: every contender that can run does, and the tables hold what the contract says."""

from dataclasses import replace
from types import SimpleNamespace

import cv2
import keras
import numpy as np
import pytest

from benchmarks import augmentation_speed, image_folders, input_speed, training_speed
from benchmarks.benchmark_options import BenchmarkOptions
from benchmarks.image_folders import JpegFolder
from benchmarks.measuring.harness import Pace
from pipeline.networks.models import build

COUNT = 60
ALWAYS = (
    "ours: records, cached in memory",
    "ours: records, first epoch",
    "peer: ImageDataGenerator",
    "peer: image_dataset_from_directory",
    "limit: memory bandwidth",
    "limit: decoding alone",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """`COUNT` JPEGs of 224 x 224 in Kaggle's layout."""
    root = tmp_path_factory.mktemp("xrays")
    random = np.random.default_rng(0)
    for number in range(COUNT):
        normal = number % 3 == 0
        label = "NORMAL" if normal else "PNEUMONIA"
        name = f"IM-{number:04d}-0001.jpeg" if normal else f"person{number}_virus_{number}.jpeg"
        place = root / "train" / label / name
        place.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(place), cv2.GaussianBlur(random.integers(0, 256, (224, 224), dtype=np.uint8), (0, 0), 4))
    return root


@pytest.fixture
def options(folder, monkeypatch):
    monkeypatch.setattr(BenchmarkOptions, "pace", lambda self, **_: Pace(1, 0.01))
    return BenchmarkOptions(source=folder, quick=True, threads=2)


def by_name(records):
    return {record.contender: record for record in records}


def measured_or_says_what_to_install(record):
    return record.images_per_second > 0 if record.runs else "pip install '" in record.note


def test_small_pictures_of_the_right_size_are_copied_as_they_are(folder):
    found = image_folders.small(folder, True)
    copied = found.train / "PNEUMONIA" / "person1_virus_1.jpeg"
    assert copied.read_bytes() == (folder / "train" / "PNEUMONIA" / "person1_virus_1.jpeg").read_bytes()
    assert len(found.paths) == COUNT


def test_small_pictures_of_other_sizes_are_brought_to_it(tmp_path):
    for number, label in enumerate(("NORMAL", "PNEUMONIA")):
        (tmp_path / label).mkdir()
        image = np.random.default_rng(number).integers(0, 256, (300, 400), dtype=np.uint8)
        cv2.imwrite(str(tmp_path / label / f"person{number}_virus_1.jpeg"), image)
    shapes = [cv2.imread(path, 0).shape for path in image_folders.small(tmp_path, True).paths]
    assert shapes == [(224, 224)] * 2


@pytest.mark.parametrize("augmented", [False, True])
def test_input_table_has_ours_peers_and_limits(folder, options, monkeypatch, augmented):
    monkeypatch.setattr(input_speed, "BATCH", 8)
    found = JpegFolder("made up", folder)
    records = by_name(input_speed.measure_table(found, 32, augmented, options, built=True))
    assert {name.split(":")[0] for name in records} == {"ours", "peer", "limit"}
    for name in ALWAYS:
        assert records[name].images_per_second > 0
    for name in (
        "PyTorch DataLoader, OpenCV",
        "Grain, OpenCV",
        "SPDL, OpenCV",
        "WebDataset, OpenCV",
        "DALI on the CPU",
    ):
        assert measured_or_says_what_to_install(records[f"peer: {name}"])
    assert {record.case.threads for record in records.values()} == {2}


def test_augment_tables_have_each_shape(options, monkeypatch):
    monkeypatch.setattr(augmentation_speed, "SHAPES", ((4, 32), (2, 40)))
    records = augmentation_speed.measure_stage(options)
    assert {(record.case.batch_size, record.case.image_size) for record in records} == {(4, 32), (2, 40)}
    assert "peer: albumentations" in by_name(records)
    assert all(measured_or_says_what_to_install(record) for record in records)


@pytest.mark.slow
def test_train_table_measures_the_steps_share_of_waiting(options, monkeypatch):
    monkeypatch.setattr(training_speed, "SIZE", 48)
    monkeypatch.setattr(training_speed, "BATCH", 4)
    records = by_name(training_speed.measure_stage(options))
    assert records[training_speed.REFERENCE].images_per_second > 0
    ours = {name: record for name, record in records.items() if name.startswith("ours: ") and record.runs}
    assert {name.split()[1].rstrip(",") for name in ours} == {"study", "compact"}
    assert all(0 <= record.details["waiting for input, %"] <= 100 for record in ours.values())


def test_ours_trains_on_as_many_pixels_as_pytorch(options, monkeypatch):
    """The default network would cut the lungs out of its images, and PyTorch's does not."""
    trained, asked = [], []

    def train(config, split, execution):
        trained.append((config.model, split.image_size))
        return SimpleNamespace(epoch=lambda number, name: ([0.0], 1.0, 0.0))

    def measure(case, contenders, pace):
        for contender in contenders:
            if contender.name.startswith("ours: "):
                next(contender.start())
                asked.append(case.image_size)
        return []

    monkeypatch.setattr(training_speed, "Training", train)
    monkeypatch.setattr(training_speed, "measure", measure)
    monkeypatch.setattr(training_speed, "BATCH", 4)
    chosen = SimpleNamespace(note="", precision="", xla=False, device="")
    monkeypatch.setattr(training_speed, "choose", lambda fit: chosen)
    training_speed._against_pytorch(replace(options, quick=False))
    assert len(asked) == 4 * len(training_speed.OWN_SIZES)
    for model, size in set(zip([model for model, _ in trained], asked, strict=True)):
        network = build(replace(model, pretrained_weights="none"), size)
        first = next(layer for layer in network.layers if isinstance(layer, keras.layers.Conv2D))
        assert first.input.shape[1:3] == (size, size)
    assert [size for _, size in trained] == asked
