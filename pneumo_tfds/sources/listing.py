"""The files of a source: what a folder or an archive lists, and which of them are images, by content."""

from __future__ import annotations

import functools
import heapq
import os
import posixpath
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pneumo_tfds.decode.headers import HEAD_BYTES, format_of
from pneumo_tfds.decode.other_files import ARCHIVES, other_kind
from pneumo_tfds.sources import words
from pneumo_tfds.sources.inventory import Reader
from pneumo_tfds.sources.reading import ReadError, read_patiently
from pneumo_tfds.sources.survey import SurveyNotes

DICOM_SUFFIXES = (".dcm", ".dicom", ".dic")
IMAGE_SUFFIXES = frozenset({".jpeg", ".jpg", ".jpe", ".jfif", ".png", *DICOM_SUFFIXES})
"""In lower case. Files with them are taken for images unread; of all others the first bytes decide."""

NO_FILE = -2
"""Size of what is listed and cannot be read: a broken link, a device."""

WORKBOOK_SUFFIXES = (".xlsx", ".xlsm", ".xls", ".ods")
SPREADSHEET = "a spreadsheet, which is not read; save it as CSV"

READ_ALREADY = -3
"""Size of what leads to a folder that is read by another way: a symbolic link."""

_DOCUMENTS = (".docx", ".pptx", ".odt", ".odp", ".npz", ".keras")
"""Files that are no archives for whoever has them, though they are zips."""

_SYSTEM_FILES = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})
_SYSTEM_FOLDERS = frozenset({"__MACOSX", "$RECYCLE.BIN", "#recycle", "@eaDir", "lost+found"})
UNFINISHED = (
    ".bak", ".crdownload", ".download", ".filepart", ".old", ".part", ".partial", ".swp", ".temp", ".tmp", "~",
)  # fmt: skip
"""Ends of the names of downloads that were broken off, and of copies that editors leave."""


def without_suffix(name: str) -> str:
    """Return the name of an image without `.png` or the like; the end of `1.2.840.7` is none."""
    root, suffix = posixpath.splitext(name)
    return root if suffix.lower() in IMAGE_SUFFIXES else name


@dataclass(frozen=True)
class File:
    """A file as a folder or an archive lists it."""

    name: str
    """Path within the source, with `/`."""
    size: int
    """Bytes."""
    checksum: int = -1
    """CRC-32, -1 if unknown."""
    modified: float = 0.0
    """Seconds since 1970; 0 if unknown."""
    leads_to: str = ""
    """Of a link whose size is `READ_ALREADY`: the folder, by the path on which it is read; empty for the source."""

    @property
    def folders(self) -> tuple[str, ...]:
        """The folders that the file lies in, outermost first."""
        return tuple(self.name.split("/")[:-1])

    @property
    def stem(self) -> str:
        """The name without folders, the suffix of an image and the mark of a copy."""
        return words.without_copy(without_suffix(self.name.rpartition("/")[2]))


@dataclass(frozen=True)
class Labelled:
    """An image file, and what folders or a table say of it."""

    file: File
    label: str
    """`NORMAL` or `PNEUMONIA`."""
    split: str
    """`train`, `val`, `test`, or empty."""
    patient: str
    """As the folder or table names the patient; empty if it tells none."""
    subtype: str
    """`bacteria` or `virus`; empty if neither folder nor table says so."""
    where: str
    """The label folder, or the table; `{patient}` stands for folders of patients."""


Find = Callable[[str], File | None]
"""Returns the file of a path that a table gives, or None if there is none."""

Same = Callable[[File, File], bool]
"""Returns whether two files of one name and size are equal."""


class NamedReader(Reader, Protocol):
    """Reads the files of a folder or an archive also by name."""

    def read_name(self, name: str, first: int | None = None) -> bytes:
        """Return the bytes of a file, or its `first` bytes; raise InputError with a message that starts with `name`."""


def walk(root: Path, unread: dict[str, ReadError] | None = None) -> Iterator[File]:
    """Yield the files below `root`. Symbolic links are followed, but no folder is entered twice.

    Folders are entered by their own place first and through links, in order of names, only where they have none below
    `root`; so what a link is called never names what lies elsewhere. A further way into a folder is yielded as a file
    of the size `READ_ALREADY`.

    A folder below `root` that cannot be listed is noted in `unread` by its name there, if that is given.

    Raises:
        ReadError: a folder cannot be listed, and is not noted.
    """
    entered: dict[tuple[int, int], str] = {}
    folders, links = [("", os.fspath(root))], list[tuple[str, str]]()
    while folders or links:
        prefix, folder = folders.pop() if folders else heapq.heappop(links)
        try:
            status, inner, linked, files = read_patiently(functools.partial(_list, folder, prefix), folder, folder)
        except ReadError as error:
            if unread is None or not prefix:
                raise
            unread[prefix.rstrip("/")] = error
            continue
        first = entered.setdefault((status.st_dev, status.st_ino), prefix)
        if first != prefix:
            yield File(prefix.rstrip("/"), READ_ALREADY, leads_to=first.rstrip("/"))
            continue
        folders += inner
        for link in linked:
            heapq.heappush(links, link)
        yield from files


def _list(folder: str, prefix: str) -> tuple[os.stat_result, list[tuple[str, str]], list[tuple[str, str]], list[File]]:
    """Return the state of a folder, prefix and path of the folders and of the links to folders in it, and its files."""
    folders, links, files = list[tuple[str, str]](), list[tuple[str, str]](), list[File]()
    with os.scandir(folder) as entries:
        for entry in entries:
            name = f"{prefix}{entry.name}"
            if entry.is_dir():
                (links if entry.is_symlink() else folders).append((f"{name}/", entry.path))
            elif entry.is_file():
                status = entry.stat()
                files.append(File(name, status.st_size, modified=status.st_mtime))
            else:
                files.append(File(name, NO_FILE))
    return os.stat(folder), folders, links, files


def images_among(files: Iterable[File], reader: NamedReader, notes: SurveyNotes) -> list[File]:
    """Return the image files in order of their names; note all others as left out."""
    images = []
    for file in sorted(files, key=lambda file: file.name):
        if reason := reason_to_leave_out(file, reader):
            notes.leave_out(reason, file.name if is_printable(file.name) else repr(file.name))
        else:
            images.append(file)
    archives = [name for why in ARCHIVES.values() for name in notes.left_out.get(why, ())]
    if archives:
        notes.warn(f"{archives[0]}: archives inside a source are not opened ({len(archives)} such); unpack them first")
    return images


def reason_to_leave_out(file: File, reader: NamedReader) -> str:
    """Return why a file is no image; empty if it is one."""
    parts = file.name.split("/")
    base = parts[-1]
    if base.startswith("._") or base in _SYSTEM_FILES or not _SYSTEM_FOLDERS.isdisjoint(parts):
        return "left by an operating system"
    if is_hidden(file):
        return "hidden"
    if not is_printable(file.name):
        return "control characters or no Unicode in its name"
    if base.lower().endswith(UNFINISHED):
        return "a broken download or a backup copy, by its name"
    if base.upper() == "DICOMDIR":
        return "a list of DICOM files"
    if file.size == NO_FILE:
        return "a broken link, or no ordinary file"
    if file.size == READ_ALREADY:
        return "a link to a folder that is read already"
    suffix = posixpath.splitext(base)[1].lower()
    if suffix in IMAGE_SUFFIXES:
        return ""
    if suffix in WORKBOOK_SUFFIXES:
        return SPREADSHEET
    head = reader.read_name(file.name, HEAD_BYTES) if file.size else b""
    if format_of(head):
        return ""
    return "not an image" if suffix in _DOCUMENTS else other_kind(head) or "not an image"


def is_hidden(file: File) -> bool:
    """Return whether a file, or a folder that it lies in, has a name that starts with a dot."""
    return any(part.startswith(".") and part not in (".", "..") for part in file.name.split("/"))


def is_printable(name: str) -> bool:
    """Return whether a name can be written to records and tables: Unicode without line breaks or control characters."""
    return name.isprintable() or not {"Cc", "Cs", "Zl", "Zp"} & set(map(unicodedata.category, name))


def nested_copies(files: Iterable[tuple[File, Hashable]], same: Same, notes: SurveyNotes) -> set[File]:
    """Return the files that lie a second time in further folders, `a/1.png` in `a/a/1.png`, and note them as left out.

    Kaggle's zip has everything twice so. Each file comes with what else must be equal in its copies.
    """
    alike: dict[Hashable, list[File]] = defaultdict(list)
    for file, kind in files:
        alike[kind, file.name.rpartition("/")[2], file.size, file.checksum].append(file)
    copies: set[File] = set()
    for group in alike.values():
        first, *others = sorted(group, key=lambda file: (len(file.folders), file.name))
        copies.update(other for other in others if _is_inside(other.folders, first.folders) and same(first, other))
    if copies:
        notes.leave_out("second nested copy", sorted(file.name for file in copies))
    return copies


def _is_inside(inner: Sequence[str], outer: Sequence[str]) -> bool:
    """Return whether the folders `inner` are `outer` with others inserted at one place."""
    more = len(inner) - len(outer)
    return more > 0 and any(
        inner[:at] == outer[:at] and inner[at + more :] == outer[at:] for at in range(len(outer) + 1)
    )
