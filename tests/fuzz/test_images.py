"""Whatever bytes claim to be an image: a grey square, or one line that starts with the image's name."""

import functools
import io
import struct
import zlib
from itertools import starmap

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from image_files import png_chunk
from pneumo_tfds.decode import decode
from pneumo_tfds.decode.headers import DecodeError, read_header
from pneumo_tfds.program.limits import MAX_PIXELS

NAME = "train/NORMAL/a.jpeg"


def picture(height=18, width=20):
    random = np.random.default_rng(0)
    coarse = random.integers(0, 256, (3, 4), dtype=np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def saved(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@functools.cache
def jpegs():
    grey = Image.fromarray(picture())
    exif = Image.Exif()
    exif[274] = 6
    return [
        saved(grey, "JPEG"),
        saved(grey, "JPEG", progressive=True),
        saved(grey.convert("RGB"), "JPEG", exif=exif, restart_marker_blocks=1),
        saved(grey.convert("CMYK"), "JPEG", optimize=True),
        saved(Image.fromarray(picture(140, 150)).convert("RGB"), "JPEG", progressive=True, quality=20),
    ]


@functools.cache
def pngs():
    grey = Image.fromarray(picture())
    deep = cv2.imencode(".png", picture().astype(np.uint16) * 16)[1].tobytes()
    modes = [saved(grey.convert(mode), "PNG") for mode in ("L", "RGB", "RGBA", "LA", "P")]
    clear = saved(grey.convert("P"), "PNG", transparency=3)
    return [
        *modes,
        deep,
        clear,
        saved(grey, "PNG", transparency=7),
        saved(grey.convert("RGB"), "PNG", transparency=(1, 2, 3)),
    ]


def test_the_originals_are_right():
    for data in (*jpegs(), *pngs()):
        check(data, 32)


def check(data, size):
    found = decode(data, size, NAME)
    assert (found.shape, found.dtype) == ((size, size, 1), np.uint8)
    header = read_header(data, NAME)
    assert header.width * header.height <= MAX_PIXELS


@given(data=st.data(), size=st.sampled_from([16, 33, 64]))
def test_jpeg_bytes(data, size, mutated, input_error_only):
    with input_error_only(NAME):
        check(data.draw(mutated(jpegs())), size)


SEGMENTS = [
    0xC0,
    0xC1,
    0xC2,
    0xC3,
    0xC4,
    0xC9,
    0xCA,
    0xD0,
    0xD8,
    0xD9,
    0xDA,
    0xDB,
    0xDC,
    0xDD,
    0xE0,
    0xE1,
    0xEE,
    0xFE,
    0xFF,
]
SIDES = [0, 1, 15, 16, 17, 255, 4096, 10_000, 50_000, 65_535]


@functools.cache
def segments(data):
    """The markers of a JPEG with their content; what follows the first scan's header is one piece."""
    parts, at = [], 2
    while data[at + 1] != 0xDA:
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        parts.append((data[at + 1], data[at + 4 : end]))
        at = end
    return tuple(parts), data[at:]


@st.composite
def rearranged_jpegs(draw):
    """Segments removed, repeated, moved, renamed, or with another size; the scan cut or repeated."""
    parts, scan = segments(draw(st.sampled_from(jpegs())))
    parts = list(parts)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(parts) - 1)) if parts else 0
        match draw(st.integers(0, 6)):
            case 0:
                del parts[at : at + 1]
            case 1 | 2:
                parts = [
                    (
                        kind,
                        content[:1] + struct.pack(">HH", *(draw(st.sampled_from(SIDES)) for _ in "hw")) + content[5:],
                    )
                    if 0xC0 <= kind <= 0xC2
                    else (kind, content)
                    for kind, content in parts
                ]
            case 3:
                parts[at : at + 1] = [(draw(st.sampled_from(SEGMENTS)), content) for _, content in parts[at : at + 1]]
            case 4:
                others, _ = segments(draw(st.sampled_from(jpegs())))
                parts.insert(at, draw(st.sampled_from(others)))
            case 5:
                scan = scan[: draw(st.integers(0, len(scan)))] + draw(
                    st.sampled_from([b"", b"\xff\xd9", scan, scan * 3])
                )
            case _:
                parts[at : at + 1] = [(kind, draw(st.binary(max_size=20))) for kind, _ in parts[at : at + 1]]
    head = b"".join(bytes([0xFF, kind]) + struct.pack(">H", len(content) + 2) + content for kind, content in parts)
    return b"\xff\xd8" + head + scan


@given(data=rearranged_jpegs(), size=st.sampled_from([16, 64]))
def test_jpeg_segments(data, size, input_error_only):
    with input_error_only(NAME):
        check(data, size)


@given(data=st.data(), size=st.sampled_from([16, 64]))
def test_png_bytes(data, size, mutated, input_error_only):
    with input_error_only(NAME):
        check(data.draw(mutated(pngs())), size)


CHUNKS = [
    b"IHDR",
    b"PLTE",
    b"IDAT",
    b"IEND",
    b"tRNS",
    b"gAMA",
    b"iCCP",
    b"zTXt",
    b"eXIf",
    b"acTL",
    b"fcTL",
    b"fdAT",
    b"bKGD",
]


@functools.cache
def chunks(data):
    parts, at = [], 8
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        parts.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    return tuple(parts)


@st.composite
def rearranged_pngs(draw):
    """Chunks with right checksums and wrong content: other sizes and colour types, order, repeats, foreign chunks."""
    parts = list(chunks(draw(st.sampled_from(pngs()))))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(parts) - 1)) if parts else 0
        match draw(st.integers(0, 6)):
            case 0:
                del parts[at : at + 1]
            case 1:
                size = struct.pack(">II", *(draw(st.sampled_from(SIDES)) for _ in "wh"))
                parts[:1] = [(kind, size + content[8:]) for kind, content in parts[:1]]
            case 2:
                shape = bytes([draw(st.sampled_from([1, 2, 4, 8, 16])), draw(st.sampled_from([0, 2, 3, 4, 6]))])
                parts[:1] = [(kind, content[:8] + shape + content[10:]) for kind, content in parts[:1]]
            case 3:
                parts[at : at + 1] = [(draw(st.sampled_from(CHUNKS)), content) for _, content in parts[at : at + 1]]
            case 4:
                parts.insert(at, (draw(st.sampled_from(CHUNKS)), draw(st.binary(max_size=40))))
            case 5:
                parts.insert(at, draw(st.sampled_from(chunks(draw(st.sampled_from(pngs()))))))
            case _:
                raw = draw(st.binary(max_size=2000))
                parts = [(kind, zlib.compress(raw) if kind == b"IDAT" else content) for kind, content in parts]
    return b"\x89PNG\r\n\x1a\n" + b"".join(starmap(png_chunk, parts))


@given(data=rearranged_pngs(), size=st.sampled_from([16, 64]))
def test_png_chunks(data, size, input_error_only):
    with input_error_only(NAME):
        check(data, size)


@given(
    data=st.binary(max_size=300),
    head=st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"\0" * 128 + b"DICM"]),
)
def test_any_bytes(data, head, input_error_only):
    with input_error_only(NAME):
        check(head + data, 16)


def test_a_transparency_chunk_that_makes_no_fourth_channel(input_error_only):
    """Found here: libpng leaves out a tRNS chunk that is damaged, and there was no fourth channel to read."""
    grey = saved(Image.fromarray(picture()), "PNG")
    odd = grey[:33] + png_chunk(b"tRNS") + grey[33:]
    np.testing.assert_array_equal(decode(odd, 18), decode(grey, 18))


def test_a_jpeg_of_endless_scans_is_refused_before_it_is_decoded(monkeypatch):
    """A scan of 14 bytes takes as long as an image: 32 MB of them kept a core busy for hours."""
    data = saved(Image.fromarray(picture()), "JPEG", progressive=True)
    last = data[data.rfind(b"\xff\xda") : -2]
    monkeypatch.setattr(cv2, "imdecode", None)
    with pytest.raises(DecodeError, match="scans, the limit is 100"):
        decode(data[:-2] + last * 200 + b"\xff\xd9", 16)
