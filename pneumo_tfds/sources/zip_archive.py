"""Read X-rays from a zip without unpacking it, and refuse what an untrusted zip may contain."""

from __future__ import annotations

import threading
import zipfile
from pathlib import Path, PureWindowsPath

from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.limits import MAX_FILE_BYTES, MAX_RATIO, RATIO_FLOOR_BYTES
from pneumo_tfds.program.npz import DAMAGE, METHODS
from pneumo_tfds.sources.inventory import Image
from pneumo_tfds.sources.layout import File

_ENCRYPTED = 0x1


class ZipReader:
    """Reads members of a zip. Each thread has a handle of its own, so that threads do not wait for one another."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._local = threading.local()

    def __reduce__(self) -> tuple[type[ZipReader], tuple[Path]]:
        return ZipReader, (self.path,)

    def read(self, image: Image) -> bytes:
        """Return the bytes of the member of an image; see `read_member`."""
        return self.read_member(image.name)

    def read_member(self, name: str) -> bytes:
        """Return the bytes of a member, checked against its CRC-32.

        Raises:
            InputError: the member is damaged, larger than it declares, or compressed by a method that is not read.
        """
        try:
            if not hasattr(self._local, "archive"):
                self._local.archive = zipfile.ZipFile(self.path)
            archive = self._local.archive
            method = archive.getinfo(name).compress_type
            if method not in METHODS:
                raise InputError(f"{name}: is compressed by method {method} inside {self.path}; use deflate, as usual")
            with archive.open(name) as member:
                data: bytes = member.read(MAX_FILE_BYTES + 1)
        except InputError:
            raise
        except DAMAGE as error:
            raise InputError(f"{name}: damaged inside {self.path} ({error}); fetch the archive again") from error
        if len(data) > MAX_FILE_BYTES:
            raise InputError(f"{name}: unpacks to more than {MAX_FILE_BYTES >> 20} MiB; remove it from the zip")
        return data


def list_members(path: Path) -> list[File]:
    """List the files of a zip; of two members with the same name the later one, which is the one that is read.

    Raises:
        InputError: the file is not a zip, damaged or password-protected, or a member is a bomb or points outside.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.NameToInfo.values() if not member.is_dir()]
    except DAMAGE as error:
        raise InputError(f"{path}: cannot be read as a zip archive ({error}); fetch it again") from error
    for member in members:
        _check(member, path)
    return [File(member.filename, member.file_size, member.CRC) for member in members]


def _check(member: zipfile.ZipInfo, path: Path) -> None:
    name = member.filename
    if name.startswith(("/", "\\")) or PureWindowsPath(name).drive or ".." in PureWindowsPath(name).parts:
        raise InputError(f"{path}: member {name!r} points outside the archive; do not trust this zip, fetch it again")
    if member.flag_bits & _ENCRYPTED:
        raise InputError(f"{path}: is password-protected; unpack it and pass the folder")
    if member.file_size > MAX_FILE_BYTES:
        raise InputError(f"{path}: member {name!r} declares {member.file_size:,} bytes; remove it from the zip")
    if member.file_size > RATIO_FLOOR_BYTES and member.file_size > MAX_RATIO * max(1, member.compress_size):
        raise InputError(f"{path}: member {name!r} unpacks to over {MAX_RATIO} times its size; do not trust this zip")
