"""DICOM radiographs: windows, inversion, padding, and files that have no picture."""

from __future__ import annotations

import struct
import sys

import cv2
import numpy as np
import pytest

from image_files import dicom, patient_of
from pneumo_tfds.decode import DecodeError, decode, decode_full
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


@pytest.mark.parametrize("window", [{}, {"WindowCenter": 2048, "WindowWidth": 3000}])
@pytest.mark.parametrize(
    ("photometric", "shape", "inverted"),
    [
        ("MONOCHROME2", "IDENTITY", False),
        ("MONOCHROME2", "", False),
        ("MONOCHROME2", "INVERSE", True),
        ("MONOCHROME1", "INVERSE", True),
        ("MONOCHROME1", "IDENTITY", True),
        ("monochrome1", None, True),
    ],
)
def test_the_presentation_lut_and_the_photometric_interpretation_invert_once(
    stored, photometric, shape, inverted, window
):
    plain = decode_full(dicom(stored, **window))
    out = decode_full(dicom(stored, PhotometricInterpretation=photometric, PresentationLUTShape=shape, **window))
    np.testing.assert_array_equal(out, 255 - plain if inverted else plain)


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


def test_padding_does_not_change_how_outliers_are_found(stored):
    padded = np.kron(stored, np.ones((5, 5), np.uint16))
    padded[:, :100] = 60_000
    hot = padded.copy()
    hot[200:202, 300] = 65_535
    tags = {"PixelPaddingValue": 60_000, "BitsStored": 16, "HighBit": 15}
    out, expected = decode_full(dicom(hot, **tags)), decode_full(dicom(padded, **tags))
    out[200:202, 300] = expected[200:202, 300]
    np.testing.assert_array_equal(out, expected)


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
    with pytest.raises(DecodeError, match=r"pip install '.*\[dicom\]'"):
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


WINDOW = {"WindowCenter": 2048, "WindowWidth": 4096}


def sequence(**values):
    from pydicom.dataset import Dataset
    from pydicom.sequence import Sequence

    item = Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return Sequence([item])


def table(entries, bits=16, first=0):
    return sequence(LUTDescriptor=[len(entries), first, bits], LUTData=np.asarray(entries, "<u2").tobytes())


@pytest.mark.parametrize(
    "keyword",
    [
        "WindowCenter", "WindowWidth", "RescaleSlope", "RescaleIntercept", "VOILUTSequence", "ModalityLUTSequence",
        "PixelPaddingValue", "PixelPaddingRangeLimit", "VOILUTFunction", "NumberOfFrames", "PatientID", "RescaleType",
    ],
)  # fmt: skip
def test_an_empty_element_counts_as_absent(keyword, stored):
    empty = [] if keyword.endswith("Sequence") else None
    np.testing.assert_array_equal(decode_full(dicom(stored, **{keyword: empty})), decode_full(dicom(stored)))
    with_window = WINDOW if keyword[:6] != "Window" else {}
    np.testing.assert_array_equal(
        decode_full(dicom(stored, **(with_window | {keyword: empty}))), decode_full(dicom(stored, **with_window))
    )


@pytest.mark.parametrize("keyword", ["VOILUTSequence", "ModalityLUTSequence"])
@pytest.mark.parametrize(
    "values",
    [{}, {"LUTDescriptor": None}, {"LUTDescriptor": [4, 0, 16]}, {"LUTDescriptor": [4, 0, 16], "LUTData": None}],
)
def test_a_table_without_descriptor_or_entries_counts_as_absent(keyword, values, stored):
    expected = decode_full(dicom(stored, **WINDOW))
    np.testing.assert_array_equal(decode_full(dicom(stored, **WINDOW, **{keyword: sequence(**values)})), expected)


@pytest.mark.parametrize("width", [0, -5])
def test_a_window_of_no_width_counts_as_absent(width, stored):
    np.testing.assert_array_equal(
        decode_full(dicom(stored, WindowCenter=2048, WindowWidth=width)), decode_full(dicom(stored))
    )


def test_the_first_of_several_windows_is_taken(stored):
    several = dicom(stored, WindowCenter=[2048, 100], WindowWidth=[2000, 10])
    np.testing.assert_array_equal(decode_full(several), decode_full(dicom(stored, WindowCenter=2048, WindowWidth=2000)))


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_window_functions_are_those_of_pydicom(function, stored):
    from pydicom.pixels import apply_windowing

    data = dicom(stored, WindowCenter=2000, WindowWidth=1501, VOILUTFunction=function)
    import io

    import pydicom

    shown = apply_windowing(stored, pydicom.dcmread(io.BytesIO(data))) / 4095 * 255
    np.testing.assert_allclose(decode_full(data), shown, atol=1)


def test_a_negative_slope_reverses_the_picture_with_and_without_a_window(stored):
    small = (stored >> 4).astype(np.uint8)
    positive = decode_full(dicom(small, RescaleSlope=10, RescaleIntercept=0, WindowCenter=1275, WindowWidth=2550))
    reverse = {"RescaleSlope": -10, "RescaleIntercept": 3000}
    with_window = decode_full(dicom(small, **reverse, WindowCenter=1725, WindowWidth=2550))
    without = decode_full(dicom(small, **reverse))
    np.testing.assert_allclose(with_window.astype(int), 255 - positive.astype(int), atol=1)
    np.testing.assert_allclose(with_window.astype(int), without, atol=1)
    deep = decode_full(dicom(stored, RescaleSlope=-1, RescaleIntercept=4095))
    np.testing.assert_array_equal(deep, decode_full(dicom(4095 - stored)))


@pytest.mark.parametrize("most", [255, 1023, 4095, 65535])
def test_the_range_of_a_table_is_that_of_its_entries(most, stored):
    entries = np.rint(np.arange(4096) / 4095 * most)
    out = decode_full(dicom(stored, VOILUTSequence=table(entries)))
    np.testing.assert_allclose(out.astype(int), decode_full(dicom(stored, **WINDOW)), atol=1)


def test_a_table_of_eight_bits_packed_and_not(stored):
    entries = (np.arange(4096) // 16).astype(np.uint8)
    expected = decode_full(dicom(stored, **WINDOW))
    packed = sequence(LUTDescriptor=[4096, 0, 8], LUTData=entries.tobytes())
    for lut in (packed, table(entries, bits=8)):
        np.testing.assert_allclose(decode_full(dicom(stored, VOILUTSequence=lut)).astype(int), expected, atol=1)


def test_a_table_starts_at_its_first_mapped_value(stored):
    narrow = table(np.arange(1024), first=1000)
    out = decode_full(dicom(stored, VOILUTSequence=narrow))
    np.testing.assert_allclose(out, np.clip((stored - 1000.0) / 1023 * 255, 0, 255), atol=1)


def test_signed_values_with_a_window_a_table_and_neither(stored):
    signed = stored.astype(np.int16) - 2048
    tags = {"PixelRepresentation": 1}
    expected = decode_full(dicom(stored, **WINDOW))
    np.testing.assert_allclose(
        decode_full(dicom(signed, **tags, WindowCenter=0, WindowWidth=4096)).astype(int), expected, atol=1
    )
    np.testing.assert_array_equal(decode_full(dicom(signed, **tags)), decode_full(dicom(stored)))
    unsigned = table(np.arange(4096))
    unsigned[0].add_new(0x00283002, "US", [4096, 65536 - 2048, 16])
    for lut in (table(np.arange(4096), first=-2048), unsigned):
        out = decode_full(dicom(signed, **tags, VOILUTSequence=lut))
        np.testing.assert_allclose(out.astype(int), expected, atol=1)
    padded = signed.copy()
    padded[:, :10] = -2000
    assert decode_full(dicom(padded, **tags, PixelPaddingValue=-2000))[:, :10].max() == 0


def test_a_modality_table_is_applied_before_the_window(stored):
    reverse = table(4095 - np.arange(4096))
    out = decode_full(dicom(stored, **WINDOW, ModalityLUTSequence=reverse))
    np.testing.assert_allclose(out.astype(int), decode_full(dicom(4095 - stored, **WINDOW)), atol=1)


def test_a_table_that_is_cut_is_refused(stored):
    cut = sequence(LUTDescriptor=[4096, 0, 16], LUTData=np.arange(100, dtype="<u2").tobytes())
    with pytest.raises(DecodeError, match=r"VOILUTSequence of the DICOM file has 100 of 4,096 values"):
        decode_full(dicom(stored, VOILUTSequence=cut))


@pytest.mark.parametrize(
    "window",
    [(32768, 65536), (9000, 100), (-500, 100), (2048, 2), (2048, 120)],
    ids=["16 bit", "black", "white", "two levels", "nearly two levels"],
)
def test_a_window_that_shows_nothing_is_not_believed(window, stored):
    from pneumo_tfds.decode.dicom import decode_dicom

    data = dicom(stored, WindowCenter=window[0], WindowWidth=window[1])
    out, remark = decode_dicom(data, "scan.dcm")
    np.testing.assert_array_equal(out, decode_full(dicom(stored)))
    assert "in the file's own window" in remark
    assert decode_dicom(dicom(stored, **WINDOW), "scan.dcm")[1] == ""


@pytest.mark.parametrize("levels", [(178, 250), (5, 80)], ids=["bright", "dark"])
def test_a_window_is_judged_by_the_picture_that_it_shows(levels, picture):
    from pneumo_tfds.decode.dicom import decode_dicom

    grey = np.rint(np.interp(picture(1), (0, 255), levels) * 16).astype(np.uint16)
    whole = {"WindowCenter": 2048, "WindowWidth": 4096}
    out, remark = decode_dicom(dicom(grey, **whole), "scan.dcm")
    inverted, same = decode_dicom(dicom(4095 - grey, **INVERTED, **whole), "scan.dcm")
    assert remark == same
    np.testing.assert_allclose(inverted.astype(int), out, atol=1)


def test_a_hot_pixel_does_not_darken_a_file_without_a_window(stored):
    drawn = stored.copy()
    drawn[40, 40] = 65535
    out, expected = decode_full(dicom(drawn, BitsStored=16, HighBit=15)), decode_full(dicom(stored))
    out[40, 40] = expected[40, 40]
    np.testing.assert_array_equal(out, expected)


def test_a_marker_of_several_values_does_not_darken_a_file_without_a_window(stored):
    drawn = stored.copy()
    drawn[4:14, 4:17] = np.linspace(30_000, 65_535, 13)
    png = decode_full(cv2.imencode(".png", drawn)[1].tobytes())
    out, expected = decode_full(dicom(drawn, BitsStored=16, HighBit=15)), decode_full(dicom(stored))
    np.testing.assert_array_equal(out, png)
    np.testing.assert_allclose(out[20:].astype(int), expected[20:], atol=4)


def test_eight_bits_without_a_window_are_shown_as_they_are(stored):
    small = (stored >> 5).astype(np.uint8) + 20
    np.testing.assert_array_equal(decode_full(dicom(small)), small)
    signed = dicom((small.astype(int) - 128).astype(np.int8).view(np.uint8), PixelRepresentation=1)
    np.testing.assert_array_equal(decode_full(signed), small)
    np.testing.assert_array_equal(decode_full(dicom(stored, BitsStored=8, HighBit=7)), decode_full(dicom(stored)))


@pytest.mark.parametrize("keyword", ["WindowCenter", "RescaleSlope"])
def test_a_value_that_is_no_number_is_named(keyword, stored):
    data = dicom(stored, WindowCenter="1234", WindowWidth="1234", RescaleSlope="1234", RescaleIntercept="0")
    tag = {"WindowCenter": b"\x28\0\x50\x10DS\x04\0", "RescaleSlope": b"\x28\0\x53\x10DS\x04\0"}[keyword]
    with pytest.raises(DecodeError, match=rf"^scan\.dcm: the DICOM file's {keyword} is not a number; export"):
        decode_full(data.replace(tag + b"1234", tag + b"wide"), "scan.dcm")


SPACINGS = ["PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing", "PixelAspectRatio"]


@pytest.mark.parametrize("keyword", SPACINGS)
@pytest.mark.parametrize(("rows", "columns"), [(2, 1), (1, 2), (3, 2)])
def test_a_picture_of_oblong_pixels_is_not_stretched(keyword, rows, columns, stored):
    height, width = stored.shape
    narrow = cv2.resize(stored, (width // rows * columns if rows > columns else width, height))
    square = decode_full(dicom(narrow))
    out = decode_full(dicom(narrow, **{keyword: [rows, columns]}))
    tall, wide = round(height * max(1, rows / columns)), round(narrow.shape[1] * max(1, columns / rows))
    assert out.shape == (tall, wide)
    np.testing.assert_array_equal(out, cv2.resize(square, (wide, tall)))


@pytest.mark.parametrize(
    "tags",
    [
        {"PixelSpacing": [0.143, 0.144]},
        {"PixelSpacing": None, "PixelAspectRatio": None},
        {"PixelSpacing": [0, 0]},
        {"PixelAspectRatio": [1, 0]},
        {"PixelAspectRatio": 1},
        {"PixelSpacing": [0.2, 0.2], "PixelAspectRatio": [2, 1]},
        {"PixelSpacing": [0.2, 0.2], "ImagerPixelSpacing": [0.2, 0.1]},
    ],
)
def test_pixels_that_are_nearly_square_or_of_unknown_shape_stay_as_they_are(tags, stored):
    np.testing.assert_array_equal(decode_full(dicom(stored, **tags)), decode_full(dicom(stored)))


def test_an_empty_spacing_leaves_it_to_the_next_element(stored):
    tags = {"PixelSpacing": None, "ImagerPixelSpacing": [0, 0], "PixelAspectRatio": [2, 1]}
    assert decode_full(dicom(stored, **tags)).shape == (144, 96)


def test_colour_exports_of_oblong_pixels_are_not_stretched(stored):
    tags = {"SamplesPerPixel": 3, "PlanarConfiguration": 0, "PhotometricInterpretation": "RGB"}
    colour = np.repeat((stored >> 4).astype(np.uint8)[..., None], 3, axis=2)
    assert decode_full(dicom(colour, **tags, PixelAspectRatio=[1, 2])).shape == (72, 192)


def test_absurd_and_unreadable_pixel_shapes_are_refused(stored):
    with pytest.raises(DecodeError, match=r"^scan\.dcm: by its PixelAspectRatio a pixel is 100 times as high"):
        decode_full(dicom(stored, PixelAspectRatio=[100, 1]), "scan.dcm")
    data = dicom(stored, PixelSpacing=[1.25, 1.25]).replace(b"1.25\\1.25", b"wide\\1.25")
    with pytest.raises(DecodeError, match=r"^scan\.dcm: the DICOM file's PixelSpacing is not a number; export"):
        decode_full(data, "scan.dcm")
    with pytest.raises(DecodeError, match="the limit is"):
        decode_full(dicom(np.resize(stored, (6400, 6200)), PixelAspectRatio=[4, 1]))
