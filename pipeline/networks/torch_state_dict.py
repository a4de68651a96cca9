"""PyTorch state dicts, read without PyTorch and without running the pickle inside them.

A `.pth` file is a pickle, which is a program: Python's own `pickle.load` runs whatever it says. This module interprets
the few opcodes that a saved state dict needs, on plain values, and refuses every other one. Globals are only names to
it and are never imported. (PyTorch's own `weights_only` loader works in the same way.) The standard library's
`pickle.Unpickler` with an allow-list would not do: it hashes nested tuples until the stack overflows, and makes room
for any number of memo entries that a file declares.

Two layouts exist, both little-endian, and both are read: a zip with `data.pkl` and one stored entry for each storage
(PyTorch 1.6 and later), and the older one, five consecutive pickles and then the raw storages.
"""

from __future__ import annotations

import math
import pickletools
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pneumo_tfds.program.errors import InputError, reason_of
from pneumo_tfds.program.npz import DAMAGE

LEGACY_MAGIC, LEGACY_PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
ORDERED_DICT, REBUILD_TENSOR = "collections OrderedDict", "torch._utils _rebuild_tensor_v2"
STORAGES: dict[str, np.dtype[Any]] = {"torch FloatStorage": np.dtype("<f4"), "torch LongStorage": np.dtype("<i8")}
ENCRYPTED = 1  # bit of a zip entry's flags


@dataclass(frozen=True)
class _Global:
    """A name that the pickle mentions; nothing is imported for it."""

    name: str


@dataclass(frozen=True)
class _Storage:
    """A flat run of numbers elsewhere in the file."""

    key: str
    kind: np.dtype[Any]
    count: int


@dataclass(frozen=True)
class _Tensor:
    """A strided view of a storage; strides and offset count elements."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read_state_dict(path: Path) -> dict[str, NDArray[Any]]:
    """Read what `torch.save(model.state_dict(), path)` wrote.

    Args:
        path: a `.pth` or `.pt` file, in the zip or the legacy layout.

    Returns:
        Tensor by name, float32 or int64: read-only views of the file's bytes, strided as they were saved.

    Raises:
        InputError: the file cannot be read, is damaged, or its pickle does anything but hold a state dict.
    """
    try:
        content = path.read_bytes()
        tensors, data = (_from_zip if content.startswith(b"PK\x03\x04") else _from_legacy)(content)
        return {name: _array(name, tensor, data[tensor.storage.key]) for name, tensor in tensors.items()}
    except OSError as error:
        raise InputError(f"{path} cannot be read: {reason_of(error)}; give a .pth file of weights") from error
    except (*DAMAGE, TypeError) as error:
        reason = reason_of(error)
        hint = "give a file that torch.save(model.state_dict(), PATH) wrote"
        raise InputError(f"{path} is damaged or not a plain state dict ({reason:.120}); {hint}") from error


def _from_zip(content: bytes) -> tuple[dict[str, _Tensor], dict[str, bytes]]:
    """Return the tensors and the bytes of each storage."""
    with zipfile.ZipFile(BytesIO(content)) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
        if sum(entry.file_size for entry in entries.values()) > len(content):
            raise ValueError("it is a zip that grows when it is unpacked")
        pickles = [name for name in entries if name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise ValueError(f"it is a zip with {len(pickles)} entries named data.pkl")
        root = pickles[0].removesuffix("data.pkl")

        def read(name: str) -> bytes:
            if entries[name].compress_type != zipfile.ZIP_STORED or entries[name].flag_bits & ENCRYPTED:
                raise ValueError(f"{name} is compressed or encrypted, which PyTorch never does")
            return archive.read(name)

        if f"{root}byteorder" in entries and read(f"{root}byteorder") != b"little":
            raise ValueError("its numbers are not little-endian")
        tensors = _tensors(_Machine().run(BytesIO(read(pickles[0]))))
        storages = {tensor.storage.key for tensor in tensors.values()}
        return tensors, {key: read(f"{root}data/{key}") for key in storages}


def _from_legacy(content: bytes) -> tuple[dict[str, _Tensor], dict[str, bytes]]:
    """Return the tensors and the bytes of each storage."""
    stream = BytesIO(content)
    if _Machine().run(stream) != LEGACY_MAGIC or _Machine().run(stream) != LEGACY_PROTOCOL:
        raise ValueError("it does not start as a PyTorch file")
    if _of_kind(_Machine().run(stream), dict)["little_endian"] is not True:
        raise ValueError("its numbers are not little-endian")
    tensors = _tensors(_Machine().run(stream))
    storages = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
    data: dict[str, bytes] = {}
    for key in _of_kind(_Machine().run(stream), list):
        expected = storages[_of_kind(key, str)].count  # hashing deeply nested tuples would end the process
        (count,) = struct.unpack("<q", stream.read(8))
        if count != expected:
            raise ValueError(f"storage {key} has {count} numbers instead of {expected}")
        data[key] = stream.read(count * storages[key].kind.itemsize)
    return tensors, data


def _tensors(value: Any) -> dict[str, _Tensor]:
    if not isinstance(value, dict) or not value:
        raise ValueError(f"it holds {type(value).__name__}, not a dict of tensors")
    for name, tensor in value.items():
        if not isinstance(tensor, _Tensor):
            raise ValueError(f"its entry {name:.60} is not a tensor")
    return value


def _array(name: str, tensor: _Tensor, data: bytes) -> NDArray[Any]:
    storage, sizes = tensor.storage, (*tensor.shape, *tensor.strides, tensor.offset)
    if any(type(size) is not int or size < 0 for size in sizes) or len(tensor.shape) != len(tensor.strides):
        raise ValueError(f"{name:.60} has impossible sizes")
    if len(data) != storage.count * storage.kind.itemsize:
        raise ValueError(f"{name:.60} is truncated")
    last = tensor.offset + sum((side - 1) * stride for side, stride in zip(tensor.shape, tensor.strides, strict=True))
    if not 0 < math.prod(tensor.shape) <= storage.count or last >= storage.count:
        raise ValueError(f"{name:.60} exceeds its storage")
    numbers = np.frombuffer(data, storage.kind)[tensor.offset :]
    strides = [stride * storage.kind.itemsize for stride in tensor.strides]
    return np.lib.stride_tricks.as_strided(numbers, tensor.shape, strides, writeable=False)


@dataclass
class _Machine:
    """Interprets one pickle of plain values, dicts and tensors. Lists, dicts and names are data; nothing is called."""

    stack: list[Any] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)

    def run(self, stream: BytesIO) -> Any:
        """Interpret the pickle up to its STOP opcode, after which `stream` is left, and return its value."""
        for opcode, argument, _ in pickletools.genops(stream):
            if opcode.name == "STOP":
                return self.stack.pop()
            if opcode.name not in OPCODES:
                raise ValueError(f"its pickle uses {opcode.name}, which no state dict needs")
            OPCODES[opcode.name](self, argument)
        raise ValueError("it ends inside its pickle")

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop(self, count: int) -> list[Any]:
        return [self.stack.pop() for _ in range(count)][::-1]  # an IndexError if there are fewer

    def pop_to_mark(self) -> list[Any]:
        return self.pop(len(self.stack) - self.marks.pop())

    def extend(self, items: list[Any]) -> None:
        _of_kind(self.stack[-1], list).extend(items)

    def set_items(self, items: list[Any]) -> None:
        keys = [_of_kind(key, str) for key in items[::2]]
        _of_kind(self.stack[-1], dict).update(zip(keys, items[1::2], strict=True))

    def reduce(self) -> None:
        """Make the two calls of a state dict, as data."""
        function, arguments = self.pop(2)
        if function == _Global(ORDERED_DICT) and arguments == ():
            self.push({})
        elif function == _Global(REBUILD_TENSOR) and isinstance(arguments[0], _Storage):
            storage, offset, shape, strides, *_ = arguments
            self.push(_Tensor(storage, offset, _of_kind(shape, tuple), _of_kind(strides, tuple)))
        else:
            raise ValueError("its pickle calls something that is refused")

    def build(self) -> None:
        """Drop the attribute `_metadata` of a state dict: versions of layers, which are not needed."""
        self.pop(1)
        _of_kind(self.stack[-1], dict)


# The allowed opcodes and their effect on the machine.
OPCODES: dict[str, Callable[[_Machine, Any], None]] = {
    "PROTO": lambda machine, _: None,  # later protocols have other opcodes
    **dict.fromkeys(("BININT", "BININT1", "BININT2", "LONG1", "BINUNICODE"), _Machine.push),
    "NONE": lambda machine, _: machine.push(None),
    "NEWTRUE": lambda machine, _: machine.push(True),
    "NEWFALSE": lambda machine, _: machine.push(False),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "EMPTY_TUPLE": lambda machine, _: machine.push(()),
    "TUPLE1": lambda machine, _: machine.push(tuple(machine.pop(1))),
    "TUPLE2": lambda machine, _: machine.push(tuple(machine.pop(2))),
    "TUPLE3": lambda machine, _: machine.push(tuple(machine.pop(3))),
    "MARK": lambda machine, _: machine.marks.append(len(machine.stack)),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.pop_to_mark())),
    **dict.fromkeys(("BINPUT", "LONG_BINPUT"), lambda machine, key: machine.memo.update({key: machine.stack[-1]})),
    **dict.fromkeys(("BINGET", "LONG_BINGET"), lambda machine, key: machine.push(machine.memo[key])),
    "APPEND": lambda machine, _: machine.extend(machine.pop(1)),
    "APPENDS": lambda machine, _: machine.extend(machine.pop_to_mark()),
    "SETITEM": lambda machine, _: machine.set_items(machine.pop(2)),
    "SETITEMS": lambda machine, _: machine.set_items(machine.pop_to_mark()),
    "GLOBAL": lambda machine, name: machine.push(_known(name)),
    "BINPERSID": lambda machine, _: machine.push(_storage(machine.stack.pop())),
    "REDUCE": lambda machine, _: machine.reduce(),
    "BUILD": lambda machine, _: machine.build(),
}


def _known(name: str) -> _Global:
    if name not in (ORDERED_DICT, REBUILD_TENSOR, *STORAGES):
        raise ValueError(f"its pickle asks for {name.replace(' ', '.')}, which is refused")
    return _Global(name)


def _of_kind(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise ValueError(f"its pickle treats {type(value).__name__} as {kind.__name__}")
    return value


def _storage(identity: Any) -> _Storage:
    """Return the storage of a persistent id: ("storage", kind, key, device, count) and, in the older layout, a view."""
    word, kind, key, _, count, *view = identity
    if word != "storage" or not isinstance(kind, _Global) or kind.name not in STORAGES or view not in ([], [None]):
        raise ValueError("it has a storage of an unknown kind")
    if not isinstance(key, str) or type(count) is not int or count < 0:
        raise ValueError("it has a storage without key or size")
    return _Storage(key, STORAGES[kind.name], count)
