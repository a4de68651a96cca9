"""Decompress the stored values of a DICOM image, in every transfer syntax that archives of radiographs use."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from pneumo_tfds.decode.dicom_bits import shifted
from pneumo_tfds.decode.dicom_damage import check_jpeg_2000, check_rle
from pneumo_tfds.decode.dicom_file import number_of, standing_for, value_of
from pneumo_tfds.decode.gdcm_process import decompress
from pneumo_tfds.decode.headers import DecodeError, check_size, read_header
from pneumo_tfds.decode.jpeg import decode_jpeg
from pneumo_tfds.program.installed import how_to_install
from pneumo_tfds.program.limits import MAX_DEEP_PIXELS

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_RLE, _JPEG_2000 = "1.2.840.10008.1.2.5", ("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91")
_BASELINE, _EXTENDED = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51"
_BY_GDCM = (_BASELINE, _EXTENDED, *(f"1.2.840.10008.1.2.4.{number}" for number in (57, 70, 80, 81)), *_JPEG_2000)
_LOSSY = (_EXTENDED, "1.2.840.10008.1.2.4.81", "1.2.840.10008.1.2.4.91")
_UNCOMPRESSED = tuple(f"1.2.840.10008.1.2{end}" for end in ("", ".1", ".1.99", ".2"))
_FRAMES = (b"\xff\xc0\x00\x0b", b"\xff\xc1\x00\x0b", b"\xff\xc2\x00\x0b")
"""Start of the frame header of a JPEG with one component: baseline, extended, progressive."""


_DESCRIPTION = (
    "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "SamplesPerPixel", "PixelRepresentation",
    "PlanarConfiguration", "PhotometricInterpretation",
)  # fmt: skip


def stored_values(dataset: Dataset, name: str) -> npt.NDArray[Any]:
    """Return the stored values `[height, width]`, or `[height, width, 3]` of a colour image, as integers.

    The bits above BitsStored are as the file has them (`pneumo_tfds.decode.dicom_bits`).

    Raises:
        DecodeError: there is no image, more than one, a decoder is not installed, or the pixels are damaged.
    """
    if not dataset.get("PixelData"):
        raise DecodeError(f"{name}: the DICOM file holds no pixels; remove it or export it with its image")
    frames = int(number_of(dataset, "NumberOfFrames", name, 1) or 1)
    if frames > 1:
        raise DecodeError(f"{name}: the DICOM file holds {frames:,} frames, not one image; export the frame you need")
    _fill_in(dataset, name)
    syntax = _transfer_syntax(dataset, name)
    with standing_for(name, "the pixels of the DICOM file are damaged; copy it again or export it from its archive"):
        if syntax in _BY_GDCM:
            return _compressed(dataset, syntax, name)
        from pydicom.encaps import get_frame
        from pydicom.pixels import pixel_array

        if syntax == _RLE:
            check_rle(get_frame(dataset.PixelData, 0, number_of_frames=1), dataset.Rows * dataset.Columns)
        elif syntax in _UNCOMPRESSED:
            _check_length(dataset, name)
        return shifted(pixel_array(dataset, index=0, correct_unused_bits=False), dataset)


def _check_length(dataset: Dataset, name: str) -> None:
    """Raise DecodeError if there are more pixels than Rows and Columns say; zeros behind the picture are no pixels.

    pydicom refuses what is too short.
    """
    needed = -(-dataset.Rows * dataset.Columns * dataset.SamplesPerPixel * dataset.BitsAllocated // 8)
    more = dataset.PixelData[needed:]
    if len(more) > 1 and more.strip(b"\0"):  # one byte makes the length even
        size = f"{dataset.Columns} x {dataset.Rows} pixels of {dataset.BitsAllocated} bits"
        raise DecodeError(
            f"{name}: the DICOM file holds {len(dataset.PixelData):,} bytes of pixels, more than {size} need, so its "
            "header is wrong; export it from its archive again"
        )


def _fill_in(dataset: Dataset, name: str) -> None:
    """Set what describes the pixels where it is empty and has a usual value; raise DecodeError where it has none."""
    needed = {"Columns": None, "Rows": None, "BitsAllocated": None, "SamplesPerPixel": 1, "PixelRepresentation": 0}
    for keyword, usual in needed.items():
        number = number_of(dataset, keyword, name, usual)
        if number is None:
            raise DecodeError(f"{name}: the DICOM file does not say its {keyword}; export it from its archive again")
        setattr(dataset, keyword, int(number))
    check_size(dataset.Columns, dataset.Rows, name, MAX_DEEP_PIXELS)
    if dataset.BitsAllocated not in (1, 8, 16):
        raise DecodeError(f"{name}: {dataset.BitsAllocated} bits a pixel are not those of a radiograph; remove it")
    bits = int(number_of(dataset, "BitsStored", name, 0) or 0)
    dataset.BitsStored = bits if 0 < bits <= dataset.BitsAllocated else dataset.BitsAllocated
    dataset.PhotometricInterpretation = (
        str(value_of(dataset, "PhotometricInterpretation", "MONOCHROME2")).strip().upper()
    )
    for keyword in ("NumberOfFrames", "PixelPaddingValue"):
        if keyword in dataset and value_of(dataset, keyword) is None:
            del dataset[keyword]


def _transfer_syntax(dataset: Dataset, name: str) -> str:
    """Return the transfer syntax; raise DecodeError if nothing decodes it."""
    from pydicom.pixels import get_decoder
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    syntax = dataset.file_meta.get("TransferSyntaxUID")
    if not syntax:  # of a file without preamble pydicom has found out
        if dataset["PixelData"].is_undefined_length:
            raise DecodeError(f"{name}: the DICOM file does not say how its pixels are compressed; export it again")
        implicit, little = dataset.original_encoding
        syntax = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        dataset.file_meta.TransferSyntaxUID = syntax
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError as error:
        raise DecodeError(
            f"{name}: the transfer syntax {syntax.name} is not read; export the image uncompressed or as JPEG Lossless"
        ) from error
    if not ("gdcm" in decoder.available_plugins if syntax in _BY_GDCM else decoder.is_available):
        raise DecodeError(f"{name}: {syntax.name} needs a decoder that is not installed; {how_to_install('dicom')}")
    return str(syntax)


def _compressed(dataset: Dataset, syntax: str, name: str) -> npt.NDArray[Any]:
    """Decode a grey JPEG of 8 bits as every other JPEG, and all else with GDCM."""
    from pydicom.encaps import get_frame

    frame = get_frame(dataset.PixelData, 0, number_of_frames=1)
    if syntax in (_BASELINE, _EXTENDED) and dataset.SamplesPerPixel == 1:
        position = next((at for marker in _FRAMES if (at := frame.find(marker)) >= 0), -1)
        if position < 0:
            raise ValueError("no frame header")
        if frame[position + 4] == 8:
            frame = frame.rstrip(b"\0")
            header = read_header(frame, name)
            if (header.width, header.height) != (dataset.Columns, dataset.Rows):
                raise DecodeError(
                    f"{name}: the DICOM file declares {dataset.Columns} x {dataset.Rows} pixels and holds a JPEG of "
                    f"{header.width} x {header.height}; export it from its archive again"
                )
            return decode_jpeg(frame, replace(header, turned=False), 1, name)  # EXIF data do not count in DICOM
    if syntax in _JPEG_2000:
        check_jpeg_2000(frame)
    description = {keyword: dataset.get(keyword) for keyword in _DESCRIPTION if dataset.get(keyword) is not None}
    values = decompress(frame, description | {"syntax": syntax})
    signed = values.dtype.kind == "u" and dataset.PixelRepresentation == 1
    values = shifted(values.astype(f"i{values.dtype.itemsize}") if signed else values, dataset)
    if syntax in _LOSSY and values.dtype.kind == "u":  # some values go beyond, and no overlay survives
        dataset.BitsStored = 8 * values.dtype.itemsize
    return values
