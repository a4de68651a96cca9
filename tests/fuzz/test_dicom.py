"""DICOM files with wrong bytes and with wrong values: a grey square, or one line that starts with the image's name."""

import functools
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import image_files
from image_files import patient_of
from pneumo_tfds.decode import DecodeError, decode

pytest.importorskip("pydicom")

NAME = "train/NORMAL/a.dcm"
PIXELS = (np.arange(18 * 20, dtype=np.uint16).reshape(18, 20) * 11) % 4096
EXPLICIT, RLE, JPEG = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.50"


def dicom(syntax=EXPLICIT, **tags):
    return image_files.dicom(PIXELS, syntax, **{"PatientID": "Anna"} | tags)


def encapsulated(syntax, frame, **tags):
    from pydicom.encaps import encapsulate

    bits = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7, "PixelData": encapsulate([frame])}
    return dicom(syntax, **bits, **tags)


@functools.cache
def files():
    from pydicom.pixels.encoders import RLELosslessEncoder

    picture = (PIXELS // 16).astype(np.uint8)
    jpeg = io.BytesIO()
    Image.fromarray(picture).save(jpeg, "JPEG")
    packed = RLELosslessEncoder.encode(
        picture.tobytes(), rows=18, columns=20, samples_per_pixel=1, number_of_frames=1, bits_allocated=8,
        bits_stored=8, pixel_representation=0, photometric_interpretation="MONOCHROME2",
    )  # fmt: skip
    colour = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0}
    eight = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}
    return [
        dicom(),
        dicom(WindowCenter=2048, WindowWidth=1000, RescaleSlope=2, RescaleIntercept=-5, RescaleType="US"),
        dicom(PhotometricInterpretation="MONOCHROME1", PixelPaddingValue=0, PixelPaddingRangeLimit=11),
        dicom(PixelData=np.repeat(picture, 3, axis=1).tobytes(), **colour, **eight),
        encapsulated(RLE, packed),
        encapsulated(JPEG, jpeg.getvalue()),
    ]


def check(data):
    found = decode(data, 32, NAME)
    assert (found.shape, found.dtype) == ((32, 32, 1), np.uint8)


def test_the_originals_are_right():
    for data in files():
        check(data)


@given(data=st.data())
def test_dicom_bytes(data, mutated, input_error_only):
    changed = data.draw(mutated(files()))
    assert isinstance(patient_of(changed), str)
    with input_error_only(NAME):
        check(changed)


WORDS = st.sampled_from(
    ["", "nan", "inf", "-1", "0", "1e308", "65535", "MONOCHROME1", "RGB", "PALETTE COLOR", "YBR_FULL"]
)
NUMBERS = st.sampled_from([0, 1, 2, 3, 8, 12, 15, 16, 17, 32, 64, 255, 4095, 40_000, 65_535])
DECIMALS = ["WindowCenter", "WindowWidth", "RescaleSlope", "RescaleIntercept"]
SHORTS = [
    "Rows", "Columns", "SamplesPerPixel", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation",
    "PlanarConfiguration", "PixelPaddingValue", "PixelPaddingRangeLimit", "SmallestImagePixelValue",
]  # fmt: skip
TEXTS = [
    "PhotometricInterpretation",
    "NumberOfFrames",
    "PatientID",
    "VOILUTFunction",
    "RescaleType",
    "SpecificCharacterSet",
]


@st.composite
def odd_values(draw):
    """A DICOM file that is well-formed and says things that do not fit together."""
    from pydicom.dataset import Dataset

    tags = {}
    for name in draw(st.lists(st.sampled_from([*DECIMALS, *SHORTS, *TEXTS]), min_size=1, max_size=4)):
        if name in SHORTS:
            tags[name] = draw(NUMBERS)
        elif name in TEXTS:
            tags[name] = draw(WORDS)
        else:
            tags[name] = draw(WORDS.filter(lambda word: word[:1] not in "MRPYn"))
    for name in draw(st.sets(st.sampled_from(["VOILUTSequence", "ModalityLUTSequence"]))):
        item = Dataset()
        item.LUTDescriptor = draw(st.lists(NUMBERS, min_size=0, max_size=4))
        item.LUTData = draw(st.lists(NUMBERS, max_size=8))
        tags[name] = draw(st.sampled_from([[], [item], [Dataset()], [item, item]]))
    return tags


@given(tags=odd_values())
def test_dicom_values(tags, input_error_only):
    try:
        data = dicom(**tags)
    except (ArithmeticError, AttributeError, LookupError, OSError, TypeError, ValueError):  # pydicom will not write it
        return
    with input_error_only(NAME):
        check(data)


def test_a_file_that_is_deflated_as_a_whole_is_unpacked_up_to_a_limit():
    """Pydicom would unpack it without one: 1 MB may hold 1 GB."""
    plain, packed = dicom(), dicom("1.2.840.10008.1.2.1.99")
    np.testing.assert_array_equal(decode(packed, 32, NAME), decode(plain, 32, NAME))
    assert patient_of(packed) == "Anna"
    bomb = dicom("1.2.840.10008.1.2.1.99", PixelData=bytes(64 << 20))
    assert len(bomb) < 1 << 20
    with pytest.raises(DecodeError, match=r"inflates to more than \d+ MiB"):
        decode(bomb, 32, NAME)
    for damaged in (packed[:-20], packed[:-100] + bytes(100)):
        with pytest.raises(DecodeError, match=r"deflated DICOM file is (damaged|truncated)"):
            decode(damaged, 32, NAME)


@pytest.mark.parametrize(
    "tags",
    [
        {"WindowCenter": "nan", "WindowWidth": "10"},
        {"RescaleSlope": "inf", "RescaleIntercept": "0"},
        {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0, "Columns": 6, "Rows": 20},
        {"Rows": 7000, "Columns": 6000},
    ],
)
def test_values_that_no_radiograph_has(tags):
    """A window of no numbers gave a picture of rubbish, and colours of 16 bits wrapped around."""
    with pytest.raises(DecodeError, match=NAME):
        decode(dicom(**tags), 32, NAME)
