"""Files are replaced at once: a reader finds the old one or the new one, and nothing is left lying about."""

import json

import pytest

from pneumo_tfds.errors import InputError
from pneumo_tfds.files import replacing, write_json, write_text


def test_new_content_takes_the_name_when_the_block_ends(tmp_path):
    path = tmp_path / "deep" / "file.txt"
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert not path.exists()
        assert temporary.suffix == ".txt"
    assert path.read_text() == "new"
    assert [entry.name for entry in path.parent.iterdir()] == ["file.txt"]


def test_block_that_fails_leaves_the_old_content_and_no_litter(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")

    def write_half():
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_half()
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file.txt"]


def test_folder_that_cannot_be_made_is_one_line_with_the_way_out(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match=r"cannot write .* choose another folder"):
        write_text(tmp_path / "file" / "below.txt", "text")


def test_json_refuses_what_json_has_not(tmp_path):
    path = tmp_path / "figures.json"
    write_json(path, {"a": 1.5, "b": None})
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"a": float("nan")})
    assert json.loads(path.read_text()) == {"a": 1.5, "b": None}
