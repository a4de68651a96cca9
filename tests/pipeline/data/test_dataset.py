"""Which dataset a run's settings build and find."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from pipeline.config import DataConfig, FitConfig, RunConfig
from pipeline.data.dataset import with_dataset, with_images_to_score
from pneumo_tfds.prepared import framing_of
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.sources.source_options import SourceOptions


def made_xrays(source):
    for number in range(20):
        for label, name in (("NORMAL", f"IM-{number:04d}-0001.png"), ("PNEUMONIA", f"person{number}_virus_1.png")):
            place = source / "train" / label / name
            place.parent.mkdir(parents=True, exist_ok=True)
            noise = np.random.default_rng([number, len(label)]).integers(0, 256, (30, 50), np.uint8)
            cv2.imwrite(str(place), noise)
    return source


def test_the_dataset_has_the_framing_of_the_settings(tmp_path):
    source = made_xrays(tmp_path / "source")
    config = RunConfig(
        data=DataConfig(source=source, data_dir=tmp_path / "data", image_size=32), fit=FitConfig(batch_size=8)
    )
    squeezed = with_dataset(config).data.built
    padded = with_dataset(replace(config, data=replace(config.data, framing="pad"))).data.built
    assert (squeezed.name, framing_of(squeezed.folder)) == ("gray_32", "squeeze")
    assert (padded.name, framing_of(padded.folder)) == ("gray_32_pad", "pad")


def test_other_images_to_score_are_framed_as_the_run_was(tmp_path):
    source = made_xrays(tmp_path / "elsewhere")
    data = DataConfig(data_dir=tmp_path / "data", image_size=32, framing="pad")
    scored = with_images_to_score(RunConfig(data=data), source, SourceOptions()).data.built
    assert (scored.name, framing_of(scored.folder)) == ("gray_32_pad", "pad")


def test_a_batch_larger_than_train_is_refused_before_a_run_begins(tmp_path):
    data = DataConfig(source=made_xrays(tmp_path / "source"), data_dir=tmp_path / "data", image_size=32)
    with pytest.raises(InputError, match=r"--batch-size is 64, but train holds \d\d images; make it smaller"):
        with_dataset(RunConfig(data=data, fit=FitConfig(batch_size=64)))
