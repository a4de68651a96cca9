"""Read X-rays from a zip without unpacking it, and refuse what an untrusted zip may contain."""

from __future__ import annotations

import errno
import threading
import zipfile
from pathlib import Path, PureWindowsPath

from pneumo_tfds.program.errors import InputError, reason_of
from pneumo_tfds.program.limits import MAX_FILE_BYTES, MAX_RATIO, RATIO_FLOOR_BYTES
from pneumo_tfds.program.npz import DAMAGE, METHODS
from pneumo_tfds.sources.inventory import Image
from pneumo_tfds.sources.listing import File
from pneumo_tfds.sources.reading import read_patiently

_ENCRYPTED = 0x1


class ZipReader:
    """Reads members of a zip. Each thread has a handle of its own, so that threads do not wait for one another."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._local = threading.local()

    def __reduce__(self) -> tuple[type[ZipReader], tuple[Path]]:
        return ZipReader, (self.path,)

    def read(self, image: Image) -> bytes:
        """Return the bytes of the member of an image; see `read_name`."""
        return self.read_name(image.name)

    def read_name(self, name: str, first: int | None = None) -> bytes:
        """Return the bytes of a member, checked against its CRC-32; or its `first` bytes, which are not checked.

        Raises:
            InputError: the member is damaged, larger than it declares, or compressed by a method that is not read.
        """
        return read_patiently(lambda: self._read(name, first), name, self.path)

    def _read(self, name: str, first: int | None) -> bytes:
        try:
            if not hasattr(self._local, "archive"):
                self._local.archive = zipfile.ZipFile(self.path)
                self._local.members = _members(self._local.archive)
            info = self._local.members[name]
            if info.compress_type not in METHODS:
                raise InputError(
                    f"{name}: is compressed by method {info.compress_type} inside {self.path}; use deflate, as usual"
                )
            with self._local.archive.open(info) as member:
                data: bytes = member.read(MAX_FILE_BYTES + 1 if first is None else first)
        except InputError:
            raise
        except DAMAGE as error:
            if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
                raise  # of the disk; a damaged zip names places before its beginning, which are invalid arguments
            raise InputError(f"{name}: damaged inside {self.path}; fetch the archive again") from error
        if len(data) > MAX_FILE_BYTES:
            raise InputError(f"{name}: unpacks to more than {MAX_FILE_BYTES >> 20} MiB; remove it from the zip")
        return data


def list_members(path: Path) -> list[File]:
    """List the files of a zip.

    Raises:
        InputError: the file is not a zip, damaged or password-protected, two members have one name and different
            content, or a member is a bomb or points outside.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members, listed = _members(archive), archive.infolist()
    except DAMAGE as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise InputError(f"{path}: cannot be read ({reason_of(error)}); check the disk and permissions") from error
        raise InputError(f"{path}: cannot be read as a zip archive: cut off or damaged; fetch it again") from error
    for member in members.values():
        _check(member, path)
    _refuse_two_of_a_name(listed, path)
    return [File(name, member.file_size, member.CRC) for name, member in members.items()]


def _members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Return the files of a zip by their path with `/`; some programs on Windows write `\\`."""
    members = {member.filename.replace("\\", "/"): member for member in archive.NameToInfo.values()}
    return {name: member for name, member in members.items() if not name.endswith("/")}


def _refuse_two_of_a_name(listed: list[zipfile.ZipInfo], path: Path) -> None:
    first: dict[str, zipfile.ZipInfo] = {}
    for member in listed:
        name = member.filename.replace("\\", "/")
        other = first.setdefault(name, member)
        if (other.CRC, other.file_size) != (member.CRC, member.file_size):
            raise InputError(f"{path}: has two different members {name}; unpack it, keep one, and pass the folder")


def _check(member: zipfile.ZipInfo, path: Path) -> None:
    name = member.filename
    if name.startswith(("/", "\\")) or PureWindowsPath(name).drive or ".." in PureWindowsPath(name).parts:
        raise InputError(
            f"{path}: member {name!r} points outside the archive by a drive, a root or .. in its path; unpack it into "
            "an empty folder with unzip or 7-Zip, which keep such files inside, and pass that folder"
        )
    if member.flag_bits & _ENCRYPTED:
        raise InputError(f"{path}: is password-protected; unpack it and pass the folder")
    if member.file_size > MAX_FILE_BYTES:
        raise InputError(f"{path}: member {name!r} declares {member.file_size:,} bytes; remove it from the zip")
    if member.file_size > RATIO_FLOOR_BYTES and member.file_size > MAX_RATIO * max(1, member.compress_size):
        raise InputError(f"{path}: member {name!r} unpacks to over {MAX_RATIO} times its size; do not trust this zip")
