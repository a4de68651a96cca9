"""Settings: what is refused, by which words, and what survives a trip through config.json."""

import dataclasses
import json
import os
from pathlib import Path

import numpy as np
import pytest

from pipeline.config import AugmentConfig, DataConfig, FitConfig, ModelConfig, RunCommand, RunConfig
from pipeline.config.config_json import checked, read, to_dict
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.files import write_json


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        (DataConfig, "image_size", 31),
        (DataConfig, "validation_fraction", 1.0),
        (AugmentConfig, "flip", 1.5),
        (AugmentConfig, "rotation", -1.0),
        (AugmentConfig, "zoom", 2.0),
        (ModelConfig, "dropout", 1.0),
        (ModelConfig, "l1", -0.1),
        (FitConfig, "epochs", 0),
        (FitConfig, "learning_rate", 0.0),
        (FitConfig, "ema_decay", 1.0),
    ],
)
def test_impossible_value_is_refused_by_flag_and_value(kind, field, value):
    with pytest.raises(InputError, match=rf"--{field.replace('_', '-')} is {value}; it must be"):
        kind(**{field: value})


def test_pretrained_weights_are_refused_for_networks_that_have_none():
    with pytest.raises(InputError, match="--pretrained-weights"):
        ModelConfig(model="compact", pretrained_weights="imagenet")


def test_no_lungs_are_looked_for_in_a_network_of_ones_own():
    with pytest.raises(InputError, match="--crop is lungs; it must be auto or none with a network of your own"):
        ModelConfig(model="nets:network", crop="lungs")
    assert not ModelConfig(model="nets:network", crop="auto").crops


@pytest.mark.parametrize(
    ("model", "start", "blocks"),
    [("compact", "none", 0), ("study", "none", 0), ("inception_v3", "none", 0), ("efficientnet_lite0", "imagenet", 7)],
)
def test_weights_that_come_with_the_installation_are_the_default(model, start, blocks):
    config = ModelConfig(model=model)
    assert (config.start, config.free_blocks) == (start, blocks)


@pytest.mark.parametrize(("model", "least"), [("inception_v3", 75), ("study", 46)])
def test_images_too_small_for_a_network_are_refused(model, least):
    with pytest.raises(InputError, match=f"at least {least} for --model {model}"):
        RunConfig(model=ModelConfig(model=model), data=DataConfig(image_size=least - 1))
    RunConfig(model=ModelConfig(model=model), data=DataConfig(image_size=least))


def test_networks_whose_seeds_would_be_too_large_are_refused_before_the_first_is_trained():
    fit = FitConfig(seed=2**31 - 2, ensemble_size=2)
    assert RunConfig(fit=fit).fit == fit
    with pytest.raises(InputError, match="--seed is 2147483646; it must be at most 2147483645 with --ensemble-size 3"):
        RunConfig(fit=dataclasses.replace(fit, ensemble_size=3))


def test_settings_survive_config_json(tmp_path):
    config = RunConfig(data=DataConfig(source=Path("a/b"), image_size=96), fit=FitConfig(learning_rate=0.02, seed=7))
    path = tmp_path / "config.json"
    path.write_text(json.dumps(to_dict(config)))
    assert read(path, RunConfig) == config


def test_absent_settings_keep_their_defaults(tmp_path):
    path = tmp_path / "config.json"
    path.write_text('{"fit": {"epochs": 2}}')
    assert read(path, RunConfig) == RunConfig(fit=FitConfig(epochs=2))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "cannot read"),
        ("[]", "expected an object"),
        ('{"fit": {"epoch": 3}}', "fit.epoch: there is no such setting"),
        ('{"fits": {}}', "fits: there is no such setting"),
        ('{"fit": {"epochs": "many"}}', "fit.epochs"),
        ('{"fit": {"epochs": 0}}', "fit.epochs: .* greater than or equal to 1"),
        ('{"fit": 3}', "fit: expected an object"),
        ('{"fit": {"epochs": 9}, "fit": {"seed": 1}}', "'fit' stands twice in one object"),
        ('{"fit": {"epochs": 9, "epochs": 8}}', "'epochs' stands twice in one object"),
        ('{"fit": {"epochs": true}}', "fit.epochs: .* integer"),
        ('{"fit": {"epochs": "9"}}', "fit.epochs: .* integer"),
        ('{"fit": {"learning_rate": true}}', "fit.learning_rate: .* number"),
        ('{"augment": {"augment": "no"}}', "augment.augment: .* boolean"),
        ('{"augment": {"augment": 0}}', "augment.augment: .* boolean"),
    ],
)
def test_broken_config_file_is_one_line_that_names_the_place(tmp_path, text, complaint):
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(InputError, match=complaint) as caught:
        read(path, RunConfig)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_a_program_gives_is_read_as_from_a_file():
    given = {"fit": {"epochs": np.int64(3), "learning_rate": 1}, "data": {"source": Path("a"), "positive": ("b",)}}
    assert checked(RunConfig, given) == RunConfig(
        fit=FitConfig(epochs=3, learning_rate=1.0), data=DataConfig(source=Path("a"), positive=("b",))
    )


def test_an_array_is_a_list_or_the_error_of_its_field():
    assert checked(RunConfig, {"data": {"positive": np.array(["a", "b"])}}).data.positive == ("a", "b")
    for group, name in (("fit", "seed"), ("data", "source")):
        with pytest.raises(InputError, match=f"^{group}.{name}: Input "):
            checked(RunConfig, {group: {name: np.array(["a", "b"])}})


def test_a_path_that_is_not_utf_8_is_read_as_it_was_written(tmp_path):
    config = RunConfig(data=DataConfig(source=Path(os.fsdecode(b"/caf\xe9/\xf0\x9f\xab\x81"))))
    write_json(tmp_path / "config.json", to_dict(config))
    assert read(tmp_path / "config.json", RunConfig) == config
    with pytest.raises(InputError, match=r"fit\.epochs: "):
        checked(RunConfig, {**to_dict(config), "fit": {"epochs": "9"}})


def test_missing_config_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot read"):
        read(tmp_path / "nothing.json", RunConfig)


def test_settings_of_a_command_leave_out_what_concerns_the_call():
    command = RunCommand(fit=FitConfig(epochs=3), debug=True)
    assert command.settings() == RunConfig(fit=FitConfig(epochs=3))


def test_no_two_settings_share_a_flag():
    groups = [field.default_factory() for field in dataclasses.fields(RunConfig)]
    flags = [field.name for group in groups for field in dataclasses.fields(group)]
    assert len(flags) == len(set(flags))
