"""Reading the images of a request: raw bytes, a form (multipart/form-data), or JSON with base64.

Refuses early: by the declared length, then by the number of bytes that arrive, before anything is decoded.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import Any

from fastapi import HTTPException, Request
from starlette.formparsers import MultiPartException, MultiPartParser

from pneumo_tfds.decode.headers import HEAD_BYTES, format_of
from pneumo_tfds.decode.other_files import no_image
from pneumo_tfds.program.errors import plain

CLOSE = {"Connection": "close"}
DRAIN_SECONDS = 1.0  # longest pause of a refused upload that is still read
MOST_IMAGES = 64
"""Images of one request."""
HOW = (
    "send the bytes of the file (curl --data-binary @FILE), a form (curl -F file=@FILE), or JSON "
    '({"image": "<base64>"})'
)
FORM, JSON = "multipart/form-data", "application/json"


@dataclass(frozen=True)
class Upload:
    """An image of a request."""

    name: str
    """Name by which its sender knows it, in a form that can be printed."""
    data: bytes


@dataclass(frozen=True)
class Uploads:
    """The images of a request, at least one."""

    images: list[Upload]
    several: bool
    """Whether the sender expects a list of answers."""


async def read_uploads(request: Request, most_bytes: int, seconds: float) -> Uploads:
    """Read the images of a request, in whichever of the three forms they come.

    Args:
        request: its body has not been read.
        most_bytes: of the body.
        seconds: for the body to arrive.

    Raises:
        HTTPException: 400, 408, 413 or 415, with what to do.
    """
    if request.headers.get("content-encoding", "identity") != "identity":
        raise HTTPException(415, "the body is compressed; send it as it is, without Content-Encoding", CLOSE)
    body = await read_body(request, most_bytes, seconds)
    kind = media_type(request)
    if format_of(body) is None:
        if kind == FORM:
            return await _form(request, body)
        if kind == JSON or body[:HEAD_BYTES].lstrip().startswith(b"{"):
            return await asyncio.to_thread(_json, body)
    return Uploads([Upload("the image", body)], several=False)


def media_type(request: Request) -> str:
    """Return the type that the Content-Type header names, without its parameters."""
    return str(request.headers.get("content-type", "")).partition(";")[0].strip().lower()


def check_kind(data: bytes) -> None:
    """Raise HTTPException with status 415 if bytes are no image file."""
    if format_of(data) is None:
        what = no_image(data[:HEAD_BYTES])
        raise HTTPException(415, f"the body is not a JPEG, PNG or DICOM file{f', {what}' if what else f'; {HOW}'}")


def damage(error: Exception, data: bytes, kind: str) -> HTTPException:
    """Return the refusal of an image that cannot be decoded, and the remedy if curl damaged it."""
    stripped = kind == "application/x-www-form-urlencoded" and not any(byte in data for byte in b"\0\r\n")
    remedy = "; curl -d removes line ends, use curl --data-binary @FILE" if stripped else ""
    return HTTPException(422, f"{error}{remedy}")


async def read_body(request: Request, most_bytes: int, seconds: float) -> bytes:
    """Read the body; refuse it as soon as its declared length or the bytes read so far are over the limit."""
    declared = request.headers.get("content-length", "")
    fits = not declared.isdecimal() or (len(declared) < 19 and int(declared) <= most_bytes)
    parts, size, stream = [], 0, request.stream()
    try:
        async with asyncio.timeout(seconds):
            while fits and (part := await anext(stream, None)) is not None:
                size += len(part)
                fits = size <= most_bytes
                parts.append(part)
    except TimeoutError as error:
        raise HTTPException(408, f"the body took over {seconds:g} s; send it again", CLOSE) from error
    if not fits:
        if "expect" not in request.headers:
            await drain(stream, seconds)
        raise HTTPException(413, f"the body is over {most_bytes / 1e6:.0f} MB; send smaller or fewer images", CLOSE)
    if not size:
        raise HTTPException(400, f"the body is empty; {HOW}")
    return b"".join(parts)


async def drain(stream: AsyncIterator[bytes], seconds: float) -> None:
    """Read and drop the rest of a refused upload: a client that is cut off while it sends may not see the answer.

    Stops at a pause of `DRAIN_SECONDS`, and after `seconds` in any case, the time that an accepted upload may take.
    """
    now = asyncio.get_running_loop().time
    last = now() + seconds
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_SECONDS) as end:
            async for _ in stream:
                end.reschedule(min(last, now() + DRAIN_SECONDS))


class _InMemory(MultiPartParser):
    """Starlette's parser, which never writes an image to a disk."""

    spool_max_size = sys.maxsize


async def _form(request: Request, body: bytes) -> Uploads:
    async def stream() -> AsyncGenerator[bytes, None]:
        yield body

    try:
        form = await _InMemory(request.headers, stream(), max_files=MOST_IMAGES, max_fields=MOST_IMAGES).parse()
    except MultiPartException as error:
        raise HTTPException(400, f"the form cannot be read ({plain(error.message)}); {HOW}") from error
    found: list[Upload] = []
    for field, value in form.multi_items():
        if isinstance(value, str):
            text = f"the form's field {plain(field):.40} is text"
            raise HTTPException(
                400, f"{text}; send files alone (-F file=@FILE), and options in the address (?name=value)"
            )
        found.append(Upload(plain(value.filename or f"image {len(found) + 1}"), await value.read()))
    if not found:
        raise HTTPException(400, f"the form has no file; {HOW}")
    return Uploads(found, several=len(found) > 1)


def _json(body: bytes) -> Uploads:
    try:
        asked: Any = json.loads(body)
    except (RecursionError, ValueError) as error:
        raise HTTPException(400, f"the body is not JSON; {HOW}") from error
    keys = set(asked) if isinstance(asked, dict) else set()
    if keys == {"image"}:
        texts, several = [asked["image"]], False
    elif keys == {"images"} and isinstance(asked["images"], list) and asked["images"]:
        texts, several = asked["images"], True
    else:
        raise HTTPException(400, 'send {"image": "<base64>"} or {"images": ["<base64>", ...]}, and nothing else in it')
    if len(texts) > MOST_IMAGES:
        raise HTTPException(413, f"{len(texts)} images are over {MOST_IMAGES}; send fewer at once")
    return Uploads([Upload(f"image {place}", from_base64(text)) for place, text in enumerate(texts, 1)], several)


def from_base64(text: Any) -> bytes:
    """Return the bytes of base64 text, also as a data URL; raises HTTPException with status 400."""
    try:
        if not isinstance(text, str):
            raise ValueError("not text")
        encoded = text.partition(";base64,")[2] if text.startswith("data:") else text
        return base64.b64decode("".join(encoded.split()), validate=True)
    except ValueError as error:
        raise HTTPException(400, "an image is not base64 text; make it with: base64 -w0 FILE") from error
