"""What a disk may hold after the power failed at any moment of a command's work.

`record` runs a command under strace, which sees the calls of Python and of C++ alike (TensorFlow, HDF5, SQLite), and
keeps every change below a folder. `Recording.states` then gives what the folder may look like if the power fails after
each change. What `fsync` has not promised by then may be there or not, each for itself, in any order:

* a write is there, lost, torn (some sectors of 512 or 4,096 bytes of it are there), or zeros of its length;
* a new, renamed or removed name is there once the folder that it is in was synchronized. A rename is one step. Whether
  the file itself was synchronized does not matter to its name, nor the name to the file.

That is less than ext4, XFS and btrfs promise, which keep the order of names. If few changes hang, all combinations are
given; if many, all, none, the names alone, the data alone, all but one, and a seeded sample.

Limits: a disk that says it has written what it has not is not among the cases, nor one whose sectors rot. Writes
through memory maps are not seen (SQLite's `-shm`, which it makes anew), nor is `read` followed, so a program that
reads and then writes without seeking would be misplaced; `record` compares its model with the folder at the end, byte
for byte, and fails if they differ. Permissions, times and symbolic links are not modelled.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import random
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

CALLS = (
    "open,openat,creat,close,dup,dup2,dup3,fcntl,write,pwrite64,writev,pwritev,lseek,truncate,ftruncate,fallocate,"
    "fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat,rmdir,mkdir,mkdirat,link,linkat,sendfile,"
    "copy_file_range,clone,clone3,fork,vfork"
)
FEW = 5  # hanging changes of which all combinations are tried
MARK = b"mark "
_ENDED = re.compile(r"(\d+) +(\w+)\((.*)\) += (-?\d+)")
_BEGUN = re.compile(r"(\d+) +(\w+)\((.*) <unfinished \.\.\.>$")
_RESUMED = re.compile(r"(\d+) +<\.\.\. \w+ resumed>(.*)$")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')


@dataclass
class Disk:
    """Files and folders by number; 0 is the folder that is watched."""

    files: dict[int, bytearray] = field(default_factory=dict)
    folders: dict[int, dict[str, int]] = field(default_factory=lambda: {0: {}})

    def tree(self, number: int = 0, at: str = "") -> Iterator[tuple[str, bytes | None]]:
        """Give paths with content, None for a folder."""
        for name, inside in sorted(self.folders[number].items()):
            path = f"{at}{name}"
            if inside in self.folders:
                yield path, None
                yield from self.tree(inside, f"{path}/")
            else:
                yield path, bytes(self.files.get(inside, b""))


@dataclass(frozen=True)
class Change:
    """One step of the work."""

    kind: str
    """write, cut (to `offset` bytes), names, sync or mark."""
    number: int = 0
    """Of the file or folder."""
    offset: int = 0
    data: bytes = b""
    names: tuple[tuple[int, str, int | None], ...] = ()
    """Folder, name and what it names from now on."""

    def apply(self, disk: Disk) -> None:
        """Make the change."""
        if self.kind in ("write", "cut"):
            content = disk.files.setdefault(self.number, bytearray())
            content.extend(bytes(max(0, self.offset - len(content))))
            if self.kind == "cut":
                del content[self.offset :]
            else:
                content[self.offset : self.offset + len(self.data)] = self.data
        for folder, name, inside in self.names:
            disk.folders[folder].pop(name, None)
            if inside is not None:
                disk.folders[folder][name] = inside


@dataclass
class Recording:
    """What a command did to a folder."""

    begun: list[tuple[str, bytes | None]]
    changes: list[Change]
    published: dict[str, set[bytes]]
    """By path, each content that a file had when it got this name by a rename, and at the beginning."""
    folders: set[int]

    def states(self, seed: int = 0, samples: int = 8, most: int | None = None) -> Iterator[State]:
        """Give the states of the folder after a power failure, each once; `most`: at so many moments, evenly chosen."""
        seen: set[bytes] = set()
        moments = range(1, len(self.changes) + 1)
        if most and len(moments) > most:
            moments = sorted(random.Random(seed).sample(moments, most))
        promised: dict[int, int] = {}
        last: list[int] = [len(self.changes)] * len(self.changes)
        for place in reversed(range(len(self.changes))):
            change = self.changes[place]
            if change.kind == "sync":
                promised[change.number] = place
            owner = change.names[-1][0] if change.names else change.number
            last[place] = promised.get(owner, len(self.changes))
        for moment in moments:
            hanging = [
                place
                for place, change in enumerate(self.changes[:moment])
                if last[place] >= moment and change.kind in ("write", "cut", "names")
            ]
            marks = {change.data.decode() for change in self.changes[:moment] if change.kind == "mark"}
            for what, fate in self._fates(hanging, random.Random(f"{seed} {moment}"), samples):
                disk = self._at(moment, fate)
                tree = list(disk.tree())
                digest = hashlib.sha256(repr(sorted(marks)).encode())
                for path, content in tree:
                    digest.update(f"{path} {content is None} {len(content or b'')} ".encode() + (content or b""))
                if digest.digest() not in seen:
                    seen.add(digest.digest())
                    yield State(f"after change {moment} of {len(self.changes)}, {what}", tree, marks)

    def _fates(
        self, hanging: list[int], chance: random.Random, samples: int
    ) -> Iterator[tuple[str, dict[int, list[Change]]]]:
        """Give what becomes of the hanging changes: a dict without those that are there as they are."""
        gone: dict[int, list[Change]] = {place: [] for place in hanging}
        names = {place for place in hanging if self.changes[place].kind == "names"}
        yield "all there", {}
        yield "none there", gone
        if len(hanging) <= FEW:
            for count in range(1, len(hanging)):
                for some in itertools.combinations(hanging, count):
                    yield f"without {some}", {place: gone[place] for place in some}
        else:
            yield "names without data", {place: gone[place] for place in hanging if place not in names}
            yield "data without names", {place: gone[place] for place in names}
            for place in chance.sample(hanging, min(samples, len(hanging))):
                yield f"without {place}", {place: gone[place]}
                yield f"only {place}", {other: gone[other] for other in hanging if other != place}
        for number in range(samples if hanging else 0):
            yield (
                f"torn, sample {number}",
                {place: fate for place in hanging if (fate := _torn(self.changes[place], chance)) is not None},
            )

    def _at(self, moment: int, fate: dict[int, list[Change]]) -> Disk:
        disk = _disk(self.begun)
        for folder in self.folders:
            disk.folders.setdefault(folder, {})
        for place, change in enumerate(self.changes[:moment]):
            for part in fate.get(place, [change]):
                part.apply(disk)
        return disk


@dataclass(frozen=True)
class State:
    """A folder as it may be found."""

    what: str
    tree: list[tuple[str, bytes | None]]
    marks: set[str]
    """What the command had printed by then, in lines that begin with "mark "."""

    def write(self, folder: Path) -> Path:
        """Make `folder` anew with this content."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for path, content in self.tree:
            if content is None:
                (folder / path).mkdir()
            else:
                (folder / path).write_bytes(content)
        return folder


def _torn(change: Change, chance: random.Random) -> list[Change] | None:
    """What becomes of one hanging change by chance; None if it is there as it is."""
    fate = chance.choice(("there", "lost", "torn", "zeros") if change.kind == "write" else ("there", "lost"))
    if fate in ("there", "lost"):
        return None if fate == "there" else []
    if fate == "zeros":
        return [replace(change, data=bytes(len(change.data)))]
    size, parts = chance.choice((512, 4096)), []
    for start in range(change.offset // size * size, change.offset + len(change.data), size):
        if chance.random() < 0.5:
            begin, end = max(0, start - change.offset), start + size - change.offset
            parts.append(replace(change, offset=change.offset + begin, data=change.data[begin:end]))
    return parts


def _disk(tree: Sequence[tuple[str, bytes | None]]) -> Disk:
    disk, numbers = Disk(), {"": 0}
    for number, (path, content) in enumerate(tree, 1):
        above, _, name = path.rpartition("/")
        disk.folders[numbers[above]][name] = numbers[path] = number
        if content is None:
            disk.folders[number] = {}
        else:
            disk.files[number] = bytearray(content)
    return disk


def _found(folder: Path) -> list[tuple[str, bytes | None]]:
    paths = sorted(folder.rglob("*"), key=lambda path: path.relative_to(folder).parts)
    return [(str(path.relative_to(folder)), None if path.is_dir() else path.read_bytes()) for path in paths]


def record(words: Sequence[object], folder: Path, **variables: str) -> Recording:
    """Run a command to its end, which must be a good one; give its changes below `folder`, its working folder."""
    folder = folder.resolve()
    (folder / ".tmp").mkdir(exist_ok=True)
    begun, trace = _found(folder), folder.with_name(f"{folder.name}.trace")
    strace = ["strace", "-f", "--seccomp-bpf", "-qq", "-xx", "-s", "99999999", "-e", f"trace={CALLS}", "-o", str(trace)]
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "TMPDIR": str(folder / ".tmp")} | variables
    ended = subprocess.run(
        [*strace, *map(str, words)], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    reader = _Reader(folder, _disk(begun))
    with trace.open(encoding="ascii", errors="replace") as lines:
        for line in lines:
            reader.read(line)
    trace.unlink()
    model, real = (
        [pair for pair in tree if not pair[0].endswith("-shm")] for tree in (list(reader.disk.tree()), _found(folder))
    )
    wrong = {path for path, _ in set(model) ^ set(real)}
    assert not wrong, f"the model of the disk is wrong in {sorted(wrong)}"
    published = {path: {content} for path, content in begun if content is not None}
    for path, content in reader.named:
        published.setdefault(path, set()).add(content)
    return Recording(begun, reader.changes, published, set(reader.disk.folders))


@dataclass
class _Open:
    """An open file or folder; descriptors that were duplicated share it."""

    number: int
    path: str
    at: int = 0
    append: bool = False


class _Reader:
    """Follows the lines of strace: which process has what open, and what it does to the folder."""

    def __init__(self, folder: Path, disk: Disk) -> None:
        self.disk, self.changes = disk, list[Change]()
        self.named: list[tuple[str, bytes]] = []
        self._root, self._next = str(folder), 1 + max([0, *disk.files, *disk.folders])
        self._open: dict[str, dict[int, _Open]] = {}
        self._half: dict[str, str] = {}

    def read(self, line: str) -> None:
        """Follow one line; what a thread begins and another interrupts counts when it ends, but a close at once."""
        if begun := _BEGUN.match(line):
            self._half[begun[1]] = f"{begun[1]} {begun[2]}({begun[3]}"
            if begun[2] == "close":
                self._call(begun[1], "close", begun[3], 0)
            return
        if resumed := _RESUMED.match(line):
            line = self._half.pop(resumed[1], "") + resumed[2]
            if " close(" in line[:20]:
                return
        if (ended := _ENDED.match(line)) and int(ended[4]) >= 0:
            self._call(ended[1], ended[2], ended[3], int(ended[4]))

    def _call(self, thread: str, name: str, words: str, result: int) -> None:
        table = self._open.setdefault(thread, {})
        texts = [bytes.fromhex(text.replace("\\x", "")) for text in _TEXT.findall(words)]
        first = int(found[0]) if (found := re.match(r"\d+", words)) else -1
        mine = table.get(first)
        if name in ("clone", "clone3", "fork", "vfork"):
            self._open[str(result)] = table if "CLONE_FILES" in words else dict(table)
        elif name in ("open", "openat", "creat"):
            self._opened(table, result, words, texts[0])
        elif name == "close":
            table.pop(first, None)
        elif name.startswith("dup") or (name == "fcntl" and "F_DUPFD" in words):
            table.pop(result, None)
            if mine:
                table[result] = mine
        elif name in ("write", "writev") and first == 1 and (data := b"".join(texts)).startswith(MARK):
            self.changes += [Change("mark", data=mark[len(MARK) :]) for mark in data.splitlines()]
        elif name in (
            "rename",
            "renameat",
            "renameat2",
            "unlink",
            "unlinkat",
            "rmdir",
            "mkdir",
            "mkdirat",
            "link",
            "linkat",
        ):
            self._name(name, table, words, texts)
        elif name == "truncate":
            assert not texts[0].decode().startswith(f"{self._root}/"), "truncate by name is not modelled"
        elif mine:
            self._data(name, mine, words, b"".join(texts), result, table)

    def _data(self, name: str, mine: _Open, words: str, data: bytes, result: int, table: dict[int, _Open]) -> None:
        numbers = [int(number) for number in re.findall(r", (\d+)", _TEXT.sub("", words))]
        if name == "lseek":
            mine.at = result
        elif name in ("fsync", "fdatasync"):
            self._do(Change("sync", mine.number))
        elif name == "ftruncate":
            self._do(Change("cut", mine.number, numbers[0]))
        elif name in ("pwrite64", "pwritev"):
            self._do(Change("write", mine.number, numbers[-1], data[:result]))
        elif name in ("write", "writev", "sendfile"):
            if name == "sendfile":  # to, from, where, count
                source, where = table.get(int(words.split(", ")[1])), re.search(r"\[(\d+)\]", words)
                assert source, "sendfile from outside the folder"
                begin = int(where[1]) if where else source.at
                data = bytes(self.disk.files[source.number][begin : begin + result])
                source.at += 0 if where else result
            if mine.append:
                mine.at = len(self.disk.files[mine.number])
            self._do(Change("write", mine.number, mine.at, data[:result]))
            mine.at += result
        else:
            assert name == "fcntl", f"{name} is not modelled"

    def _opened(self, table: dict[int, _Open], result: int, words: str, text: bytes) -> None:
        table.pop(result, None)
        place = self._place(table, words.split(",")[0], text)
        if place is None:
            return
        folder, name, path = place
        number = self.disk.folders[folder].get(name) if name else 0
        if number is None:
            number = self._new()
            self.disk.files[number] = bytearray()
            self._do(Change("names", names=((folder, name, number),)))
        elif "O_TRUNC" in words and self.disk.files[number]:
            self._do(Change("cut", number))
        table[result] = _Open(number, path, append="O_APPEND" in words)

    def _name(self, name: str, table: dict[int, _Open], words: str, texts: list[bytes]) -> None:
        texted = [word.strip() for word in _TEXT.sub("", words).split(",")]
        places = [
            self._place(table, texted[2 * place if name.endswith(("at", "at2")) else 0], text)
            for place, text in enumerate(texts)
        ]
        if places == [None] * len(places):
            return
        assert None not in places, f"{name} into or out of the folder"
        folder, own, path = places[0]
        if name.startswith("mkdir"):
            number = self._new()
            self.disk.folders[number] = {}
            self._do(Change("names", names=((folder, own, number),)))
        elif name.startswith(("unlink", "rmdir")):
            self._do(Change("names", names=((folder, own, None),)))
        else:
            other, new, path = places[1]
            number = self.disk.folders[folder][own]
            gone = () if name.startswith("link") else ((folder, own, None),)
            self._do(Change("names", names=(*gone, (other, new, number))))
            inside = (
                self.disk.tree(number, f"{path}/")
                if number in self.disk.folders
                else [(path, bytes(self.disk.files[number]))]
            )
            self.named += [(path, content) for path, content in inside if content is not None]

    def _place(self, table: dict[int, _Open], base: str, text: bytes) -> tuple[int, str, str] | None:
        """Give the folder, the name in it and the path of what a call names; None if it is outside."""
        above = f"{self._root}/{table[int(base)].path}" if base.isdigit() and int(base) in table else self._root
        path = os.path.normpath(os.path.join(above, text.decode()))
        if path != self._root and not path.startswith(f"{self._root}/"):
            return None
        *parts, name = os.path.relpath(path, self._root).split("/")
        folder = 0
        for part in parts:
            folder = self.disk.folders[folder][part]
        return folder, "" if path == self._root else name, os.path.relpath(path, self._root)

    def _new(self) -> int:
        self._next += 1
        return self._next

    def _do(self, change: Change) -> None:
        change.apply(self.disk)
        self.changes.append(change)
