"""Where the archive that the authors published is found: in TFDS's manual folder, or on the network."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from pneumo_tfds.program.errors import InputError, reason_of
from pneumo_tfds.program.wording import quoted
from pneumo_tfds.sources.csv_text import read_rows
from pneumo_tfds.sources.listing import File, NamedReader, reason_to_leave_out, walk
from pneumo_tfds.sources.opening import PACKED
from pneumo_tfds.sources.reading import FolderReader
from pneumo_tfds.sources.table_columns import lists_images
from pneumo_tfds.sources.tables_beside import HEADING_BYTES, TABLE_SUFFIXES
from pneumo_tfds.sources.words import words_of
from pneumo_tfds.sources.zip_archive import ZipReader, list_members

MANUAL_NAMES = ("chest_xray", "chest_xray.zip", "archive.zip", "ChestXRay2017.zip")
"""Names under which the X-rays are published, in the order in which they are looked for."""

_WORDS = frozenset({"archive", "chest", "cxr", "pneumonia", "radiographs", "xray", "xrays"})
"""Words by which an archive that is not opened looks like X-rays: TFDS's other data sets have theirs
in the same folder."""

LOOKED_AT = 10_000
"""Files of a folder that are looked at to find an image."""

ARCHIVE_URL = (
    "https://data.mendeley.com/public-files/datasets/rscbjbr9sj/files/"
    "f12eaf6d-6023-432f-acc9-80c9d7393433/file_downloaded"
)
"""ChestXRay2017.zip, 1.2 GB: Mendeley Data, doi 10.17632/rscbjbr9sj, version 2, CC BY 4.0."""


def in_manual_folder(manual_dir: Path) -> Path | None:
    """Return the published X-rays in TFDS's manual folder, which is for what `tfds.load` must not download.

    Returns:
        The path of the first of `MANUAL_NAMES` that is there; None if nothing in the folder looks like X-rays.

    Raises:
        InputError: something else there looks like X-rays. The message names it: it may be what the user means.
    """
    for name in MANUAL_NAMES:
        if (manual_dir / name).exists():
            return manual_dir / name
    try:
        entries = sorted(manual_dir.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise InputError(f"{manual_dir}: cannot be listed ({reason_of(error)}); check its permissions") from error
    likely = [entry for entry in entries if _looks_like_xrays(entry)]
    if likely:
        likely.sort(key=lambda entry: entry.suffix.lower() not in TABLE_SUFFIXES)  # a table names the files beside it
        names = ", ".join(entry.name for entry in likely[:8])
        unpack = f"unpack {likely[0]} and pass its folder as --source"
        use = unpack if _is_packed(likely[0]) else f"pass --source {quoted(likely[0])}"
        raise InputError(
            f"{manual_dir} holds none of {', '.join(MANUAL_NAMES)}, but {names}; to use it, {use}; else "
            "move it out of this folder"
        )
    return None


def _looks_like_xrays(entry: Path) -> bool:
    """Return whether a zip, a folder, a table or a file could be X-rays. A zip that cannot be read could be."""
    suffix = entry.suffix.lower()
    if _is_packed(entry):
        return not _WORDS.isdisjoint(words_of(entry.name))
    with suppress(InputError, OSError):
        if entry.is_dir():
            return _has_image(walk(entry), FolderReader(entry))
        if suffix == ".zip":
            return _has_image(list_members(entry), ZipReader(entry))
        reader = FolderReader(entry.parent)
        if suffix in TABLE_SUFFIXES:
            first = reader.read_name(entry.name, HEADING_BYTES).decode("utf-8-sig", "replace").partition("\n")[0]
            return lists_images(read_rows(first, entry.name)[0])
        return _has_image([File(entry.name, entry.stat().st_size)], reader)
    return suffix == ".zip"


def _is_packed(entry: Path) -> bool:
    return entry.suffix.lower() in PACKED and not entry.is_dir()


def _has_image(files: Iterable[File], reader: NamedReader) -> bool:
    return any(not reason_to_leave_out(file, reader) for file in islice(files, LOOKED_AT))


def fetch(dl_manager: Any, recorded: Collection[str]) -> Path:
    """Download the archive, or find it among earlier downloads, and return the path of the zip.

    TFDS checks its size and SHA-256 against `checksums.tsv` beside the builder. An archive without a record there is
    fetched only by a build that makes one (`--register-checksums`). The built dataset's `manifest.sha256` has a digest
    of every image in it. `recorded` are the addresses in `checksums.tsv`.

    Raises:
        InputError: there is no network, the server refuses, or the archive is not recorded or has another checksum.
    """
    from tensorflow_datasets.core.download.download_manager import NonMatchingChecksumError
    from tensorflow_datasets.core.download.util import DownloadError

    if ARCHIVE_URL not in recorded and not dl_manager.register_checksums:
        raise InputError(
            f"{ARCHIVE_URL}: checksums.tsv has no record to check it by; if you trust it, pass --register-checksums"
        )
    try:
        # A HEAD request comes first, because TFDS retries for minutes where there is no network. With a server that
        # answers, TFDS finds out whether the file can be fetched.
        with suppress(HTTPError), urlopen(Request(ARCHIVE_URL, method="HEAD"), timeout=20):
            pass
        return Path(dl_manager.download(ARCHIVE_URL))
    except NonMatchingChecksumError as error:
        raise InputError(
            f"{ARCHIVE_URL}: is not the archive that was recorded; try again, or fetch it by hand and pass --source"
        ) from error
    except (DownloadError, OSError) as error:
        reason = f"{reason_of(error):.200}"
        raise InputError(f"{ARCHIVE_URL}: cannot be fetched ({reason}); fetch it by hand and pass --source") from error
