"""Singular and plural, and paths in commands."""

from pneumo_tfds.program.wording import counted, quoted


def test_counted():
    assert counted(1, "image") == "1 image"
    assert counted(0, "image") == "0 images"
    assert counted(1234, "image") == "1,234 images"
    assert counted(2, "index", "indices") == "2 indices"


def test_a_path_in_a_command_is_quoted_only_if_it_has_to_be():
    assert quoted("runs/first") == "runs/first"
    assert quoted("my runs/it's") == """'my runs/it'"'"'s'"""
