"""JPEGs: damage that libjpeg would fill with grey is refused, and nothing that encoders write is."""

from __future__ import annotations

import io
import struct

import cv2
import numpy as np
import pytest
from PIL import Image

from pneumo_tfds.decode import DecodeError, decode_full

END = b"\xff\xd9"


def encode(grey, mode="L", **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(grey).convert(mode).save(file, "JPEG", **options)
    return file.getvalue()


def turned(orientation: int, endian: str = "<") -> bytes:
    """EXIF data with a date and an orientation."""
    exif = Image.Exif()
    exif.endian = endian
    exif[306], exif[274] = "2026:01:01 00:00:00", orientation
    return exif.tobytes()


@pytest.fixture
def grey(picture):
    noise = np.random.default_rng(0).normal(0, 4, (300, 400))
    return (picture(20, 400, 300) * 0.9 + 10 + noise).clip(0, 255).astype(np.uint8)


KINDS = {
    "baseline": {},
    "progressive": {"progressive": True},
    "optimised colour": {"mode": "RGB", "optimize": True, "subsampling": "4:2:0"},
    "progressive colour": {"mode": "RGB", "progressive": True},
    "restart markers": {"restart_marker_blocks": 7},
    "CMYK": {"mode": "CMYK"},
    "turned": {"exif": turned(6)},
    "mirrored": {"exif": turned(2, ">")},
    "upright": {"exif": turned(1)},
}

DAMAGE = {
    "cut, with an end marker": lambda data: data[: len(data) * 2 // 5] + END,
    "the last tenth missing": lambda data: data[: len(data) * 9 // 10] + END,
    "zeros": lambda data: replaced(data, bytes),
    "random bytes": lambda data: replaced(data, np.random.default_rng(1).bytes),
    "a piece missing": lambda data: replaced(data, lambda length: b""),
}


def replaced(data: bytes, by) -> bytes:
    """The bytes with 30 % in the middle replaced."""
    start, length = len(data) * 7 // 20, len(data) * 3 // 10
    return data[:start] + by(length) + data[start + length :]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_refused_and_named(kind, damage, grey, capfd):
    data = encode(grey, **KINDS[kind])
    decode_full(data)
    for cover in (None, 40):
        with pytest.raises(DecodeError, match=r"^a/b\.jpeg: the JPEG is (damaged|truncated)"):
            decode_full(DAMAGE[damage](data), "a/b.jpeg", cover)
    assert capfd.readouterr() == ("", ""), "libjpeg's own warnings name no file"


def test_a_progressive_file_cut_between_two_scans_is_refused(grey):
    data = encode(grey, progressive=True)
    scans = [at for at in range(len(data)) if data.startswith(b"\xff\xda", at)]
    for cut in scans[1:]:
        end = data.rfind(b"\xff\xc4", 0, cut) if b"\xff\xc4" in data[cut - 60 : cut] else cut
        with pytest.raises(DecodeError, match="truncated, scans of its picture are missing"):
            decode_full(data[:end] + END)


def test_a_colour_file_of_one_component_less_is_refused(grey):
    colours = np.stack([grey, grey[::-1], 255 - grey], axis=2)
    data = cv2.imencode(".jpg", colours, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    decode_full(data)
    with pytest.raises(DecodeError, match="scans"):
        decode_full(data[: data.rfind(b"\xff\xda")] + END)


@pytest.mark.parametrize("kind", KINDS)
def test_pixels_are_those_of_opencv_at_every_scale(kind, grey):
    flags = {1: cv2.IMREAD_GRAYSCALE, 2: cv2.IMREAD_REDUCED_GRAYSCALE_2, 4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
             8: cv2.IMREAD_REDUCED_GRAYSCALE_8}  # fmt: skip
    for height, width in [(300, 400), (299, 393), (17, 400), (16, 16), (131, 23)]:
        data = encode(grey[:height, :width], **KINDS[kind])
        for scale, flag in flags.items():
            expected = cv2.imdecode(np.frombuffer(data, np.uint8), flag)
            np.testing.assert_array_equal(decode_full(data, cover=min(height, width) // scale), expected)


def test_what_encoders_and_programs_leave_in_a_file_is_no_damage(grey, capfd):
    plain = encode(grey)
    expected = decode_full(plain)
    thumbnail = encode(grey[:40, :40])
    segment = struct.pack(">H", len(thumbnail) + 8) + b"Exif\0\0" + thumbnail
    comment = b"\xff\xfe\x00\x06\xff\xda\xff\xd9"
    for same in [
        plain + b"text behind the end marker \xff\x00\xff",
        plain[:2] + b"\xff\xe1" + segment + plain[2:],
        plain[:2] + comment + plain[2:],
        plain[:-2] + b"\xff\xff\xff" + plain[-2:],  # fill bytes
        plain[:-2] + b"\0\0\0" + plain[-2:],  # padding
        plain.replace(b"JFIF\0\x01\x01", b"JFIF\0\x03\x09"),
        plain.replace(b"\x00\x3f\x00", b"\x00\x00\x00", 1),  # a baseline scan whose spectrum ends nowhere
    ]:
        np.testing.assert_array_equal(decode_full(same), expected)
    for quality in (10, 75, 100):
        for subsampling in ("4:4:4", "4:2:2", "4:2:0"):
            decode_full(encode(grey, "RGB", quality=quality, subsampling=subsampling, keep_rgb=False))
    decode_full(encode(grey, "RGB", keep_rgb=True, subsampling="4:4:4"))
    for factor in (cv2.IMWRITE_JPEG_SAMPLING_FACTOR_411, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_440):
        flags = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, factor, cv2.IMWRITE_JPEG_RST_INTERVAL, 3]
        decode_full(cv2.imencode(".jpg", cv2.merge([grey, grey, 255 - grey]), flags)[1].tobytes())
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("kind", ["baseline", "CMYK", "turned"])
def test_padding_and_an_odd_version_are_no_damage_and_other_bytes_left_over_are(kind, grey, capfd):
    plain = encode(grey, **KINDS[kind])
    odd = plain.replace(b"JFIF\0\x01\x01", b"JFIF\0\x03\x09")
    for same in (odd[:-2] + b"\0" + END, odd[:-2] + bytes(3) + END):
        np.testing.assert_array_equal(decode_full(same), decode_full(plain))
    if kind != "CMYK":  # where libjpeg has read them ahead
        with pytest.raises(DecodeError, match="the JPEG is damaged"):
            decode_full(plain[:-2] + b"\x31\x07" + END)
    assert capfd.readouterr() == ("", "")


def test_a_kind_of_jpeg_that_is_not_read_is_not_called_damaged(grey):
    plain = encode(grey)
    with pytest.raises(DecodeError, match=r"not read \(12 bits, lossless or hierarchical\); save it as"):
        decode_full(plain.replace(b"\xff\xc0\x00\x0b\x08", b"\xff\xc1\x00\x0b\x0c"), "a.jpeg")
