"""PyTorch files with random bytes and opcodes: tensors or one line of error; no code runs, memory does not grow."""

import functools
import io
import pickle
import struct
import zipfile

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.networks.torch_state_dict import LEGACY_MAGIC, LEGACY_PROTOCOL, read_state_dict

ARRAYS = {"a.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "n": np.array(7)}


def program(legacy):
    """A state dict as PyTorch pickles it, opcode by opcode."""
    parts = [b"\x80\x02ccollections\nOrderedDict\n)R("]
    for key, (name, array) in enumerate(ARRAYS.items()):
        kind = b"FloatStorage" if array.dtype == np.float32 else b"LongStorage"
        strides = [stride // array.itemsize for stride in array.strides]
        parts += [
            text(name), b"ctorch._utils\n_rebuild_tensor_v2\n((", text("storage"), b"ctorch\n" + kind + b"\n",
            text(str(key)), text("cpu"), number(array.size), b"N" if legacy else b"", b"tQK\0(",
            *map(number, array.shape), b"t(", *map(number, strides), b"t\x89ccollections\nOrderedDict\n)RtR",
        ]  # fmt: skip
    return b"".join([*parts, b"u."])


def text(value):
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def number(value):
    return b"K" + bytes([value])


def zipped(content):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("w/data.pkl", content)
        archive.writestr("w/byteorder", "little")
        for key, array in enumerate(ARRAYS.values()):
            archive.writestr(f"w/data/{key}", array.tobytes())
    return file.getvalue()


def legacy(content):
    head = (LEGACY_MAGIC, LEGACY_PROTOCOL, {"little_endian": True})
    tail = b"".join(struct.pack("<q", array.size) + array.tobytes() for array in ARRAYS.values())
    return b"".join(pickle.dumps(part, 2) for part in head) + content + pickle.dumps(["0", "1"], 2) + tail


LAYOUTS = {zipped: False, legacy: True}


@functools.cache
def originals():
    return [layout(program(old)) for layout, old in LAYOUTS.items()]


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tmp_path_factory.mktemp("weights") / "w.pth"


def check(file):
    for array in read_state_dict(file).values():
        assert array.dtype in (np.float32, np.int64)
        assert not array.flags.writeable
        array.sum()  # touches every byte that it claims


def test_the_originals_are_right(file):
    for data in originals():
        file.write_bytes(data)
        assert read_state_dict(file)["a.weight"].tolist() == ARRAYS["a.weight"].tolist()


@given(data=st.data())
def test_bytes(data, file, mutated, input_error_only):
    file.write_bytes(data.draw(mutated(originals())))
    with input_error_only("w.pth"):
        check(file)


OPCODES = [
    b"]", b"}", b")", b"(", b"t", b"\x85", b"\x86", b"\x87", b"N", b"\x88", b"\x89", b"Q", b"R", b"b", b"a", b"e", b"s",
    b"u", b"0", b"2", b"q\0", b"h\0", b"q\1", b"h\1", b"K\1", b"J\xff\xff\xff\xff", b"\x8a\x09\0\0\0\0\0\0\0\0\1",
    b"X\1\0\0\0x", text("storage"), text("0"), b"ccollections\nOrderedDict\n", b"ctorch\nFloatStorage\n",
    b"ctorch._utils\n_rebuild_tensor_v2\n", b"cos\nsystem\n", b"ibuiltins\neval\n", b"\x81", b"\x93", b".",
]  # fmt: skip
BITS = [*OPCODES, b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + b"K\6tQ"]


@given(
    parts=st.lists(st.sampled_from(BITS), max_size=30), layout=st.sampled_from(list(LAYOUTS)), cut=st.integers(0, 400)
)
@example(parts=[b")", *[b"\x85"] * 300_000, b"."], layout=zipped, cut=0)
@example(parts=[b"]", b"q\0", *[b"h\0a"] * 1000], layout=zipped, cut=0)  # a list that holds itself
def test_programs(parts, layout, cut, file, input_error_only):
    """Opcodes in any order, alone or in the middle of a right program."""
    right = program(LAYOUTS[layout])
    content = right[:cut] + b"".join(parts) + right[cut:]
    file.write_bytes(layout(content if cut else b"\x80\x02" + b"".join(parts)))
    with input_error_only("w.pth"):
        check(file)


def test_a_key_of_nested_tuples_is_not_hashed(file):
    """Hashing them would overflow the stack and end the process."""
    deep = b"\x80\x02](" + b")" + b"\x85" * 300_000 + b"e."
    head = b"".join(pickle.dumps(part, 2) for part in (LEGACY_MAGIC, LEGACY_PROTOCOL, {"little_endian": True}))
    file.write_bytes(head + program(True) + deep)
    with pytest.raises(ValueError, match="treats tuple as str"):
        read_state_dict(file)


@functools.cache
def keras_model():
    """The bytes of a `model.keras`: a zip with JSON and HDF5 in it."""
    import tempfile
    from pathlib import Path

    import keras

    from pipeline.run_folder.model_file import save_model

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        save_model(path, keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]))
        return path.read_bytes()


@settings(max_examples=max(20, settings.default.max_examples // 40))  # a model takes 20 ms
@given(data=st.data())
def test_keras_model(data, file, mutated, input_error_only):
    from pipeline.run_folder.model_file import load_model

    path = file.with_name("model.keras")
    path.write_bytes(data.draw(mutated([keras_model()])))
    with input_error_only("model.keras"):
        load_model(path).count_params()


@settings(max_examples=max(20, settings.default.max_examples // 40))
@given(data=st.data())
def test_parts_of_a_keras_model(data, file, mutated, input_error_only):
    """The configuration or the weights are wrong, in a zip that is whole."""
    from pipeline.run_folder.model_file import load_model

    with zipfile.ZipFile(io.BytesIO(keras_model())) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    name = data.draw(st.sampled_from(sorted(parts)))
    parts[name] = data.draw(mutated(list(parts.values())))
    path = file.with_name("model.keras")
    with zipfile.ZipFile(path, "w") as archive:
        for each, content in parts.items():
            archive.writestr(each, content)
    with input_error_only("model.keras"):
        load_model(path).count_params()
