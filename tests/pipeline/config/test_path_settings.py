"""Which settings are told to nobody."""

import pytest

from pipeline.config.path_settings import is_path


@pytest.mark.parametrize(
    ("name", "value", "path"),
    [
        ("layout", "own.toml", True),
        ("layout", "kermany", False),
        ("corrections", "['a.csv']", True),
        ("also_judge", "['clinic']", True),
        ("pretrained_weights", "weights.pt", True),
        ("pretrained_weights", "imagenet", False),
        ("ranges", "['dropout=0.3']", False),
    ],
)
def test_paths_are_told_from_names(name, value, path):
    assert is_path(name, value) is path
