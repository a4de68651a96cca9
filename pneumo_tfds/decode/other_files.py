"""Tell by its first bytes what a file is that is no JPEG, PNG or DICOM file, and what to do about it."""

from __future__ import annotations

import codecs
import re

_IMAGES = {
    b"BM": "BMP", b"II*\0": "TIFF", b"MM\0*": "TIFF", b"GIF8": "GIF", b"RIFF": "WebP", b"\0\0\0\x0cjP": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000", b"\x5c\x01\0\0": "NIfTI", b"8BPS": "Photoshop", b"\x93NUMPY": "NumPy",
    b"II+\0": "TIFF", b"%PDF": "PDF", b"NRRD": "NRRD", b"P5\n": "PGM", b"\x76\x2f\x31\x01": "OpenEXR",
}  # fmt: skip
_ARCHIVES = {b"PK\x03\x04": "zip", b"\x1f\x8b": "gzip", b"7z\xbc\xaf": "7z", b"Rar!": "rar", b"BZh": "bzip2"}

OTHER_IMAGES = {start: f"{kind} images, which are not read; convert them to PNG" for start, kind in _IMAGES.items()}
"""Reasons why images of other kinds are left out, by their first bytes."""

ARCHIVES = {start: f"an archive ({kind})" for start, kind in _ARCHIVES.items()}

_POINTER = re.compile(rb"version https://git-lfs\.github\.com/spec/|(\.\.?/)*(\.git)?/annex/objects/")
_PAGE = re.compile(rb"\s*(<!doctype html|<html|<head|<\?xml|<error|\{\s*\")", re.IGNORECASE)


def other_kind(head: bytes) -> str:
    """Return what a file is by its first bytes and what to do; empty if they say nothing."""
    if _POINTER.match(head):
        return "a pointer of Git LFS or git-annex and not the file itself; run git lfs pull or git annex get"
    return next((kind for start, kind in (OTHER_IMAGES | ARCHIVES).items() if head.startswith(start)), "")


def no_image(head: bytes) -> str:
    """Return what a file is that was taken for an image, by its first bytes, and what to do; empty if unknown."""
    if _PAGE.match(head.removeprefix(codecs.BOM_UTF8)):
        return "but a web page or a server's answer, so its download failed; fetch it again"
    image = next((kind for start, kind in _IMAGES.items() if head.startswith(start)), "")
    kind = f"{image}, which is not read; convert it to PNG" if image else other_kind(head)
    kind += "; unpack it" if kind in ARCHIVES.values() else ""
    return f"but {kind}" if kind else ""
