"""From the settings to a built dataset: the X-rays that were named, those in TFDS's manual folder, or phantoms."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from pipeline.config import ModelConfig, RunConfig
from pneumo_tfds.prepared import default_data_dir, is_built, prepare
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.sources.published import in_manual_folder


def with_dataset(config: RunConfig) -> RunConfig:
    """Build the dataset of a run unless it is built, and note its folder in the settings.

    Raises:
        InputError: nothing can be built from the source, or the pretrained weights are not there to begin with.
    """
    _check_weights(config.model)
    data = config.data
    if data.dataset is not None:
        if not is_built(data.dataset):
            raise InputError(
                f"--dataset {data.dataset} holds no built dataset; make one with python -m pneumo_tfds build"
            )
        return config
    manual = (data.data_dir or default_data_dir()) / "downloads" / "manual"  # where TFDS keeps what people download
    source = data.source or in_manual_folder(manual)
    dataset = prepare(source, data.image_size, data.data_dir, data.validation_fraction)
    return dataclasses.replace(config, data=dataclasses.replace(data, dataset=dataset.resolve()))


def _check_weights(model: ModelConfig) -> None:
    """Find out before anything is built: what is in the file shows later."""
    if model.start not in ("none", "imagenet") and not Path(model.start).is_file():
        raise InputError(
            f"--pretrained-weights {model.start} is no file; give imagenet, none, or a file of {model.model} weights"
        )
