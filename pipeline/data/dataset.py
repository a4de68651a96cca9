"""The dataset of a run: built from the X-rays that the settings name, those in TFDS's manual folder, or phantoms."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from pipeline.config import ModelConfig, RunConfig
from pneumo_tfds.prepared import default_data_dir, is_built, prepare
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.sources.published import in_manual_folder


def with_dataset(config: RunConfig) -> RunConfig:
    """Build the dataset of a run unless it is built; return the settings with its folder in `data.dataset`.

    Raises:
        InputError: nothing can be built from the source, or there is no file of pretrained weights.
    """
    _check_weights(config.model)
    data = config.data
    if data.dataset is not None:
        if not is_built(data.dataset):
            raise InputError(
                f"--dataset {data.dataset} holds no built dataset; make one with python -m pneumo_tfds build"
            )
        return config
    manual = (data.data_dir or default_data_dir()) / "downloads" / "manual"  # where TFDS expects manual downloads
    source = data.source or in_manual_folder(manual)
    dataset = prepare(source, data.image_size, data.data_dir, data.validation_fraction)
    return dataclasses.replace(config, data=dataclasses.replace(data, dataset=dataset.resolve()))


def _check_weights(model: ModelConfig) -> None:
    """Check that the weights file exists before anything is built; its content is checked when it is loaded."""
    if model.start not in ("none", "imagenet") and not Path(model.start).is_file():
        raise InputError(
            f"--pretrained-weights {model.start} is not a file; give imagenet, none, or a file of {model.model} weights"
        )
