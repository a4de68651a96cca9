"""A built dataset knows whether its images are drawn."""

import json

import pytest

from pipeline.config.data_settings import BuiltDataset


@pytest.mark.parametrize(
    ("config", "layout", "drawn"),
    [("phantom_96", "", True), ("gray_96", "phantoms", True), ("gray_96", "kermany", False), ("gray_96", None, False)],
)
def test_phantoms_in_files_are_phantoms_too(tmp_path, config, layout, drawn):
    folder = tmp_path / config / "1.1.0"
    folder.mkdir(parents=True)
    if layout is not None:
        (folder / "metadata.json").write_text(json.dumps({"layout": layout}))
    assert BuiltDataset(folder).phantom == drawn
