"""How DICOM files are stored: transfer syntaxes, missing preambles, frames, overlays, damage, missing decoders."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from image_files import dicom, jpeg_of_blocks, transcoded
from pneumo_tfds.decode import DecodeError, decode_full, gdcm_process
from pneumo_tfds.decode.dicom import decode_dicom
from pneumo_tfds.decode.dicom_damage import check_rle
from pneumo_tfds.decode.headers import format_of
from pneumo_tfds.program.installed import how_to_install

pydicom = pytest.importorskip("pydicom")
pytest.importorskip("gdcm")

UID = "1.2.840.10008.1.2"
SYNTAXES = {
    "implicit": "", "explicit": ".1", "big endian": ".2", "deflated": ".1.99", "JPEG Lossless": ".4.57",
    "JPEG Lossless, first order": ".4.70", "JPEG-LS": ".4.80", "JPEG-LS near-lossless": ".4.81",
    "JPEG 2000 lossless": ".4.90", "JPEG 2000": ".4.91", "RLE": ".5",
}  # fmt: skip


@pytest.fixture
def stored(picture):
    noise = np.random.default_rng(0).integers(0, 16, (144, 192), dtype=np.uint16)
    return picture(1, 192, 144).astype(np.uint16) * 16 + noise


@pytest.mark.parametrize("bits", [8, 12])
@pytest.mark.parametrize("syntax", SYNTAXES)
def test_all_transfer_syntaxes_give_the_same_picture(syntax, bits, stored, tmp_path, capfd):
    plain = dicom((stored >> 4).astype(np.uint8) if bits == 8 else stored)
    data = dicom(stored, UID + ".1.99") if syntax == "deflated" else transcoded(plain, UID + SYNTAXES[syntax], tmp_path)
    np.testing.assert_allclose(decode_full(data).astype(int), decode_full(plain), atol=1)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("syntax", [".4.50", ".4.51"])
def test_jpeg_of_eight_bits(syntax, stored, tmp_path):
    plain = dicom((stored >> 4).astype(np.uint8))
    data = transcoded(plain, UID + syntax, tmp_path)
    np.testing.assert_allclose(decode_full(data).astype(int), decode_full(plain), atol=4)


def test_jpeg_of_twelve_bits(capfd):
    from pydicom.encaps import encapsulate

    levels = np.random.default_rng(0).integers(0, 4096, (9, 12))
    levels[0, :4] = 0, 4095, 4145, -50  # a lossy encoder goes beyond the ends, which are clipped
    blocks = np.kron(levels.clip(0, 4095), np.ones((8, 8))).astype(np.uint16)
    data = dicom(blocks, UID + ".4.51", PixelData=encapsulate([jpeg_of_blocks(levels)]))
    np.testing.assert_array_equal(decode_full(data), decode_full(dicom(blocks)))
    fewer = dicom(blocks, UID + ".4.51", BitsStored=11, HighBit=10, PixelData=encapsulate([jpeg_of_blocks(levels)]))
    assert decode_dicom(fewer, "scan.dcm")[1] == "", "a lossy encoder goes beyond the ends"
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("syntax", [".4.50", ".4.57", ".4.70", ".4.80", ".4.90", ".4.91", ".5"])
@pytest.mark.parametrize("damage", ["cut", "zeros"])
def test_damaged_pixels_are_refused_and_named(syntax, damage, tmp_path, capfd):
    from pydicom.encaps import encapsulate, get_frame

    file = tmp_path / "good.dcm"
    noise = np.random.default_rng(0).integers(0, 256, (144, 192), dtype=np.uint8)
    file.write_bytes(transcoded(dicom(noise), UID + syntax, tmp_path))
    dataset = pydicom.dcmread(file)
    frame = get_frame(dataset.PixelData, 0, number_of_frames=1)
    size = len(frame)
    bad = frame[: size * 2 // 5] + b"\xff\xd9"
    if damage == "zeros":
        bad = frame[: size * 7 // 20] + bytes(size * 3 // 10) + frame[size * 7 // 20 + size * 3 // 10 :]
    dataset.PixelData = encapsulate([bad])
    dataset.save_as(file)
    with pytest.raises(DecodeError, match=r"^a/b\.dcm: .*(damaged|truncated)"):
        decode_full(file.read_bytes(), "a/b.dcm")
    assert capfd.readouterr() == ("", "")


def with_frame(data, change):
    """The DICOM file with its only frame changed."""
    from pydicom.encaps import encapsulate, get_frame

    dataset, file = pydicom.dcmread(io.BytesIO(data)), io.BytesIO()
    dataset.PixelData = encapsulate([change(get_frame(dataset.PixelData, 0, number_of_frames=1))])
    dataset.save_as(file)
    return file.getvalue()


@pytest.mark.filterwarnings("ignore:The decoded RLE segment contains non-conformant padding")
def test_an_rle_frame_that_gives_too_much_is_damaged_and_padding_is_not(stored, tmp_path):
    flat = np.kron(stored[:36, :48], np.ones((4, 4), np.uint16))
    data = transcoded(dicom(flat), UID + ".5", tmp_path)
    padded = with_frame(data, lambda frame: frame + bytes(20))
    np.testing.assert_array_equal(decode_full(padded), decode_full(dicom(flat)))
    for more in (b"\x00\x07", b"\xff\x07" * 20):
        with pytest.raises(DecodeError, match=r"^scan\.dcm: the pixels of the DICOM file are damaged"):
            decode_full(with_frame(data, lambda frame, more=more: frame + more), "scan.dcm")
    with pytest.raises(DecodeError, match=r"^scan\.dcm: the pixels of the DICOM file are damaged"):
        decode_full(with_frame(data, lambda frame: frame[:100] + b"\x81" * 40 + frame[140:]), "scan.dcm")


def test_every_kind_of_rle_packet_is_counted():
    segment = b"\x02abc" + b"\x80" + b"\xfe\x07" + b"\x81\x08"  # 3 copied, nothing, a run of 3, a run of 128
    frame = struct.pack("<16I", 1, 64, *[0] * 14) + segment
    check_rle(frame + b"\0", 134)
    for pixels in (133, 135):
        with pytest.raises((ValueError, LookupError)):
            check_rle(frame, pixels)


@pytest.mark.parametrize("syntax", [".4.90", ".4.91"])
def test_a_jpeg_2000_frame_that_does_not_say_its_length_is_refused_when_cut(syntax, stored, tmp_path):
    data = transcoded(dicom(stored), UID + syntax, tmp_path)

    def open_ended(frame):
        at = frame.find(b"\xff\x90\0\x0a") + 6  # Psot of the only tile-part: 0 means up to the end
        return frame[:at] + bytes(4) + frame[at + 4 :]

    np.testing.assert_array_equal(decode_full(with_frame(data, open_ended)), decode_full(data))
    for tail in (b"", b"\xff\xd9"):
        with pytest.raises(DecodeError, match="the pixels of the DICOM file are damaged"):
            decode_full(with_frame(data, lambda frame, tail=tail: open_ended(frame)[: len(frame) // 2] + tail))


def test_a_frame_that_ends_gdcms_process_is_damage_and_the_next_file_is_read(stored, tmp_path, monkeypatch):
    """GDCM crashes on some damaged frames: found by changing random bytes."""
    data = transcoded(dicom(stored), UID + ".4.70", tmp_path)
    expected = decode_full(data)
    gdcm_process._stop_all()
    with monkeypatch.context() as patched:
        (tmp_path / "worker.py").write_text("import os, sys; sys.stdin.buffer.readline(); os.abort()")
        patched.setattr(gdcm_process, "_WORKER", tmp_path / "worker.py")
        with pytest.raises(DecodeError, match=r"^scan\.dcm: the pixels of the DICOM file are damaged"):
            decode_full(data, "scan.dcm")
    np.testing.assert_array_equal(decode_full(data), expected)


def test_gdcms_process_is_kept_and_replaced_when_it_was_killed(stored, tmp_path):
    data = transcoded(dicom(stored), UID + ".4.70", tmp_path)
    expected = decode_full(data)
    (process,) = gdcm_process._idle[os.getpid()]
    decode_full(data)
    assert gdcm_process._idle[os.getpid()] == [process]
    process.kill()
    process.wait()
    np.testing.assert_array_equal(decode_full(data), expected)


def test_threads_decode_side_by_side(stored, tmp_path):
    files = [transcoded(dicom(np.roll(stored, shift)), UID + ".4.70", tmp_path) for shift in range(8)]
    expected = [decode_full(data) for data in files]
    with ThreadPoolExecutor(4) as pool:
        for found, right in zip(pool.map(decode_full, files * 3), expected * 3, strict=True):
            np.testing.assert_array_equal(found, right)
    gdcm_process._stop_all()


@pytest.mark.parametrize("syntax", ["implicit", "explicit", "big endian"])
@pytest.mark.parametrize("meta", [True, False])
def test_a_file_without_preamble_is_known_by_its_first_elements(syntax, meta, stored, tmp_path):
    plain = dicom(stored)
    data = transcoded(plain, UID + SYNTAXES[syntax], tmp_path)
    length = struct.unpack("<I", data[140:144])[0]
    bare = data[132:] if meta else data[144 + length :]
    assert format_of(bare) == "DICOM"
    np.testing.assert_array_equal(decode_full(bare), decode_full(plain))


@pytest.mark.parametrize("data", [b"\x08\0\0\0", b"\x08\0" * 200, bytes(300), b"BM" + bytes(300), b"\0\x08text" * 50])
def test_other_bytes_are_not_taken_for_dicom(data):
    assert format_of(data) is None


def test_several_frames_are_refused_with_their_number(stored):
    with pytest.raises(DecodeError, match=r"scan\.dcm: the DICOM file holds 3 frames, not one image; export the frame"):
        decode_full(dicom(stored, NumberOfFrames=3, PixelData=stored.tobytes() * 3), "scan.dcm")
    np.testing.assert_array_equal(decode_full(dicom(stored, NumberOfFrames=1)), decode_full(dicom(stored)))


def test_an_overlay_in_the_unused_bits_is_ignored(stored):
    drawn = stored.copy()
    drawn[20:30] |= 0x8000
    dataset = pydicom.dcmread(io.BytesIO(dicom(drawn)))
    dataset.add_new(0x60000102, "US", 15)
    file = io.BytesIO()
    dataset.save_as(file)
    np.testing.assert_array_equal(decode_full(file.getvalue()), decode_full(dicom(stored)))


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_an_overlay_of_which_nothing_tells_is_ignored_and_declared_padding_is_kept(photometric, stored):
    tags = {
        "PhotometricInterpretation": photometric,
        "PixelPaddingValue": 65535,
        "WindowCenter": 2048,
        "WindowWidth": 4096,
    }
    drawn = stored.copy()
    drawn[20:60, 30:90] |= 0x1000
    drawn[100:110] |= 0x8000
    for picture in (stored, drawn):
        picture[:, -20:] = 65535
    found, doubts = decode_dicom(dicom(drawn, **tags), "scan.dcm")
    np.testing.assert_array_equal(found, decode_dicom(dicom(stored, **tags), "scan.dcm")[0])
    assert not found[:, -20:].any()
    assert doubts == ""


@pytest.mark.parametrize("bits", [8, 9, 10, 11])
@pytest.mark.parametrize("signed", [0, 1])
def test_values_of_more_bits_than_declared_are_believed_with_a_remark(bits, signed, stored):
    values = (stored.astype(np.int16) - 2048 * signed).view(np.uint16)
    tags = {"PixelRepresentation": signed, "WindowCenter": 2048 - 2048 * signed, "WindowWidth": 4096}
    found, doubts = decode_dicom(dicom(values, BitsStored=bits, HighBit=bits - 1, **tags), "scan.dcm")
    np.testing.assert_array_equal(found, decode_dicom(dicom(values, **tags), "scan.dcm")[0])
    assert doubts.startswith(f"values of more than the {bits} bits that the file declares were believed")


def test_signed_values_of_twelve_bits_whose_sign_is_not_repeated(stored):
    centred = stored.astype(np.int16) - 2048
    cut = dicom((centred & 0xFFF).astype(np.uint16), PixelRepresentation=1)
    found, doubts = decode_dicom(cut, "scan.dcm")
    np.testing.assert_array_equal(found, decode_full(dicom(centred.view(np.uint16), PixelRepresentation=1)))
    assert doubts == ""


def test_more_pixels_than_declared_are_refused_and_zeros_behind_them_are_not(stored):
    plain = decode_full(dicom(stored))
    for more in (b"\0\0", bytes(5000)):
        np.testing.assert_array_equal(decode_full(dicom(stored, PixelData=stored.tobytes() + more)), plain)
    small = (stored >> 4).astype(np.uint8)[:71, :95]
    np.testing.assert_array_equal(
        decode_full(dicom(small, PixelData=small.tobytes() + b"\x07")), decode_full(dicom(small))
    )
    for tags in (
        {"PixelData": stored.tobytes() * 2},
        {"Rows": 72},
        {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7},
    ):
        with pytest.raises(
            DecodeError, match=r"^scan\.dcm: the DICOM file holds .* bytes of pixels, more than .* need"
        ):
            decode_full(dicom(stored, **tags), "scan.dcm")


def test_samples_at_the_upper_end_of_their_container(stored):
    window = {"WindowCenter": 2048, "WindowWidth": 4096}
    expected = decode_full(dicom(stored, **window))
    np.testing.assert_array_equal(decode_full(dicom(stored << 4, HighBit=15, **window)), expected)
    undeclared = decode_full(dicom(stored << 4, BitsStored=16, HighBit=15, **window))
    np.testing.assert_allclose(undeclared.astype(int), expected, atol=1)


def test_a_missing_decoder_is_named_with_the_command_that_installs_it(stored, tmp_path, monkeypatch):
    from pydicom.pixels.decoders import base

    data = transcoded(dicom(stored), UID + ".4.70", tmp_path)
    monkeypatch.setattr(base.Decoder, "available_plugins", ())
    with pytest.raises(DecodeError) as caught:
        decode_full(data, "scan.dcm")
    assert "JPEG Lossless" in str(caught.value)
    assert str(caught.value).endswith(how_to_install("dicom"))


def test_an_unknown_transfer_syntax_says_how_to_export(stored, tmp_path):
    data = transcoded(dicom(stored), UID + ".4.70", tmp_path).replace(b"1.2.4.70", b"1.2.4.66")
    with pytest.raises(DecodeError, match=r"is not read; export the image uncompressed or as JPEG Lossless"):
        decode_full(data, "scan.dcm")


def test_no_message_is_that_of_python(stored):
    for keyword in ("Rows", "Columns", "PixelData"):
        with pytest.raises(DecodeError, match=r"^scan\.dcm: the DICOM file (does not say its|holds no pixels)"):
            decode_full(dicom(stored, **{keyword: None}), "scan.dcm")
    for keyword in ("SamplesPerPixel", "PixelRepresentation", "PhotometricInterpretation", "BitsStored", "HighBit"):
        np.testing.assert_array_equal(decode_full(dicom(stored, **{keyword: None})), decode_full(dicom(stored)))


def test_a_folder_named_like_a_module_that_gdcm_asks_for_does_no_harm(tmp_path):
    (tmp_path / "dl").mkdir()
    (tmp_path / "x.dcm").write_bytes(dicom(np.arange(72 * 96, dtype=np.uint16).reshape(72, 96), PatientID="Anna"))
    code = "from pneumo_tfds.decode.dicom_header import read_facts; print(read_facts(open('x.dcm', 'rb').read()))"
    path = f"{tmp_path}{os.pathsep}{Path(__file__).parents[3]}"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={**os.environ, "PYTHONPATH": path}, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert "Anna" in done.stdout, done.stderr


def test_a_jpeg_is_not_turned_by_its_exif_data_and_has_the_size_that_is_declared(stored):
    from pydicom.encaps import encapsulate

    grey = cv2.normalize(stored, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
    exif, frames = Image.Exif(), {}
    exif[274] = 3  # upside down
    for kind, options, side in (("plain", {}, 0), ("turned", {"exif": exif}, 0), ("small", {}, 8)):
        file = io.BytesIO()
        Image.fromarray(grey[side:]).save(file, "JPEG", quality=95, **options)
        frames[kind] = dicom(grey, "1.2.840.10008.1.2.4.50", PixelData=encapsulate([file.getvalue()]))
    np.testing.assert_array_equal(decode_full(frames["turned"]), decode_full(frames["plain"]))
    with pytest.raises(
        DecodeError, match=r"^a\.dcm: .* declares 192 x 144 pixels and holds a JPEG of 192 x 136; export"
    ):
        decode_full(frames["small"], "a.dcm")


@pytest.mark.skipif(sys.platform != "linux", reason="files in memory are of Linux")
def test_no_folder_is_needed_to_decompress():
    """In a container that can write nowhere every compressed file was called damaged."""
    from pneumo_tfds.decode.gdcm_worker import file_in_memory

    with file_in_memory() as file:
        assert os.readlink(f"/proc/self/fd/{file.fileno()}").startswith("/memfd:")
