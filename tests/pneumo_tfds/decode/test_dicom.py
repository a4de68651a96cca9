"""DICOM radiographs: windows, inversion, padding, and files that have no picture."""

from __future__ import annotations

import struct
import sys

import numpy as np
import pytest

from image_files import dicom
from pneumo_tfds.decode import DecodeError, decode, decode_full
from pneumo_tfds.decode.dicom import patient_of
from pneumo_tfds.sources.opening import open_source

pytest.importorskip("pydicom")

INVERTED = {"PhotometricInterpretation": "MONOCHROME1"}


@pytest.fixture
def stored(picture):
    """12-bit values over the whole range."""
    grey = picture(1).astype(np.float32)
    return np.rint((grey - grey.min()) / (grey.max() - grey.min()) * 4095).astype(np.uint16)


def test_values_are_scaled_to_their_range(stored):
    out = decode_full(dicom(stored))
    np.testing.assert_allclose(out, stored / 4095 * 255, atol=0.51)


def test_monochrome1_is_inverted(stored):
    np.testing.assert_array_equal(decode_full(dicom(stored, **INVERTED)), 255 - decode_full(dicom(stored)))


def test_window_is_applied_before_the_inversion(stored):
    window = {"WindowCenter": 2048, "WindowWidth": 1024}
    out, inverted = (
        decode_full(dicom(stored, **window)),
        decode_full(dicom(stored, **INVERTED, **window)),
    )
    assert out[stored < 1500].max() == 0
    assert out[stored > 2600].min() == 255
    middle = (stored > 1600) & (stored < 2500)
    np.testing.assert_allclose(out[middle], (stored[middle] - 1536.0) / 1023 * 255, atol=1.5)
    np.testing.assert_array_equal(inverted, 255 - out)


def test_padding_is_black_and_does_not_set_the_range(stored):
    padded = np.clip(stored, 500, 1500)
    padded[:, :10] = 4000
    plain = decode_full(dicom(padded, PixelPaddingValue=4000))
    assert plain[:, :10].max() == 0
    assert plain[:, 10:].max() == 255
    assert decode_full(dicom(padded, PixelPaddingValue=4000, **INVERTED))[:, :10].max() == 0


def test_rescale_does_not_change_the_picture(stored):
    plain = decode_full(dicom(stored, WindowCenter=2048, WindowWidth=2000))
    rescaled = decode_full(
        dicom(stored, RescaleSlope=2, RescaleIntercept=-1000, RescaleType="US", WindowCenter=3096, WindowWidth=4000)
    )
    np.testing.assert_allclose(plain, rescaled, atol=1)


def test_decode_gives_the_same_square_as_for_jpeg(stored):
    assert decode(dicom(stored), 40).shape == (40, 40, 1)


def test_without_pixels(stored):
    with pytest.raises(DecodeError, match=r"scan\.dcm: the DICOM file holds no pixels"):
        decode(dicom(None), 40, "scan.dcm")


def test_truncated(stored):
    with pytest.raises(DecodeError, match=r"scan\.dcm: "):
        decode(dicom(stored)[:2000], 40, "scan.dcm")


def test_absurd_size(stored):
    with pytest.raises(DecodeError, match="50000 x 50000"):
        decode(dicom(stored, Rows=50_000, Columns=50_000), 40, "scan.dcm")


def test_missing_extra_says_what_to_install(stored, monkeypatch):
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(DecodeError, match=r"pip install '\.\[dicom\]'"):
        decode(dicom_bytes_only(), 40, "scan.dcm")


def test_patient_comes_from_the_header_where_the_name_tells_none(stored, tmp_path):
    for index, (label, patient) in enumerate([("NORMAL", "Anna"), ("NORMAL", "Anna"), ("PNEUMONIA", "Bert")]):
        path = tmp_path / "s" / label / f"{index}.dcm"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(dicom(stored, PatientID=patient))
    (tmp_path / "s/PNEUMONIA/3.dcm").write_bytes(dicom(stored))
    patients = [image.patient for image in open_source(tmp_path / "s").images]
    assert patients[0] == patients[1] != patients[2]
    assert patients[3] == "file:PNEUMONIA/3.dcm"
    assert not any(name in " ".join(patients) for name in ("Anna", "Bert")), "ids of people stay out of the dataset"


def dicom_bytes_only() -> bytes:
    return b"\0" * 128 + b"DICM" + b"\0" * 100


def test_a_value_of_broken_length_is_no_patient_and_no_picture():
    number = struct.pack("<HH2sH", 0x0002, 0x0000, b"UL", 5) + b"\x94\x00\x00\x00\x02"  # 4 bytes each
    broken = b"\0" * 128 + b"DICM" + number
    assert patient_of(broken) == ""
    with pytest.raises(DecodeError):
        decode(broken, 32)
