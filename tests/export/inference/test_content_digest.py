"""The digest at the end of an exported file: damage is noticed at load, and files without one still load."""

import hashlib

import numpy as np
import onnx
import pytest

from brightness_model import write_model
from export.inference.classifier import Classifier
from export.inference.content_digest import KEY, read_content, sealed
from export.inference.onnx_metadata import ModelFileError

ENTRY = 84  # bytes


@pytest.fixture
def plain(tmp_path):
    """A file as earlier versions wrote it."""
    return write_model(tmp_path / "plain.onnx")


@pytest.fixture
def file(plain):
    path = plain.with_name("sealed.onnx")
    path.write_bytes(sealed(onnx.load(plain)))
    return path


def test_the_last_84_bytes_are_the_digest_of_all_others_as_an_entry_of_the_metadata(file, plain):
    data = file.read_bytes()
    assert data[-64:].decode() == hashlib.sha256(data[:-ENTRY]).hexdigest()
    assert onnx.load(file).metadata_props[-1].key == KEY
    assert onnx.load(file).metadata_props[-1].value == data[-64:].decode()
    assert onnx.load(file).graph == onnx.load(plain).graph
    assert read_content(file) == (hashlib.sha256(data).hexdigest(), True, False)


def test_to_seal_again_gives_equal_bytes_and_another_content_another_digest(file):
    model = onnx.load(file)
    assert sealed(model) == file.read_bytes()
    model = onnx.load(file)
    model.metadata_props[0].value += "!"
    changed = sealed(model)
    assert changed[-64:] != file.read_bytes()[-64:]
    assert [entry.key for entry in onnx.load_from_string(changed).metadata_props].count(KEY) == 1


def test_a_flipped_bit_is_refused_wherever_it_is(file):
    data = file.read_bytes()
    for place in np.random.default_rng(0).integers(0, len(data) - ENTRY, 60):
        broken = bytearray(data)
        broken[place] ^= 1 << int(place) % 8
        file.write_bytes(broken)
        with pytest.raises(ModelFileError, match="is damaged: its content is not what"):
            Classifier(file)
    file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(ModelFileError, match="is damaged"):
        Classifier(file)


def test_a_file_of_an_earlier_version_loads_and_is_known_to_have_no_digest(file, plain):
    assert Classifier(file).content.has_digest
    assert not Classifier(plain).content.has_digest


def test_a_file_that_another_program_added_to_is_refused_until_its_old_digest_is_removed(file):
    model = onnx.load(file)
    onnx.helper.set_model_props(model, {entry.key: entry.value for entry in model.metadata_props} | {"note": "mine"})
    onnx.save(model, file)
    with pytest.raises(ModelFileError, match="changed by another program after its export"):
        Classifier(file)
    kept = [entry for entry in model.metadata_props if entry.key != KEY]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    onnx.save(model, file)
    assert not Classifier(file).content.has_digest
