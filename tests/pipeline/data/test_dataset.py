"""Which dataset a run's settings build and find."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from pipeline.config import DataConfig, RunConfig
from pipeline.data.dataset import with_dataset
from pneumo_tfds.prepared import framing_of


def test_the_dataset_has_the_framing_of_the_settings(tmp_path):
    source = tmp_path / "source"
    for number in range(20):
        for label, name in (("NORMAL", f"IM-{number:04d}-0001.png"), ("PNEUMONIA", f"person{number}_virus_1.png")):
            place = source / "train" / label / name
            place.parent.mkdir(parents=True, exist_ok=True)
            noise = np.random.default_rng([number, len(label)]).integers(0, 256, (30, 50), np.uint8)
            cv2.imwrite(str(place), noise)
    config = RunConfig(data=DataConfig(source=source, data_dir=tmp_path / "data", image_size=32))
    squeezed = with_dataset(config).data.built
    padded = with_dataset(replace(config, data=replace(config.data, framing="pad"))).data.built
    assert (squeezed.name, framing_of(squeezed.folder)) == ("gray_32", "squeeze")
    assert (padded.name, framing_of(padded.folder)) == ("gray_32_pad", "pad")
