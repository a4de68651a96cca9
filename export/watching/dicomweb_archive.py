"""A DICOMweb archive as source and target: QIDO-RS finds images, WADO-RS fetches them, STOW-RS stores answers.

Written with `requests` alone: dicomweb-client 0.61 parses what it fetches, which fails for files without preamble.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Sequence
from datetime import date, timedelta
from email.message import Message
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import requests

from export.dicom_out.dicom_answers import AnswerFile
from export.watching.watched_places import LastingError, PassingError
from pneumo_tfds.program.errors import reason_of
from pneumo_tfds.program.files import JSON_SHAPE_ERRORS
from pneumo_tfds.program.limits import MAX_FILE_BYTES

MODALITIES = ("CR", "DX")
PAGE = 500
"""Images asked for at once."""
TIMEOUT = (10, 60)
"""Seconds to connect, and between two packets of an answer."""
GONE, CONFLICT = 404, 409
LASTING_REFUSALS = frozenset({400, 406, 410, 413, 415, 422})
"""HTTP statuses about what was sent, and not about the server, the way to it, or rights to it."""
DUPLICATE, OUT_OF_RESOURCES = 0x0111, 0xA700
"""Reasons of a failed store: it is there already; the server has no room (PS3.18, table I.2-2)."""

MOST_FOUND = 1_000_000
"""Images that a search may find; an archive that never ends its pages would fill the memory."""

_UIDS = {"0020000D": "StudyInstanceUID", "0020000E": "SeriesInstanceUID", "00080018": "SOPInstanceUID"}
_UID = re.compile(r"(?!.{65})[0-9]+(\.[0-9]+)*")  # it becomes part of an address, in which ".." would lead elsewhere
_FAILED, _REASON = "00081198", "00081197"
_DICOM = 'multipart/related; type="application/dicom"'
_SHAPE_ERRORS = (*JSON_SHAPE_ERRORS, RecursionError)


class _Reply(NamedTuple):
    status: int
    kind: str
    content: bytes


class Archive:
    """A DICOMweb server. `requests` takes its certificate by `REQUESTS_CA_BUNDLE`.

    Args:
        url: root of the three services.
        days: how far back studies are looked at by their date, today included.
        token_file: holds a bearer token, and is read for each request; without it, `requests` takes a password from
            `~/.netrc`.

    Raises:
        PassingError: the file holds no token.
    """

    unlisted = ""
    """Nothing: a search finds all or fails."""

    def __init__(self, url: str, days: int, token_file: Path | None = None) -> None:
        self.whole, self._days = url.rstrip("/"), days
        self._session = requests.Session()
        if token_file is not None:
            self._session.auth = partial(_with_token, token_file)
            _with_token(token_file, requests.Request())  # a file without one is said before anything is done

    def found(self) -> list[str]:
        """Return a key for each radiograph in studies of the last days. Reports and captures are of other modalities.

        An entry with a UID that is none gets a key too, so that `read` refuses it and it becomes a dead letter.
        """
        since = (date.today() - timedelta(days=self._days - 1)).strftime("%Y%m%d")
        return [
            key for modality in MODALITIES for key in self._search({"Modality": modality, "StudyDate": f"{since}-"})
        ]

    def _search(self, filters: dict[str, str]) -> dict[str, None]:
        """Return the key of each image that a search finds, asking on until there is no new one.

        An archive may answer fewer than it was asked for, and one that knows no pages answers all each time.
        """
        found: dict[str, None] = {}
        read = 0
        while True:
            asked, before = filters | {"limit": str(PAGE), "offset": str(read)}, len(found)
            reply = self._request("GET", "instances", params=asked, headers={"Accept": "application/dicom+json"})
            try:
                rows = json.loads(reply.content) if reply.content else []
                found |= dict.fromkeys(json.dumps(_uids_of(row)) for row in rows)
            except _SHAPE_ERRORS as error:
                raise PassingError(f"{self.whole}: answers a search with what is no list of images") from error
            if len(found) > MOST_FOUND:
                raise PassingError(f"{self.whole}: finds more than {MOST_FOUND:,} images; ask for fewer --days")
            if len(found) == before:
                return found
            read += len(rows)

    def name(self, key: str) -> str:
        """Return the SOPInstanceUID, or of which study the image is that has none."""
        study, _, instance = json.loads(key)
        return str(instance or f"an image of the study {study}")

    def read(self, key: str) -> bytes:
        """Fetch an image as the archive has it, in whatever transfer syntax.

        Raises:
            PassingError: it cannot be fetched now.
            LastingError: it is gone, or the archive lists it with what is no UID, which cannot be asked for.
        """
        study, series, instance = json.loads(key)
        for kind, uid in zip(_UIDS.values(), (study, series, instance), strict=True):
            if not _UID.fullmatch(uid):
                raise LastingError(f"{self.whole} lists it with the {kind} {uid!r}, which is none; correct it there")
        path = f"studies/{study}/series/{series}/instances/{instance}"
        reply = self._request("GET", path, headers={"Accept": f"{_DICOM}; transfer-syntax=*"}, accepted=(200, GONE))
        if reply.status == GONE:
            raise LastingError(f"is not in {self.whole} any more")
        if reply.kind.partition(";")[0].strip().lower() == "application/dicom":  # in one part, as some servers do
            return reply.content
        headers = Message()
        headers["Content-Type"] = reply.kind
        boundary = headers.get_boundary()
        parts = reply.content.split(f"--{boundary}".encode()) if boundary else []
        if len(parts) != 3:
            raise PassingError(f"{self.whole}: answers something else than one DICOM file")
        return parts[1].partition(b"\r\n\r\n")[2].removesuffix(b"\r\n")

    def put(self, files: Sequence[AnswerFile]) -> None:
        """Store the files of an answer. That the archive has them already is a good answer."""
        boundary = secrets.token_hex(16)
        part = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        body = b"".join(part + file.content + b"\r\n" for file in files) + f"--{boundary}--\r\n".encode()
        headers = {"Content-Type": f"{_DICOM}; boundary={boundary}", "Accept": "application/dicom+json"}
        reply = self._request("POST", "studies", data=body, headers=headers, accepted=(200, 202, CONFLICT))
        try:
            failed = json.loads(reply.content).get(_FAILED, {}).get("Value", [])
            reasons = {int(row[_REASON]["Value"][0]) for row in failed}
        except _SHAPE_ERRORS:  # in XML, or nothing; then the status alone says it
            reasons = set()
        if reasons - {DUPLICATE} or (reply.status == CONFLICT and not reasons):
            said = ", ".join(f"reason {reason:04X}" for reason in sorted(reasons)) or f"status {CONFLICT}"
            passing = all(reason & 0xFF00 == OUT_OF_RESOURCES for reason in reasons - {DUPLICATE}) and reasons
            raise (PassingError if passing else LastingError)(f"{self.whole}: did not store the answer, {said}")

    def _request(self, method: str, path: str, *, accepted: tuple[int, ...] = (200, 204), **arguments: Any) -> _Reply:
        """Return the server's answer to a request if its status is accepted.

        No redirection is followed: an X-ray goes to the address that was given, and to no other.

        Raises:
            PassingError: the server or the way to it fails, or its answer is larger than an image may be.
            LastingError: the server refuses what was asked for or sent.
        """
        content = bytearray()
        arguments |= {"timeout": TIMEOUT, "allow_redirects": False, "stream": True}
        try:
            with self._session.request(method, f"{self.whole}/{path}", **arguments) as response:
                for piece in response.iter_content(1 << 16):
                    content += piece
                    if len(content) > MAX_FILE_BYTES:
                        raise PassingError(f"{self.whole}: answers more than {MAX_FILE_BYTES >> 20} MiB to {method}")
        except requests.RequestException as error:
            raise PassingError(f"{self.whole}: does not answer ({type(error).__name__})") from error
        status = response.status_code
        if status in accepted:
            return _Reply(status, response.headers.get("Content-Type", ""), bytes(content))
        failure = LastingError if status in LASTING_REFUSALS else PassingError
        raise failure(f"{self.whole}: answers {status} to {method}")


def _uids_of(row: Any) -> list[str]:
    """Return what a search gives as UIDs of an image, empty where it gives nothing; ValueError if none is a UID."""
    uids = []
    for tag in _UIDS:
        try:
            uids.append(f"{row[tag]['Value'][0]:.100}")
        except _SHAPE_ERRORS:
            uids.append("")
    if not any(map(_UID.fullmatch, uids)):
        raise ValueError("an entry without any UID")
    return uids


def _with_token(path: Path, request: Any) -> Any:
    """Give a request the token in a file, which may have been exchanged since the last one; raises PassingError."""
    try:
        token = path.read_text(encoding="latin-1").strip()
    except OSError as error:
        raise PassingError(f"--token-file {path} cannot be read: {reason_of(error)}") from error
    if not re.fullmatch(r"[\x21-\x7e]+", token):
        raise PassingError(f"--token-file {path} holds no bearer token, one word of ASCII characters")
    request.headers["Authorization"] = f"Bearer {token}"
    return request
