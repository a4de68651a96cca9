"""Find the files of a source by the paths that tables and lists give."""

from __future__ import annotations

import fnmatch
import functools
import os
import posixpath
import stat
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from pneumo_tfds.program.errors import InputError
from pneumo_tfds.sources.listing import IMAGE_SUFFIXES, File, Find
from pneumo_tfds.sources.words import composed, decomposed


class FileIndex:
    """Finds files of a source by the paths that a table gives."""

    def __init__(self, files: Iterable[File]) -> None:
        self._by_name = {composed(file.name): file for file in files}
        self._by_base_name: dict[str, list[File]] = defaultdict(list)
        for name, file in self._by_name.items():
            self._by_base_name[name.rpartition("/")[2]].append(file)

    def __len__(self) -> int:
        return len(self._by_name)

    def named(self, pattern: str) -> list[File]:
        """Return the files with a base name that matches, in which `*` stands for any text, the outermost first."""
        names = fnmatch.filter(self._by_base_name, composed(pattern))
        return sorted((file for name in names for file in self._by_base_name[name]), key=_depth)

    def below(self, folder: str) -> Find:
        """Return a function that finds a file by a path relative to `folder`, or to a folder above it in the path.

        Tables of downloads often begin their paths with a folder that is not there, such as `CheXpert-v1.0/train/...`.
        """

        def find(path: str) -> File | None:
            parts = [part for part in composed(path).replace("\\", "/").split("/") if part not in ("", ".")]
            tails = ("/".join(filter(None, (composed(folder), *parts[first:]))) for first in range(len(parts)))
            return next((self._by_name[tail] for tail in tails if tail in self._by_name), None)

        return find

    def anywhere(self, path: str) -> File | None:
        """Return the file of a base name in any folder.

        Raises:
            InputError: several files have it.
        """
        found = self._by_base_name.get(composed(path).replace("\\", "/").rpartition("/")[2], [])
        if len(found) > 1:
            raise InputError(
                f"{found[0].name} and {found[1].name} have one name, by which the table means one; keep one"
            )
        return found[0] if found else None

    def ending(self, path: str) -> list[File]:
        """Return the files whose path ends like `path`, in any folder."""
        path = composed(path).replace("\\", "/").removeprefix("./")
        same = self._by_base_name.get(path.rpartition("/")[2], [])
        return [file for file in same if f"/{composed(file.name)}".endswith(f"/{path}")]

    def of_stem(self, path: str) -> list[File]:
        """Return the files with the base name of `path` but for suffix and letter case, in any folder."""
        return self._by_stem.get(_stem(composed(path)), [])

    def alike(self, path: str) -> File | None:
        """Return the first file of `of_stem`."""
        return next(iter(self.of_stem(path)), None)

    @functools.cached_property
    def _by_stem(self) -> dict[str, list[File]]:
        found: dict[str, list[File]] = defaultdict(list)
        for name, files in self._by_base_name.items():
            found[_stem(name)] += files
        return found


def _stem(path: str) -> str:
    base = path.replace("\\", "/").rpartition("/")[2]
    stem, suffix = posixpath.splitext(base)
    return (stem if suffix.lower() in IMAGE_SUFFIXES else base).casefold()


def differs_in_case(path: str, like: File) -> bool:
    """Return whether a path leads to no file as it is written, and would if letter case did not count."""
    path = "/" + composed(path).replace("\\", "/").removeprefix("./")
    name = "/" + composed(like.name)
    return name.casefold().endswith(path.casefold()) and not name.endswith(path)


def _depth(file: File) -> tuple[int, str]:
    return file.name.count("/"), file.name


def file_on_disk(folder: Path) -> Find:
    """Return a function that finds a file by its path, absolute or relative to `folder`, with `/` or `\\`.

    A file has one name, that of the path by which it was found first.
    """
    names: dict[tuple[int, int], str] = {}

    def find(name: str) -> File | None:
        for path in (name, slashed := name.replace("\\", "/"), composed(slashed), decomposed(slashed)):
            with suppress(OSError, ValueError):  # a text that is no path
                status = os.stat(os.path.join(folder, path))
                if stat.S_ISREG(status.st_mode):
                    plain = Path(path).as_posix()
                    first = names.setdefault((status.st_dev, status.st_ino), plain)
                    if first != plain and _real(folder, first) == _real(folder, plain):  # no hard link
                        plain = first
                    return File(plain, status.st_size, modified=status.st_mtime)
        return None

    return find


def _real(folder: Path, path: str) -> str:
    return os.path.realpath(os.path.join(folder, path))
