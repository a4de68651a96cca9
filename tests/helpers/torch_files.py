"""PyTorch files as `torch.save` writes them, and malformed ones, made without PyTorch."""

import io
import pickle
import struct
import zipfile
from collections import OrderedDict

import numpy as np

from pipeline.networks.torch_state_dict import LEGACY_MAGIC, LEGACY_PROTOCOL


class Named:
    """Pickles as a global of any name, and as a call of it."""

    def __init__(self, name, arguments=None):
        self.name, self.arguments = name, arguments


class _Pickler(pickle._Pickler):
    """Writes tensors as PyTorch does, by opcodes: storages as persistent ids, rebuilt by a named function."""

    def save(self, obj, save_persistent_id=True):
        if isinstance(obj, Named):
            self.write(b"c" + obj.name.replace(" ", "\n").encode() + b"\n")
            if obj.arguments is not None:
                self.save(obj.arguments)
                self.write(b"R")
            return
        if isinstance(obj, tuple) and obj[:1] == ("storage",):
            super().save(tuple(obj), False)
            self.write(b"Q")
            return
        super().save(obj, save_persistent_id)

    def persistent_id(self, obj):
        return None


def pickled(value):
    stream = io.BytesIO()
    _Pickler(stream, 2).dump(value)
    return stream.getvalue()


def storage(key, array, legacy=False):
    kind = {"f": "torch FloatStorage", "i": "torch LongStorage"}[array.dtype.kind]
    return ("storage", Named(kind), key, "cpu", array.size, *([None] if legacy else []))


def tensor(key, array, legacy=False, **changes):
    strides = tuple(stride // array.itemsize for stride in np.empty(array.shape, array.dtype).strides)
    parts = {"storage": storage(key, array, legacy), "offset": 0, "shape": array.shape, "strides": strides} | changes
    return Named(
        "torch._utils _rebuild_tensor_v2",
        (*parts.values(), False, OrderedDict()),
    )


def write_zip(path, arrays, program=None, storages=None, compression=zipfile.ZIP_STORED):
    """Write a state dict in the layout of PyTorch 1.6 and later."""
    keys = {name: str(number) for number, name in enumerate(arrays)}
    with zipfile.ZipFile(path, "w", compression) as archive:
        value = OrderedDict((name, tensor(keys[name], array)) for name, array in arrays.items())
        archive.writestr("w/data.pkl", pickled(value) if program is None else program)
        archive.writestr("w/byteorder", "little")
        for name, array in (arrays if storages is None else storages).items():
            archive.writestr(f"w/data/{keys[name]}", array.tobytes())
        archive.writestr("w/version", "3\n")


def legacy(arrays):
    keys = {name: str(number) for number, name in enumerate(arrays)}
    value = OrderedDict((name, tensor(keys[name], array, legacy=True)) for name, array in arrays.items())
    head = (LEGACY_MAGIC, LEGACY_PROTOCOL, {"little_endian": True}, value, sorted(keys.values()))
    tail = (struct.pack("<q", array.size) + array.tobytes() for array in arrays.values())
    return b"".join([*map(pickled, head), *tail])
