"""PyTorch files: their tensors are read, and no code in them runs."""

import os
import pickle
import zipfile
from contextlib import suppress

import numpy as np
import pytest

from pipeline.networks.torch_state_dict import LEGACY_MAGIC, LEGACY_PROTOCOL, read_state_dict
from pneumo_tfds.program.errors import InputError
from torch_files import Named, legacy, pickled, tensor, write_zip


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    return {
        "conv.weight": rng.normal(size=(4, 3, 2, 2)).astype(np.float32),
        "norm.bias": rng.normal(size=4).astype(np.float32),
        "norm.num_batches_tracked": np.array(7),
    }


def assert_same(found, arrays):
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype


def test_zip_layout_is_read(tmp_path, arrays):
    write_zip(tmp_path / "w.pth", arrays)
    assert_same(read_state_dict(tmp_path / "w.pth"), arrays)


@pytest.mark.parametrize("count", [1, 3])
def test_legacy_layout_is_read(tmp_path, arrays, count):
    some = dict(list(arrays.items())[:count])
    (tmp_path / "w.pth").write_bytes(legacy(some))
    assert_same(read_state_dict(tmp_path / "w.pth"), some)


def test_shared_storage_strides_and_offset_are_followed(tmp_path):
    numbers = np.arange(12, dtype=np.float32)
    program = pickled(
        {
            "turned": tensor("0", numbers, shape=(3, 4), strides=(1, 3)),
            "late": tensor("0", numbers, offset=8, shape=(2, 2), strides=(2, 1)),
        }
    )
    write_zip(tmp_path / "w.pth", {"x": numbers}, program)
    found = read_state_dict(tmp_path / "w.pth")
    np.testing.assert_array_equal(found["turned"], numbers.reshape(4, 3).T)
    np.testing.assert_array_equal(found["late"], [[8, 9], [10, 11]])


PROGRAMS = {
    "calls a function": (Named("posix system", ("touch {mark}",)), "posix.system"),
    "calls a builtin": (Named("builtins eval", ("open('{mark}', 'w')",)), "builtins.eval"),
    "names a class": ({"x": Named("subprocess Popen")}, "subprocess.Popen"),
    "names a module's function": ({"x": Named("torch load")}, "torch.load"),
    "calls a dict with arguments": (Named("collections OrderedDict", ([("x", 1)],)), "calls something"),
    "rebuilds without storage": ({"x": Named("torch._utils _rebuild_tensor_v2", (1, 2))}, "calls something"),
    "rebuilds of nothing": ({"x": Named("torch._utils _rebuild_tensor_v2", ())}, "wrote"),
    "holds no tensors": ({"x": 1}, "entry x is not a tensor"),
    "holds tensors by number": ({1: 2}, "treats int as str"),
    "holds a list": ([1], "holds list"),
    "holds nothing": ({}, "not a dict of tensors"),
    "holds a float": ({"x": 1.5}, "BINFLOAT"),
    "holds bytes": ({"x": bytearray(b"x")}, "refused"),
}


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("layout", ["zip", "legacy"])
def test_pickle_that_does_anything_else_is_refused(tmp_path, name, layout):
    program, complaint = PROGRAMS[name]
    mark, path = tmp_path / "it-ran", tmp_path / "evil.pth"
    data = (
        pickled(program).replace(b"{mark}", str(mark).encode())
        if name != "calls a function"
        else pickled(Named("posix system", (f"touch {mark}",)))
    )
    if layout == "zip":
        write_zip(path, {}, data)
    else:
        head = b"".join(map(pickled, (LEGACY_MAGIC, LEGACY_PROTOCOL, {"little_endian": True})))
        path.write_bytes(head + data + pickled([]))
    with pytest.raises(InputError, match=complaint) as refusal:
        read_state_dict(path)
    assert str(path) in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert not mark.exists()


class _Evil:
    def __reduce__(self):
        return os.mkdir, ("it-ran",)


@pytest.mark.parametrize("protocol", range(6))
def test_real_exploit_is_refused_in_every_protocol(tmp_path, protocol, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path, data in (("a.pth", pickle.dumps(_Evil(), protocol)), ("b.pth", None)):
        if data is None:
            write_zip(path, {}, pickle.dumps({"x": _Evil()}, protocol))
        else:
            (tmp_path / path).write_bytes(data)
        with pytest.raises(InputError):
            read_state_dict(tmp_path / path)
    assert not (tmp_path / "it-ran").exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"offset": 1},
        {"offset": -1},
        {"shape": (13,), "strides": (1,)},
        {"shape": (1000, 1000), "strides": (0, 0)},
        {"shape": (2, 2), "strides": (11, 1)},
        {"shape": (4,), "strides": (-1,)},
        {"shape": (12,), "strides": ()},
        {"shape": (2**70,), "strides": (1,)},
        {"shape": (True,), "strides": (1,)},
        {"shape": (0,), "strides": (1,)},
        {"shape": ("x",), "strides": (1,)},
        {"shape": 12, "strides": 1},
    ],
)
def test_tensor_outside_its_storage_is_refused(tmp_path, changes):
    numbers = np.arange(12, dtype=np.float32)
    write_zip(tmp_path / "w.pth", {"x": numbers}, pickled({"x": tensor("0", numbers, **changes)}))
    with pytest.raises(InputError, match=r"w\.pth"):
        read_state_dict(tmp_path / "w.pth")


def test_zip_that_grows_or_is_compressed_is_refused(tmp_path):
    zeros = {"x": np.zeros(100_000, np.float32)}
    write_zip(tmp_path / "bomb.pth", zeros, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(InputError, match="grows"):
        read_state_dict(tmp_path / "bomb.pth")


def test_storage_of_another_length_is_refused(tmp_path, arrays):
    write_zip(tmp_path / "w.pth", arrays, storages=arrays | {"norm.bias": arrays["norm.bias"][:3]})
    with pytest.raises(InputError, match=r"norm\.bias is truncated"):
        read_state_dict(tmp_path / "w.pth")


@pytest.mark.parametrize(
    "content", [None, b"", b"PK\x03\x04", b"not weights", b"\x80\x02]q\x00(e.", b"\x80\x02" + b"(" * 99]
)
def test_file_that_is_missing_or_something_else_is_refused(tmp_path, content):
    path = tmp_path / "w.pth"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"w\.pth"):
        read_state_dict(path)


@pytest.mark.parametrize("layout", ["zip", "legacy"])
def test_damage_anywhere_is_refused_or_harmless(tmp_path, arrays, layout):
    path = tmp_path / "w.pth"
    write_zip(path, arrays)
    whole = path.read_bytes() if layout == "zip" else legacy(arrays)
    rng = np.random.default_rng(0)
    for _ in range(1500):
        damaged = bytearray(whole)
        if rng.random() < 0.3:
            del damaged[rng.integers(len(whole)) :]
        for place in rng.integers(max(1, len(damaged)), size=rng.integers(1, 4)):
            damaged[place : place + 1] = bytes([rng.integers(256)])
        path.write_bytes(damaged)
        with suppress(InputError):
            read_state_dict(path)
