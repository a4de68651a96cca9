"""Singular and plural."""

from pneumo_tfds.program.wording import counted


def test_counted():
    assert counted(1, "image") == "1 image"
    assert counted(0, "image") == "0 images"
    assert counted(1234, "image") == "1,234 images"
    assert counted(2, "index", "indices") == "2 indices"
