"""The user's module is found where it lies, in the version that a run recorded, and imported again once it changed."""

import pytest

from pipeline.config import ModelConfig, RunConfig
from pipeline.config.own_network import find, read_argument
from pneumo_tfds.program.errors import InputError

TEXT = "def network(image_size, dropout=0.2, width=16, rate=0.5, name='x'):\n    return 1\n"


@pytest.fixture
def module(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    path = tmp_path / "own_nets" / "nets.py"
    path.parent.mkdir()
    path.write_text(TEXT)
    return path


MODEL = "own_nets.nets:network"


def test_function_is_found_with_its_arguments(module):
    own = find(MODEL)
    assert own.function(32) == 1
    assert own.numbers == {"width": 16, "rate": 0.5}
    assert "dropout" in own.defaults
    assert own.ranges == ()


def test_changed_module_is_imported_again_and_refused_by_a_run_of_the_earlier_one(module):
    config = ModelConfig(model=MODEL).pinned()
    assert find(MODEL).function(32) == 1
    module.write_text(TEXT.replace("return 1", "return 2"))
    assert find(MODEL).function(32) == 2
    with pytest.raises(InputError, match=r"nets\.py is not the version that the run was made with"):
        config.pinned()
    module.write_text(TEXT)
    assert config.pinned() == config


def test_settings_that_the_function_does_not_take_are_refused(module):
    with pytest.raises(InputError, match=r"--l2 is 0\.1; it must be left out"):
        ModelConfig(model=MODEL, l2=0.1).pinned()
    with pytest.raises(InputError, match=r"--arguments depth: .* it takes width, rate"):
        ModelConfig(model=MODEL, arguments=("depth=3",)).pinned()
    assert ModelConfig(model=MODEL).pinned().normalize is False  # nothing normalizes, so nobody may say so


def test_function_of_a_notebook_is_told_where_to_go():
    with pytest.raises(InputError, match="write it to a file of its own"):
        find("__main__:network")


def test_arguments_are_numbers_of_our_networks_there_are_none():
    assert read_argument("width=48") == ("width", 48)
    assert read_argument("rate=0.5") == ("rate", 0.5)
    for text in ("width", "width=", "width=wide", "width=nan", "1=2"):
        with pytest.raises(InputError, match="expected name=value"):
            read_argument(text)
    with pytest.raises(InputError, match="--arguments is width=3"):
        ModelConfig(model="compact", arguments=("width=3",))


def test_search_space_has_what_the_function_takes_and_declares(module):
    from tuning.search.space import build_space, to_config

    module.write_text(f"{TEXT}network.ranges = ('width=8:64', 'rate=0.1:0.9')\n")
    start = RunConfig(model=ModelConfig(model=MODEL, arguments=("width=20",)))
    parameters, base = build_space(["rate=0.3"], None, start)
    assert [each.name for each in parameters] == ["learning_rate", "dropout", "width"]
    drawn = {"learning_rate": 1e-3, "dropout": 0.1, "width": 33.4}
    config = to_config(base, parameters, drawn)
    assert dict(map(read_argument, config.model.arguments)) == {"width": 33, "rate": 0.3}
    with pytest.raises(InputError, match="'l2' cannot be searched"):
        build_space(["l2"], None, start)
