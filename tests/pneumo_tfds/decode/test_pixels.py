"""Bytes to grey squares: every kind of file people have, and every kind of damage."""

from __future__ import annotations

import contextlib
import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from image_files import png, png_chunk
from pneumo_tfds.decode import DecodeError, decode, decode_full
from pneumo_tfds.decode.headers import read_header
from pneumo_tfds.decode.reasons import reasons_to_doubt
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.limits import MAX_SCANS


def encode(image: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def difference(a, b) -> float:
    return float(np.abs(a.astype(int) - b.astype(int)).mean())


def one_row(width: int) -> bytes:
    """The compressed beginning of a PNG: its first row, and nothing of the others."""
    return png_chunk(b"IDAT", zlib.compress(b"\0" + bytes(range(width))))


def animation(width: int, height: int) -> bytes:
    """What makes a PNG an animation of two images."""
    return png_chunk(b"acTL", struct.pack(">II", 2, 0)) + png_chunk(
        b"fcTL", struct.pack(">IIIIIHHBB", 0, width, height, 0, 0, 1, 1, 0, 0)
    )


def test_result_is_a_grey_uint8_square(picture, jpeg):
    out = decode(jpeg(picture(1)), 40)
    assert out.shape == (40, 40, 1)
    assert out.dtype == np.uint8


@pytest.mark.parametrize("size", [32, 100, 150, 224, 400])
def test_scaled_decode_is_close_to_a_full_decode(picture, jpeg, size):
    data = jpeg(picture(2, 1400, 1000))
    whole = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    expected = cv2.resize(whole, (size, size), interpolation=cv2.INTER_AREA)
    assert difference(decode(data, size)[:, :, 0], expected) < 1.0


@pytest.mark.parametrize(
    ("size", "shape"), [(120, (125, 175)), (126, (250, 350)), (500, (500, 700)), (501, (1000, 1400))]
)
def test_the_smallest_jpeg_scale_that_covers_the_target_is_decoded(picture, jpeg, size, shape):
    assert decode_full(jpeg(picture(3, 1400, 1000)), cover=size).shape == shape


def test_same_bytes_give_same_pixels(picture, jpeg):
    data = jpeg(picture(4, 700, 500))
    np.testing.assert_array_equal(decode(data, 64), decode(data, 64))


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_jpeg_colour_modes_agree(picture, mode):
    grey = picture(5, 320, 240)
    data = encode(Image.fromarray(grey).convert(mode), "JPEG", quality=95)
    assert difference(decode(data, 64), decode(encode(Image.fromarray(grey), "JPEG", quality=95), 64)) < 2.5


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P"])
def test_png_colour_modes_agree(picture, mode):
    grey = picture(6, 320, 240)
    assert difference(
        decode(encode(Image.fromarray(grey).convert(mode), "PNG"), 64)[:, :, 0],
        decode(encode(Image.fromarray(grey), "PNG"), 64)[:, :, 0],
    ) < (6.0 if mode == "P" else 1.0)


def test_sixteen_bit_png_keeps_its_range(picture):
    grey = picture(7)
    data = cv2.imencode(".png", grey.astype(np.uint16) * 257)[1].tobytes()
    np.testing.assert_array_equal(decode_full(data), grey)


def test_twelve_bits_in_a_sixteen_bit_png_are_not_black(picture):
    grey = picture(8)
    data = cv2.imencode(".png", np.rint(grey.astype(np.float32) / 255 * 4095).astype(np.uint16))[1].tobytes()
    np.testing.assert_array_equal(decode_full(data), grey)


def test_transparent_pixels_are_black(picture):
    grey = picture(9)
    alpha = np.full_like(grey, 255)
    alpha[:, :48] = 0
    out = decode_full(encode(Image.merge("LA", (Image.fromarray(grey), Image.fromarray(alpha))), "PNG"))
    assert out[:, :48].max() == 0
    np.testing.assert_array_equal(out[:, 48:], grey[:, 48:])


def test_exif_orientation_is_applied_at_every_scale(picture):
    grey = picture(10, 640, 480)
    exif = Image.Exif()
    exif[274] = 6  # the camera was turned: the first row is the right side
    data = encode(Image.fromarray(grey), "JPEG", exif=exif, quality=95)
    upright = encode(Image.fromarray(np.rot90(grey, -1).copy()), "JPEG", quality=95)
    for size in (40, 200, 460):
        assert difference(decode(data, size), decode(upright, size)) < 3.0


def test_small_images_are_enlarged(picture, jpeg):
    assert decode(jpeg(picture(11, 40, 30)), 64).shape == (64, 64, 1)


def test_header_tells_size_without_decoding(picture, jpeg):
    header = read_header(jpeg(picture(12, 321, 123)))
    assert (header.format, header.width, header.height, header.bits) == ("JPEG", 321, 123, 8)


@pytest.mark.parametrize(
    ("start", "says"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n", "run git lfs pull"),
        (b"../../.git/annex/objects/xX/yY/SHA256E-s1--ab.jpg/SHA256E-s1--ab.jpg\n", "git annex get"),
        (b"\xef\xbb\xbf\n<!doctype HTML><html>", "a web page or a server's answer, so its download failed"),
        (b"<html><head>", "its download failed; fetch it again"),
        (b'<?xml version="1.0"?><Error>', "its download failed"),
        (b'{"error": "quota"}', "its download failed"),
        (b"II*\0", "but TIFF, which is not read; convert it to PNG"),
        (b"GIF89a", "but GIF, which is not read"),
        (b"PK\x03\x04", "but an archive \\(zip\\)"),
        (b"\0\1\2", "whatever its name is"),
    ],
)
def test_what_is_no_image_is_called_what_it_is(start, says):
    with pytest.raises(DecodeError, match=f"^a/b.jpg: not a JPEG, PNG or DICOM file, .*{says}"):
        decode(start + bytes(600), 32, "a/b.jpg")


def of_kind(kind: str, grey: np.ndarray) -> bytes:
    """A file of a 100 x 60 picture, as programs write it."""
    flat = [Image.fromarray(np.full_like(grey, level)) for level in (0, 128, 255)]
    image, colours = Image.fromarray(grey), Image.fromarray(grey)
    colours.putpalette([level for each in range(256) for level in (each, max(0, each - 60), 255 - each)])
    holes = Image.fromarray(np.where(np.arange(grey.shape[1]) < 10, 0, 255).astype(np.uint8) * np.ones_like(grey))
    few = Image.fromarray(grey // 64)
    few.putpalette([level for each in range(4) for level in [each * 85] * 3])
    return {
        "grey png": lambda: encode(image, "PNG"),
        "grey jpeg": lambda: encode(image, "JPEG"),
        "rgb jpeg": lambda: encode(image.convert("RGB"), "JPEG"),
        "rgba png": lambda: encode(Image.merge("RGBA", [image] * 3 + flat[2:]), "PNG"),
        "transparent black": lambda: encode(image, "PNG", transparency=0),
        "palette": lambda: encode(image.convert("P"), "PNG"),
        "false colour": lambda: encode(colours, "PNG"),
        "colour png": lambda: encode(colours.convert("RGB"), "PNG"),
        "colour jpeg": lambda: encode(colours.convert("RGB"), "JPEG"),
        "marked": lambda: encode(marked(image), "PNG"),
        "half transparent": lambda: encode(Image.merge("LA", [image, flat[1]]), "PNG"),
        "holes": lambda: encode(Image.merge("LA", [image, holes]), "PNG"),
        "two bits": lambda: encode(few, "PNG", bits=2),
        "sixteen levels": lambda: encode(Image.fromarray(grey // 16 * 17), "PNG"),
    }[kind]()


def marked(image: Image.Image) -> Image.Image:
    """With a small red letter."""
    marked = image.convert("RGB")
    marked.paste((255, 0, 0), (2, 2, 12, 12))
    return marked


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        *((kind, ()) for kind in ("grey png", "grey jpeg", "rgb jpeg", "rgba png", "transparent black", "palette",
                                  "marked")),
        *((kind, ("in colour: ",)) for kind in ("false colour", "colour png", "colour jpeg")),
        *((kind, ("partly transparent",)) for kind in ("half transparent", "holes")),
        ("two bits", ("only 4 different grey levels",)),
        ("sixteen levels", ("only 16 different grey levels",)),
    ],
)  # fmt: skip
def test_what_is_unusual_about_a_file_is_told(kind, says, picture):
    grey = cv2.normalize(picture(15, 100, 60), None, 0, 255, cv2.NORM_MINMAX)
    data, doubts = of_kind(kind, grey), []
    found = sum(reasons_to_doubt(data, decode(data, 64, doubts=doubts), "a.png", doubts), ())
    assert len(found) == len(says)
    assert all(map(str.startswith, found, says))


def damage(kind: str, picture, jpeg) -> bytes:
    good = jpeg(picture(13, 200, 150))
    return {
        "empty": b"",
        "text": b"this is not an image, it only has its name",
        "half": good[: len(good) // 2],
        "header only": good[:30],
        "last bytes missing": good[:-60],
        "half a png": cv2.imencode(".png", picture(13))[1].tobytes()[:-200],
        "huge png": png(50_000, 50_000, one_row(40)),
        "huge png with transparency": png(8000, 5001, one_row(40), colour=6),
        "empty png": png(40, 30, b""),
        "png of too few bytes": png(3000, 2000, one_row(40)),
        "png of one row": png(40, 30, one_row(40)),
        "animated png of one row": png(40, 30, animation(40, 30) + one_row(40)),
        "png of many chunks": png(40, 30, png_chunk(b"tEXt") * 100_000),
        "png with a second header": png(40, 30, png(50_000, 50_000, one_row(40))[8:-12]),
        "huge jpeg": good.replace(struct.pack(">HH", 150, 200), struct.pack(">HH", 50_000, 50_000)),
        "one pixel": jpeg(np.full((1, 1), 7, np.uint8)),
        "black": jpeg(np.zeros((100, 100), np.uint8)),
        "webp": b"RIFF\x00\x00\x00\x00WEBPVP8 ",
    }[kind]


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("empty", "empty"),
        ("text", "not a JPEG"),
        ("half", "truncated"),
        ("header only", "truncated"),
        ("last bytes missing", "truncated"),
        ("half a png", "truncated"),
        ("huge png", "50000 x 50000"),
        ("huge png with transparency", "8000 x 5001 pixels, the limit is 40 million"),
        ("empty png", "0 bytes cannot hold 40 x 30"),
        ("png of too few bytes", "cannot hold 3000 x 2000"),
        ("png of one row", "damaged"),
        ("animated png of one row", "animated"),
        ("png of many chunks", "100,000 chunks"),
        ("png with a second header", "damaged"),
        ("huge jpeg", "50000 x 50000"),
        ("one pixel", "1 x 1"),
        ("black", "no picture"),
        ("webp", "not a JPEG"),
    ],
)
def test_damage_is_one_line_that_starts_with_the_name(kind, says, picture, jpeg):
    with pytest.raises(DecodeError, match=says) as caught:
        decode(damage(kind, picture, jpeg), 64, "train/NORMAL/a b é.jpeg")
    assert str(caught.value).startswith("train/NORMAL/a b é.jpeg: ")
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, InputError)


def test_damaged_bytes_never_raise_anything_else(picture, jpeg):
    good = bytearray(jpeg(picture(14, 120, 90)))
    random = np.random.default_rng(0)
    for _ in range(150):
        bad = bytearray(good)
        for position in random.integers(0, len(bad), 6):
            bad[position] = random.integers(0, 256)
        with contextlib.suppress(DecodeError):
            assert decode(bytes(bad), 32).shape == (32, 32, 1)


def test_one_pixel_that_differs_makes_a_picture():
    spot = np.zeros((100, 100), np.uint8)
    spot[3:6, 80:83] = 255  # neither where the first look goes, the corner and the middle, nor near them
    assert decode(cv2.imencode(".png", spot)[1].tobytes(), 100).max() == 255


@pytest.mark.parametrize(("colour", "flags"), [(True, []), (False, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])])
def test_more_scans_than_any_camera_writes_are_refused(colour, flags):
    grey = np.random.default_rng(3).integers(0, 256, (64, 64, 3) if colour else (64, 64), dtype=np.uint8)
    good = cv2.imencode(".jpg", grey, flags)[1].tobytes()
    scan = good[good.index(b"\xff\xda") : -2]
    with pytest.raises(DecodeError, match="damaged" if colour else "scans"):  # of the one kind there may be one scan
        decode(good[:-2] + (MAX_SCANS + 1) * scan + good[-2:], 32)
    assert decode(good, 32).shape == (32, 32, 1)
