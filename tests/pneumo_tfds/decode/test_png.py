"""PNGs: nothing is printed without the file's name, and what is left out changes no pixel."""

from __future__ import annotations

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from image_files import png_chunk
from pneumo_tfds.decode import DecodeError, decode_full

PROFILE = zlib.compress(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())


def encode(grey, mode="L", **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(grey).convert(mode).save(file, "PNG", **options)
    return file.getvalue()


def with_chunk(data: bytes, kind: bytes, content: bytes, at: int = 33) -> bytes:
    """The PNG with another chunk, directly behind its header unless `at` is given."""
    return data[:at] + png_chunk(kind, content) + data[at:]


CHUNKS = {
    "a colour profile that is no grey one": (b"iCCP", b"ICC\0\0" + PROFILE),
    "a damaged colour profile": (b"iCCP", b"ICC\0\0" + zlib.compress(b"x" * 200)),
    "a damaged gamma": (b"gAMA", b"\0\0"),
    "a gamma": (b"gAMA", struct.pack(">I", 45455)),
    "a palette without need": (b"PLTE", bytes(range(30))),
    "a damaged transparency": (b"tRNS", b"\1"),
    "damaged EXIF data": (b"eXIf", b"rubbish"),
    "a text": (b"tEXt", b"Software\0none"),
    "a chunk that nobody knows": (b"abCd", b"\1"),
}


@pytest.mark.parametrize("what", CHUNKS)
def test_chunks_that_make_no_pixel_are_not_judged_by_libpng(what, picture, capfd):
    grey = picture(1)
    np.testing.assert_array_equal(decode_full(with_chunk(encode(grey), *CHUNKS[what])), grey)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P"])
def test_pixels_are_the_same_without_the_other_chunks(mode, picture):
    data = encode(picture(2), mode)
    np.testing.assert_array_equal(decode_full(with_chunk(data, *CHUNKS["a text"])), decode_full(data))


@pytest.mark.parametrize("options", [{"mode": "P", "transparency": 3}, {"transparency": 7},
                                     {"mode": "RGB", "transparency": (1, 2, 3)}])  # fmt: skip
def test_transparency_is_kept(options, picture):
    grey = picture(3)
    grey[:20] = 7
    data = encode(grey, **options)
    np.testing.assert_array_equal(decode_full(with_chunk(data, *CHUNKS["a text"])), decode_full(data))


def test_exif_orientation_of_a_png_is_applied_as_before(picture):
    grey = picture(4)
    exif = Image.Exif()
    exif[274] = 6
    for data in (encode(grey, exif=exif), with_chunk(encode(grey, exif=exif), *CHUNKS["a text"])):
        np.testing.assert_array_equal(decode_full(data), np.rot90(grey, -1))


@pytest.mark.parametrize("value", range(1, 9))
@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_exif_orientation_of_a_transparent_png_is_that_of_the_same_grey_one(value, depth, picture):
    grey = picture(4)[:40].astype(depth)
    opaque = np.full_like(grey, np.iinfo(depth).max)
    exif = Image.Exif()
    exif[274] = value
    chunk = png_chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))
    images = [cv2.imencode(".png", image)[1].tobytes() for image in (grey, cv2.merge([grey, grey, grey, opaque]))]
    plain, transparent = (decode_full(data[:33] + chunk + data[33:]) for data in images)
    np.testing.assert_array_equal(transparent, plain)
    assert plain.shape == (grey.shape if value < 5 else grey.shape[::-1])


def remade(data: bytes, change, header: bytes | None = None) -> bytes:
    """The PNG with changed pixels, its checksums right."""
    at = data.index(b"IDAT")
    length = struct.unpack(">I", data[at - 4 : at])[0]
    pixels = change(zlib.decompress(data[at + 4 : at + 4 + length]))
    start = data[:8] + png_chunk(b"IHDR", header or data[16:29])
    return start + png_chunk(b"IDAT", zlib.compress(pixels)) + png_chunk(b"IEND")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda pixels: pixels[: len(pixels) // 2], "it has fewer pixels than it declares"),
        (lambda pixels: pixels * 2, "it has more pixels than it declares"),
        (lambda pixels: b"\5" + pixels[1:], "a row is packed in an unknown way"),
    ],
)
def test_pixels_that_do_not_make_the_picture_are_refused_though_their_checksums_are_right(change, says, picture, capfd):
    data = remade(encode(picture(1)), change)
    with pytest.raises(DecodeError, match=rf"^a\.png: the PNG is damaged, {says}"):
        decode_full(data, "a.png")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("rest", [(8, 5, 0, 0, 0), (3, 0, 0, 0, 0), (8, 0, 1, 0, 0), (8, 0, 0, 1, 0), (8, 3, 0, 0, 0)])
def test_a_header_that_makes_no_sense_is_refused(rest, picture, capfd):
    header = struct.pack(">IIBBBBB", 96, 72, *rest)
    with pytest.raises(DecodeError, match=r"^a\.png: the PNG is damaged, its header makes no sense"):
        decode_full(remade(encode(picture(1)), bytes, header), "a.png")
    assert capfd.readouterr() == ("", "")


def test_zeros_behind_the_pixels_are_no_damage_and_not_spoken_of(picture, capfd):
    data = encode(picture(1))
    np.testing.assert_array_equal(decode_full(remade(data, lambda pixels: pixels + bytes(3000))), picture(1))
    assert capfd.readouterr() == ("", "")


def test_interlaced_rows_are_counted_as_libpng_does(picture):
    """Seven passes, each pixel in one of them (PNG specification, 8.2)."""
    grey = picture(1)[:19, :21]
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    parts = [grey[y::down, x::across] for x, y, across, down in passes]
    rows = b"".join(b"\0" + row.tobytes() for part in parts for row in part)
    header = struct.pack(">IIBBBBB", 21, 19, 8, 0, 0, 0, 1)
    np.testing.assert_array_equal(decode_full(remade(encode(grey), lambda _: rows, header)), grey)
    with pytest.raises(DecodeError, match="fewer pixels"):
        decode_full(remade(encode(grey), lambda _: rows[:-1], header))


def test_a_picture_that_is_transparent_is_not_called_a_mask(picture):
    grey = picture(6)
    for alpha in (0, 1):
        data = encode(np.dstack([grey] * 3 + [np.full_like(grey, alpha)]), "RGBA")
        with pytest.raises(DecodeError, match=r"^a\.png: is transparent where its picture is"):
            decode_full(data, "a.png")
    mask = np.where(grey > 128, 255, 0).astype(np.uint8)
    with pytest.raises(DecodeError, match="looks like a mask"):
        decode_full(encode(mask, "RGBA"))


def damages(data: bytes) -> dict[str, bytes]:
    at = data.index(b"IDAT")
    return {
        "a wrong byte": data[: at + 400] + bytes([data[at + 400] ^ 1]) + data[at + 401 :],
        "zeros": data[: at + 400] + bytes(100) + data[at + 500 :],
        "a wrong header": data[:20] + b"\0\0\0\x60" + data[24:],
        "an unknown part": with_chunk(data, b"ABCD", b"\1"),
    }


@pytest.mark.parametrize("kind", ["a wrong byte", "zeros", "a wrong header", "an unknown part"])
def test_damage_is_refused_and_named(kind, picture, capfd):
    with pytest.raises(DecodeError, match=r"^a/b\.png: the PNG is damaged"):
        decode_full(damages(cv2.imencode(".png", picture(5))[1].tobytes())[kind], "a/b.png")
    assert capfd.readouterr() == ("", "")
