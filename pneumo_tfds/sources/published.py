"""Where the archive that the authors published is found: in TFDS's manual folder, or on the network."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from pneumo_tfds.program.errors import InputError, reason_of

MANUAL_NAMES = ("chest_xray", "chest_xray.zip", "archive.zip", "ChestXRay2017.zip")
"""Names under which the X-rays are published, in the order in which they are looked for."""

ARCHIVE_URL = (
    "https://data.mendeley.com/public-files/datasets/rscbjbr9sj/files/"
    "f12eaf6d-6023-432f-acc9-80c9d7393433/file_downloaded"
)
"""ChestXRay2017.zip, 1.2 GB: Mendeley Data, doi 10.17632/rscbjbr9sj, version 2, CC BY 4.0."""


def in_manual_folder(manual_dir: Path) -> Path | None:
    """Return the X-rays in TFDS's manual folder, which is for what `tfds.load` must not download; None if none."""
    return next((manual_dir / name for name in MANUAL_NAMES if (manual_dir / name).exists()), None)


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
