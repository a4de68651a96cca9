"""The dataset by TFDS's own rules, and found by name whichever package is imported first."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import tensorflow_datasets as tfds

from pneumo_tfds.phantoms.phantom_source import PhantomReader, phantom_source, write_phantoms
from pneumo_tfds.pneumo_tfds_dataset_builder import Builder, make_config
from pneumo_tfds.sources.inventory import LABELS
from pneumo_tfds.splits.options import SplitOptions
from pneumo_tfds.splits.shard_plan import make_plan
from pneumo_tfds.writing.examples import serialise

COUNT = 60


class PneumoTest(tfds.testing.DatasetBuilderTestCase):
    """TFDS's checks, on phantoms written as a manual folder would have them."""

    DATASET_CLASS = Builder
    BUILDER_CONFIG_NAMES_TO_TEST: ClassVar = ["gray_150"]
    SPLITS: ClassVar = {}

    @classmethod
    def setUpClass(cls):
        cls.EXAMPLE_DIR = tempfile.mkdtemp()
        write_phantoms(Path(cls.EXAMPLE_DIR, "chest_xray"), COUNT)
        plan = make_plan(phantom_source(COUNT), 150, SplitOptions())
        cls.SPLITS = {split: sum(map(len, shards)) for split, shards in plan.shards.items()}
        super().setUpClass()

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        shutil.rmtree(cls.EXAMPLE_DIR)


def test_sizes_that_are_not_listed_are_found_by_name_too(tmp_path):
    builder = tfds.builder("pneumo_tfds/gray_64_crop", data_dir=tmp_path)
    assert (builder.info.features["image"].shape, builder.builder_config.framing) == ((64, 64, 1), "crop")
    with pytest.raises(RuntimeError, match="config 'gray_9': no such config; use gray_SIZE"):
        tfds.builder("pneumo_tfds/gray_9", data_dir=tmp_path)


@pytest.mark.parametrize("order", ["pneumo_tfds, tensorflow_datasets", "tensorflow_datasets, pneumo_tfds"])
def test_found_by_name_in_either_import_order(order, tmp_path):
    program = f"""
import sys
import {order.split(", ")[0]}
assert {order.startswith("tensorflow")} or "tensorflow_datasets" not in sys.modules
import {order.split(", ")[1]}
assert "tensorflow" not in sys.modules
import tensorflow_datasets as tfds
builder = tfds.builder("pneumo_tfds/gray_224", data_dir={str(tmp_path)!r})
print(builder.info.full_name, builder.info.features["image"].shape)
"""
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["pneumo_tfds/gray_224/1.1.0", "(224,", "224,", "1)"]


def test_builder_module_can_be_imported_first():
    program = "import pneumo_tfds.pneumo_tfds_dataset_builder as b; print(b.Builder.name)"
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "pneumo_tfds"


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    builder = Builder(
        source=phantom_source(COUNT), config=make_config("phantom_64"), data_dir=tmp_path_factory.mktemp("data")
    )
    builder.download_and_prepare()
    return builder


def test_records_are_what_the_decoder_gives(built):
    from pneumo_tfds.decode import decode

    images = {image.name: image for image in phantom_source(COUNT).images}
    examples = list(tfds.as_numpy(built.as_dataset(split="validation").take(3)))
    assert len(examples) == 3
    for example in examples:
        image = images[example["filename"].decode()]
        data = PhantomReader(0).read(image)
        np.testing.assert_array_equal(example["image"], decode(data, 64, image.name))
        assert LABELS[example["label"]] == image.label
        assert example["patient"].decode() == image.patient
        assert example["subtype"].decode() == image.subtype
        assert example["official_split"].decode() == image.official_split


@pytest.mark.parametrize("framing", ["crop", "pad"])
def test_records_of_a_framing_are_what_the_decoder_gives_with_it(framing, tmp_path):
    from pneumo_tfds.decode import decode

    builder = Builder(source=phantom_source(COUNT), config=make_config(f"phantom_32_{framing}"), data_dir=tmp_path)
    builder.download_and_prepare()
    images = {image.name: image for image in phantom_source(COUNT).images}
    examples = list(tfds.as_numpy(builder.as_dataset(split="validation").take(2)))
    assert len(examples) == 2
    for example in examples:
        image = images[example["filename"].decode()]
        data = PhantomReader(0).read(image)
        np.testing.assert_array_equal(example["image"], decode(data, 32, image.name, framing))
        assert (example["image"] != decode(data, 32, image.name)).any()


def test_pneumonia_is_one(built):
    assert built.info.features["label"].names == ["NORMAL", "PNEUMONIA"]


def test_our_records_parse_as_tfds_own(built):
    from tensorflow_datasets.core import example_serializer

    image = phantom_source(COUNT).images[0]
    pixels = np.arange(64 * 64, dtype=np.uint8).reshape(64, 64, 1)
    theirs = example_serializer.ExampleSerializer(built.info.features.get_serialized_info()).get_tf_example(
        built.info.features.encode_example(
            {
                "image": pixels,
                "label": image.label,
                "patient": image.patient,
                "subtype": image.subtype,
                "filename": image.name,
                "official_split": image.official_split,
            }
        )
    )
    assert serialise(image, pixels) == theirs.SerializeToString(deterministic=True)


def test_metadata_says_where_it_comes_from(built):
    metadata = built.info.metadata
    assert metadata["source_kind"] == "phantom"
    assert metadata["test_origin"] == "official"
    assert len((Path(built.data_dir) / "manifest.sha256").read_text().splitlines()) == COUNT
    assert "official test folder" in metadata["split_rule"]


def test_random_access_in_the_array_record_format(tmp_path):
    builder = Builder(source=phantom_source(COUNT), config=make_config("phantom_32"), data_dir=tmp_path)
    builder.download_and_prepare(file_format="array_record")
    source = builder.as_data_source(split="test")
    assert len(source) == 12
    assert source[5]["image"].shape == (32, 32, 1)


def test_read_back_without_our_code(built):
    again = tfds.builder_from_directory(built.data_dir)
    assert again.info.splits["train"].num_examples == built.info.splits["train"].num_examples
    assert next(iter(tfds.as_numpy(again.as_dataset(split="train", as_supervised=True))))[0].shape == (64, 64, 1)


def test_config_names():
    assert make_config("gray_224") is Builder.builder_configs["gray_224"]
    assert make_config("phantom_97").image_size == 97
    assert make_config("gray_224_pad") is Builder.builder_configs["gray_224_pad"]  # so tfds.load knows it
    padded = make_config("phantom_97_pad")
    assert (padded.image_size, padded.framing, padded.phantom) == (97, "pad", True)
    assert make_config("gray_97").framing == "squeeze"
    unknown = ("grey_224", "gray", "gray_0", "gray_9999", "gray_-5", "phantom_x", "gray_pad", "gray_64_fit")
    for name in unknown:
        with pytest.raises(ValueError, match="no such config"):
            make_config(name)


@pytest.mark.slow
def test_the_tfds_command_builds_it_from_a_manual_folder(tmp_path):
    """TFDS's own command knows the builder by `--imports`. It needs Apache Beam to start at all."""
    for module in ("apache_beam", "mlcroissant"):
        pytest.importorskip(module, reason="needs the beam extra")
    write_phantoms(tmp_path / "manual/chest_xray", COUNT)
    words = ["build", "pneumo_tfds/gray_150", "--imports", "pneumo_tfds", "--manual_dir", tmp_path / "manual"]
    command = [sys.executable, "-m", "tensorflow_datasets.scripts.cli.main", *words, "--data_dir", tmp_path / "data"]
    root = Path(__file__).parents[3]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, cwd=root, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    builder = tfds.builder_from_directory(tmp_path / "data/pneumo_tfds/gray_150/1.0.0")
    assert sum(split.num_examples for split in builder.info.splits.values()) == COUNT
    plan = make_plan(phantom_source(COUNT), 150, SplitOptions())
    assert {split: info.num_examples for split, info in builder.info.splits.items()} == {
        split: sum(map(len, shards)) for split, shards in plan.shards.items()
    }
