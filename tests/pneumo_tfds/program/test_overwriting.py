"""Outputs that are inputs, or one another, under whatever name."""

from pathlib import Path

import pytest

from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.overwriting import refuse_overwriting


@pytest.fixture
def read(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "read").write_text("an input")
    (tmp_path / "link").symlink_to("read")
    return tmp_path / "read"


@pytest.mark.parametrize("name", ["read", "link", "folder/../read"])
def test_an_output_that_is_an_input_is_refused_under_each_of_its_names(read, name):
    given = read.parent / name
    with pytest.raises(InputError, match=r"^--out .* is an input.*, which stays as it is; name another file$") as error:
        refuse_overwriting({"--json": None, "--out": given}, [None, read.parent, read])
    assert f"--out {given} is" in str(error.value)


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("name", ["read", "link", "folder/../read"])
def test_two_outputs_that_are_one_file_are_refused_even_before_it_is_there(read, name, there):
    if not there:
        read.unlink()
    with pytest.raises(InputError, match=r"^--json and --csv both name .*; give them a file each$"):
        refuse_overwriting({"--json": read, "--csv": read.parent / name}, [])


def test_other_files_and_standard_output_may_be_written(read, monkeypatch):
    monkeypatch.chdir(read.parent)
    Path("-").write_text("a file of this name is no standard output")
    others = {"--json": Path("-"), "--csv": Path("-"), "--out": Path("other"), "--plot": None}
    refuse_overwriting(others, [read, Path("-"), Path("not there")])
