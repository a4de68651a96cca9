"""What a disk may hold after the power failed at any moment of a command's work.

`record` runs a command under strace, which sees the calls of Python and of C++ alike (TensorFlow, HDF5, SQLite) and
names the file behind each descriptor. It keeps every change below a folder. `Recording.states` then gives what the
folder may look like if the power fails after each change. What `fsync` has not promised by then may be there or not,
each for itself, in any order:

* a write is there, lost, torn (some sectors of 512 or 4,096 bytes of it are there), or zeros of its length;
* a new, renamed or removed name is there once the folder that it is in was synchronized. A rename is one step. Whether
  the file itself was synchronized does not matter to its name, nor the name to the file.

That is less than ext4, XFS and btrfs promise, which keep the order of names. If few changes hang, all combinations are
given; if many, all, none, the names alone, the data alone, all but one, and a seeded sample.

Not seen: writes through memory maps (SQLite's `-shm`, which it makes anew) or to a file without a name; `read` and
`dup`, so that a program which reads, or duplicates a descriptor, and then writes without seeking would be misplaced.
`record` compares its model with the folder at the end, byte for byte. Permissions, times and links are not modelled.
"""

from __future__ import annotations

import copy
import itertools
import os
import random
import re
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

CALLS = (
    "open,openat,creat,write,pwrite64,writev,pwritev,lseek,truncate,ftruncate,fallocate,fsync,fdatasync,rename,"
    "renameat,renameat2,unlink,unlinkat,rmdir,mkdir,mkdirat,link,linkat,sendfile,copy_file_range"
)
FEW = 5  # hanging changes of which all combinations are tried
ROOT = 0  # the number of the folder that is watched
Tree = list[tuple[str, bytes | None]]
"""Paths with their content, None for a folder; a folder comes before what is in it."""


@dataclass
class Disk:
    """Files and folders by number: files above 0, folders below, and `ROOT`."""

    files: dict[int, bytearray] = field(default_factory=lambda: defaultdict(bytearray))
    folders: dict[int, dict[str, int]] = field(default_factory=lambda: defaultdict(dict))

    def tree(self, number: int = ROOT, at: str = "") -> Iterator[tuple[str, bytes | None]]:
        """Give paths with content, None for a folder."""
        for name, inside in sorted(self.folders[number].items()):
            yield f"{at}{name}", bytes(self.files[inside]) if inside > 0 else None
            if inside < 0:
                yield from self.tree(inside, f"{at}{name}/")

    def find(self, path: str) -> tuple[int, str]:
        """Give the folder of a path and the name in it."""
        *above, name = path.split("/")
        folder = ROOT
        for part in above:
            folder = self.folders[folder][part]
        return folder, name


@dataclass(frozen=True)
class Change:
    """One step of the work."""

    kind: str  # write, cut (to `offset` bytes), names, sync or mark
    number: int = 0  # of the file or folder; of the last folder for names
    offset: int = 0
    data: bytes = b""
    names: tuple[tuple[int, str, int | None], ...] = ()  # folder, name and what it names from now on

    def apply(self, disk: Disk) -> None:
        """Make the change."""
        if self.kind in ("write", "cut"):
            content = disk.files[self.number]
            content.extend(bytes(max(0, self.offset - len(content))))
            if self.kind == "cut":
                del content[self.offset :]
            else:
                content[self.offset : self.offset + len(self.data)] = self.data
        for folder, name, inside in self.names:
            disk.folders[folder].pop(name, None)
            if inside is not None:
                disk.folders[folder][name] = inside

    def torn(self, chance: random.Random) -> list[Change]:
        """Give what may be there of it: all, nothing, some of its sectors, zeros."""
        fate = chance.choice(("there", "lost", "torn", "zeros") if self.kind == "write" else ("there", "lost"))
        if fate != "torn":
            return {"there": [self], "lost": [], "zeros": [replace(self, data=bytes(len(self.data)))]}[fate]
        size = chance.choice((512, 4096))
        edges = [0, *range(-self.offset % size or size, len(self.data), size), len(self.data)]
        there = [edge for edge in itertools.pairwise(edges) if chance.random() < 0.5]
        return [replace(self, offset=self.offset + begin, data=self.data[begin:end]) for begin, end in there]


@dataclass(frozen=True)
class State:
    """A folder as it may be found."""

    what: str
    tree: Tree
    marks: set[str]  # what the command had printed by then, in lines that begin with "mark "

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


@dataclass
class Recording:
    """What a command did to a folder."""

    begun: Disk
    changes: list[Change]
    published: dict[str, set[bytes]]
    """By path, each content that a file had when it got this name by a rename, and at the beginning."""

    def states(self, seed: int = 0, samples: int = 8, most: int | None = None) -> Iterator[State]:
        """Give the states of the folder after a power failure, each once; `most`: at so many moments, by the seed."""
        moments = range(1, len(self.changes) + 1)
        if most and len(moments) > most:
            moments = sorted(random.Random(seed).sample(moments, most))
        seen: set[int] = set()
        for moment in moments:
            marks = {change.data.decode() for change in self.changes[:moment] if change.kind == "mark"}
            for what, fate in self._fates(moment, random.Random(f"{seed} {moment}"), samples):
                disk = copy.deepcopy(self.begun)
                for place, change in enumerate(self.changes[:moment]):
                    for part in fate.get(place, [change]):
                        part.apply(disk)
                tree = list(disk.tree())
                if (known := hash((*tree, *sorted(marks)))) not in seen:
                    seen.add(known)
                    yield State(f"after change {moment} of {len(self.changes)}, {what}", tree, marks)

    def _fates(self, moment: int, chance: random.Random, samples: int) -> Iterator[tuple[str, dict[int, list[Change]]]]:
        """Give what becomes of the hanging changes, those that nothing has synchronized by then."""
        hanging: list[int] = []
        for place, change in enumerate(self.changes[:moment]):
            if change.kind == "sync":
                hanging = [other for other in hanging if self.changes[other].number != change.number]
            elif change.kind != "mark":
                hanging.append(place)
        every, names = set(hanging), {place for place in hanging if self.changes[place].kind == "names"}
        if len(hanging) <= FEW:
            lost = [set(some) for count in range(len(hanging) + 1) for some in itertools.combinations(hanging, count)]
        else:
            single = chance.sample(hanging, min(samples, len(hanging)))
            lost = [set(), every, every - names, names]
            lost += [some for place in single for some in ({place}, every - {place})]
        for some in lost:
            yield f"without {sorted(some)}", {place: [] for place in some}
        for number in range(samples if hanging else 0):
            yield f"torn, sample {number}", {place: self.changes[place].torn(chance) for place in hanging}


def record(words: Sequence[object], folder: Path, **variables: str) -> Recording:
    """Run a command to its end, which must be a good one; give its changes below `folder`, its working folder."""
    folder = folder.resolve()
    (folder / ".tmp").mkdir(exist_ok=True)
    reader, trace = _Reader(folder), folder.with_name(f"{folder.name}.trace")
    strace = ["strace", "-f", "--seccomp-bpf", "-qq", "-y", "-xx", "-s", "99999999"]
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "TMPDIR": str(folder / ".tmp")} | variables
    line = [*strace, "-e", f"trace={CALLS}", "-o", str(trace), *map(str, words)]
    subprocess.run(line, cwd=folder, env=environment, check=True)
    with trace.open(encoding="ascii") as lines:
        for line in lines:
            reader.read(line)
    trace.unlink()
    wrong = {path for path, _ in set(reader.disk.tree()) ^ set(_found(folder)) if not path.endswith("-shm")}
    assert not wrong, f"the model of the disk is wrong in {sorted(wrong)}"
    return reader.recording


def _found(folder: Path) -> Tree:
    paths = sorted(folder.rglob("*"), key=lambda path: path.relative_to(folder).parts)
    return [(str(path.relative_to(folder)), None if path.is_dir() else path.read_bytes()) for path in paths]


_TEXT = r'"((?:\\x[0-9a-f]{2})*)"'
_OPEN = r"<((?:\\x[0-9a-f]{2})*)>(?!\(deleted\))"  # what a descriptor is


def _texts(pattern: str, words: str) -> list[bytes]:
    return [bytes.fromhex(text.replace("\\x", "")) for text in re.findall(pattern, words)]


class _Reader:
    """Follows the lines of strace: what each call does to the folder."""

    def __init__(self, folder: Path) -> None:
        self._root, self._half, self._new = str(folder), dict[str, str](), itertools.count(1)
        self._at: dict[tuple[str, int], int] = {}  # where the next write of a descriptor goes
        self.disk, published = Disk(), defaultdict[str, set[bytes]](set)
        for path, content in _found(folder):
            above, name = self.disk.find(path)
            number = self.disk.folders[above][name] = next(self._new) * (-1 if content is None else 1)
            if content is not None:
                self.disk.files[number] = bytearray(content)
                published[path].add(content)
        self.recording = Recording(copy.deepcopy(self.disk), [], published)

    def read(self, line: str) -> None:
        """Follow one line; a call that another thread interrupts counts when it ends. What failed changed nothing."""
        thread, call = line.strip().split(maxsplit=1)
        if call.startswith("<... "):
            call = self._half.pop(thread) + call.partition(" resumed>")[2]
        if call.endswith("<unfinished ...>"):
            self._half[thread] = call.removesuffix("<unfinished ...>")
        elif ended := re.fullmatch(r"(\w+)\((.*)\) += (\d+)(.*)", call):
            self._call(ended[1], ended[2], int(ended[3]), ended[4])

    def _call(self, name: str, words: str, result: int, opened: str) -> None:
        texts = _texts(_TEXT, words)
        if name in ("open", "openat", "creat"):
            if path := self._inside(opened):
                self._opened(str(result), path, words)
        elif name.startswith(("rename", "unlink", "rmdir", "mkdir")):
            bases = _texts(f'{_OPEN}, "', words) or [self._root.encode()] * len(texts)
            paths = [self._below(os.path.join(*pair)) for pair in zip(bases, texts, strict=True)]
            if any(paths):
                self._named(name, paths)
        elif name in ("truncate", "link", "linkat"):
            assert not self._below(texts[0]), f"{name} is not modelled"
        elif words.startswith("1<") and (marks := b"".join(texts)).startswith(b"mark "):
            self.recording.changes += [Change("mark", data=mark[5:]) for mark in marks.splitlines()]
        elif path := self._inside(words):
            self._data(name, words, self._number(path), b"".join(texts), result)

    def _data(self, name: str, words: str, number: int, data: bytes, result: int) -> None:
        descriptor, last = (words.split("<")[0], number), int((re.findall(r", (\d+)$", words) or [0])[0])
        if name == "lseek":
            self._at[descriptor] = result
        elif name in ("fsync", "fdatasync"):
            self._do(Change("sync", number))
        elif name == "ftruncate":
            self._do(Change("cut", number, last))
        elif name in ("pwrite64", "pwritev"):
            self._do(Change("write", number, last, data[:result]))
        else:
            assert name in ("write", "writev", "sendfile"), f"{name} is not modelled"
            if name == "sendfile":  # to, from, [where] => [then], count
                source, begin = self._inside(words.split(", ")[1]), int(words.split("[")[1].split("]")[0])
                assert source, "sendfile from outside the folder"
                data = bytes(self.disk.files[self._number(source)][begin:])
            at = self._at.get(descriptor, 0)
            self._do(Change("write", number, at, data[:result]))
            self._at[descriptor] = at + result

    def _opened(self, descriptor: str, path: str, words: str) -> None:
        folder, name = self.disk.find(path)
        if path != "." and name not in self.disk.folders[folder]:
            self._do(Change("names", folder, names=((folder, name, next(self._new)),)))
        number = self._number(path)
        if "O_TRUNC" in words and self.disk.files[number]:
            self._do(Change("cut", number))
        self._at[descriptor, number] = len(self.disk.files[number]) if "O_APPEND" in words else 0

    def _named(self, name: str, paths: list[str | None]) -> None:
        within = [path for path in paths if path]
        assert len(within) == len(paths), f"{name} into or out of the folder"
        (folder, own), *to = map(self.disk.find, within)
        names: list[tuple[int, str, int | None]] = [(folder, own, -next(self._new) if "mkdir" in name else None)]
        if to:
            names = [*names, (*to[0], self.disk.folders[folder][own])]
        self._do(Change("names", names[-1][0], names=tuple(names)))
        for path, content in self.disk.tree() if to else ():
            if content is not None and f"{path}/".startswith(f"{within[1]}/"):
                self.recording.published[path].add(content)

    def _inside(self, words: str) -> str | None:
        """Give the path below the folder of the descriptor that begins some words; None if it is outside."""
        found = _texts(rf"^\d*{_OPEN}", words)
        return self._below(found[0]) if found else None

    def _below(self, path: bytes) -> str | None:
        whole = os.path.normpath(os.fsdecode(path))
        return os.path.relpath(whole, self._root) if f"{whole}/".startswith(f"{self._root}/") else None

    def _number(self, path: str) -> int:
        folder, name = self.disk.find(path)
        return ROOT if path == "." else self.disk.folders[folder][name]

    def _do(self, change: Change) -> None:
        change.apply(self.disk)
        self.recording.changes.append(change)
