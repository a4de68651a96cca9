"""What `python -m export.verify` prints of a file's origin, and what it refuses."""

import hashlib
import os

import onnx
import pytest

from brightness_model import write_model
from export.export_options import ExportOptions
from export.export_run import export_run
from export.inference.content_digest import sealed
from export.inference.onnx_metadata import ModelFileError
from export.verify import Verify, verify
from pneumo_tfds.program.errors import InputError


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write(path, **props):
    path.write_bytes(sealed(onnx.load(write_model(path, **props))))
    return path


def blocks(capsys):
    """The lines that were printed, under the line with the file's name."""
    found, lines = {}, {}
    for line in capsys.readouterr().out.splitlines():
        if line.startswith("  "):
            lines[line[2:16].strip()] = line[16:]
        else:
            lines = found.setdefault(line, {})
    return found


def test_a_file_and_its_parents_are_followed_as_far_as_they_lie_here(tmp_path, capsys):
    first = write(tmp_path / "first.onnx", pretrained_weights='{"license":"Apache-2.0","name":"made","sha256":"ab"}')
    second = write(tmp_path / "second.onnx", parent_sha256=sha256(first), made_with="pneumo 0.1.0")
    (tmp_path / "elsewhere").mkdir()
    entry = f'[{{"parent_sha256":"{sha256(second)}","source":"our clinic","images":300,"images_sha256":"cd"}}]'
    third = write(tmp_path / "elsewhere" / "third.onnx", parent_sha256=sha256(second), recalibrated=entry)

    verify(Verify(model=second))
    found = blocks(capsys)
    assert list(found) == [str(second), str(first)]
    assert found[str(second)]["made from"] == f"the file with SHA-256 {sha256(first)}"
    assert found[str(second)]["made with"] == "pneumo 0.1.0"
    assert found[str(second)]["content"].startswith("as exported")
    assert found[str(first)]["started from"] == "made, Apache-2.0, SHA-256 ab"
    assert found[str(first)]["file"].startswith(f"SHA-256 {sha256(first)}")

    verify(Verify(model=third))
    found = blocks(capsys)
    assert list(found) == [str(third), "the file that it was made from is not here; give it with --parent"]
    assert found[str(third)]["recalibrated"] == "on 300 images of our clinic, SHA-256 cd"
    verify(Verify(model=third, parent=(second, first)))
    assert list(blocks(capsys)) == [str(third), str(second), str(first)]


def test_a_parent_of_another_file_and_a_damaged_parent_are_refused(tmp_path):
    first, other = write(tmp_path / "first.onnx"), write(tmp_path / "other.onnx", threshold="0.4")
    second = write(tmp_path / "second.onnx", parent_sha256=sha256(first))
    with pytest.raises(InputError, match=r"was not made from .*other\.onnx"):
        verify(Verify(model=second, parent=(other,)))
    data = bytearray(first.read_bytes())
    data[100] ^= 1
    first.write_bytes(data)
    with pytest.raises(InputError, match=r"was not made from .*first\.onnx"):
        verify(Verify(model=second, parent=(first,)))
    with pytest.raises(ModelFileError, match=r"first\.onnx is damaged"):
        verify(Verify(model=first))


def test_what_else_lies_beside_a_file_does_not_matter(tmp_path, capsys):
    first = write(tmp_path / "first.onnx")
    second = write(tmp_path / "second.onnx", parent_sha256=sha256(first))
    (tmp_path / "old.onnx").symlink_to("gone.onnx")
    (tmp_path / "round.onnx").symlink_to("round.onnx")
    (tmp_path / "keep.onnx").mkdir()
    (tmp_path / "text.onnx").write_text("no model")
    os.mkfifo(tmp_path / "pipe.onnx")
    verify(Verify(model=second))
    assert list(blocks(capsys)) == [str(second), str(first)]
    with pytest.raises(InputError, match=r"keep\.onnx cannot be read; give an \.onnx file"):
        verify(Verify(model=second, parent=(tmp_path / "keep.onnx",)))


def test_a_file_of_an_earlier_version_is_said_to_have_no_digest(tmp_path, capsys):
    verify(Verify(model=write_model(tmp_path / "m.onnx"), allow_no_digest=True))
    (found,) = blocks(capsys).values()
    assert found["content"].startswith("not checked: it has no digest")
    assert found["made from"] == "a run, in float32"
    assert found["started from"] == found["made with"] == "not recorded"


def test_a_file_whose_digest_is_cut_off_is_said_to_have_none(tmp_path, capsys):
    model = write(tmp_path / "m.onnx")
    model.write_bytes(model.read_bytes()[:-84])
    with pytest.raises(InputError, match=r"m\.onnx was not checked: it has no digest; give --allow-no-digest if it is"):
        verify(Verify(model=model))
    (found,) = blocks(capsys).values()
    assert found["content"].startswith("not checked: it has no digest")


@pytest.mark.slow
def test_an_export_names_the_parents_of_each_file(tmp_path, write_run, tiny_model, sample_images, capsys):
    run = write_run(tmp_path / "run", tiny_model())
    list(export_run(run, ExportOptions(fp16=True, int8=True, parity_images=8)))
    for name in ("model.fp16.onnx", "model.int8.onnx"):
        verify(Verify(model=run / name))
        found = blocks(capsys)
        assert list(found) == [str(run / name), str(run / "model.onnx")]
        assert all(block["content"].startswith("as exported") for block in found.values())
        assert "tensorflow" in found[str(run / "model.onnx")]["made with"]
