"""The archive as its authors published it, fetched by TFDS's download manager."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Collection
from pathlib import Path
from typing import Any

from pneumo_tfds.program.errors import InputError

ARCHIVE_URL = (
    "https://data.mendeley.com/public-files/datasets/rscbjbr9sj/files/"
    "f12eaf6d-6023-432f-acc9-80c9d7393433/file_downloaded"
)
"""ChestXRay2017.zip, 1.2 GB: Mendeley Data, doi 10.17632/rscbjbr9sj, version 2, CC BY 4.0."""


def fetch(dl_manager: Any, recorded: Collection[str]) -> Path:
    """Download the archive, or find it among earlier downloads, and return the path of the zip.

    TFDS checks its size and SHA-256 against `checksums.tsv` beside the builder. An archive that is not recorded there
    is not taken on trust: it is fetched only by a build that records it (`--register-checksums`). The built dataset's
    `manifest.sha256` has a digest of every image in it.

    Args:
        dl_manager: of TFDS.
        recorded: addresses in `checksums.tsv`.

    Raises:
        InputError: no network, the server refuses, or the archive is not recorded, or not the one that was.
    """
    from tensorflow_datasets.core.download.download_manager import NonMatchingChecksumError
    from tensorflow_datasets.core.download.util import DownloadError

    if ARCHIVE_URL not in recorded and not dl_manager.register_checksums:
        raise InputError(
            f"{ARCHIVE_URL}: checksums.tsv has no record to check it by; if you trust it, pass --register-checksums"
        )
    try:
        _knock(ARCHIVE_URL)
        return Path(dl_manager.download(ARCHIVE_URL))
    except NonMatchingChecksumError as error:
        raise InputError(
            f"{ARCHIVE_URL}: is not the archive that was recorded; try again, or fetch it by hand and pass --source"
        ) from error
    except (DownloadError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{ARCHIVE_URL}: cannot be fetched ({reason}); fetch it by hand and pass --source") from error


def _knock(url: str) -> None:
    """Fail at once where there is no network: TFDS would try again and again for minutes."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=20):
            pass
    except urllib.error.HTTPError:
        pass  # somebody is there; whether it can be fetched is TFDS's to find out
