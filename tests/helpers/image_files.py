"""Small pictures, and image files as nobody's software would write them."""

import contextlib
import io
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np


def picture(seed: int, width: int = 96, height: int = 72) -> np.ndarray:
    """uint8 `[height, width]`, smooth, unlike that of any other seed."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8), dtype=np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def partly_coloured(blocks: int) -> np.ndarray:
    """BGR uint8 `[80, 80, 3]`, a grey picture in which so many of the 100 blocks of 8 x 8 are tinted red."""
    pixels = np.dstack([picture(3, 80, 80)] * 3)
    for place in range(blocks):
        top, left = 8 * (place // 10), 8 * (place % 10)
        pixels[top : top + 8, left : left + 8] = (60, 60, 200)
    return pixels


def jpeg(pixels: np.ndarray) -> bytes:
    return cv2.imencode(".jpeg", pixels)[1].tobytes()


def png_chunk(kind: bytes, content: bytes = b"") -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, body: bytes = b"", colour: int = 0) -> bytes:
    """A PNG that declares a size, whatever its `body` holds."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + body + png_chunk(b"IEND")


def dicom(pixels: np.ndarray | None, syntax: str = "1.2.840.10008.1.2.1", **tags: object) -> bytes:
    """A DICOM file of uint8 or (12-bit values) uint16 `[height, width]`; `tags` are set as they are."""
    import pydicom
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import UID, SecondaryCaptureImageStorage

    meta = FileMetaDataset()
    meta.TransferSyntaxUID = UID(syntax)
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = SecondaryCaptureImageStorage, "1.2.3"
    dataset = Dataset()
    dataset.file_meta = meta
    dataset.SOPClassUID, dataset.SOPInstanceUID = SecondaryCaptureImageStorage, "1.2.3"
    dataset.PhotometricInterpretation, dataset.SamplesPerPixel, dataset.PixelRepresentation = "MONOCHROME2", 1, 0
    small = pixels is not None and pixels.dtype == np.uint8
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = (8, 8, 7) if small else (16, 12, 11)
    dataset.Rows, dataset.Columns = (72, 96) if pixels is None else pixels.shape[:2]
    if pixels is not None:
        dataset.PixelData = pixels.astype("u1" if small else "<u2").tobytes()
    for name, value in tags.items():
        setattr(dataset, name, value)
    file = io.BytesIO()
    pydicom.dcmwrite(file, dataset, enforce_file_format=True)
    return file.getvalue()


def jpeg_of_blocks(levels: np.ndarray, bits: int = 12) -> bytes:
    """A JPEG (extended, sequential) of 8 x 8 blocks of one grey level each; `levels` is int `[rows, columns]`."""

    def segment(marker: int, content: bytes) -> bytes:
        return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content

    codes, before = "", 0
    for level in levels.ravel() - (1 << bits - 1):  # the quantiser is 8, so the mean's coefficient is the level
        change, before = int(level) - before, int(level)
        size = abs(change).bit_length()
        magnitude = f"{change if change > 0 else change + (1 << size) - 1:0{size}b}" if size else ""
        codes += f"{size:05b}{magnitude}0"  # the last bit: no other coefficients
    codes += "1" * (-len(codes) % 8)
    scan = int(codes, 2).to_bytes(len(codes) // 8, "big").replace(b"\xff", b"\xff\0")
    height, width = (8 * side for side in levels.shape)
    return (
        b"\xff\xd8"
        + segment(0xDB, b"\0" + bytes([8]) * 64)
        + segment(0xC1, struct.pack(">BHHBBBB", bits, height, width, 1, 1, 0x11, 0))
        + segment(0xC4, b"\0" + bytes([0, 0, 0, 0, 16, *[0] * 11]) + bytes(range(16)))  # sizes, 5 bits each
        + segment(0xC4, b"\x10" + bytes([1, *[0] * 15]) + b"\0")  # end of block, 1 bit
        + segment(0xDA, bytes([1, 1, 0, 0, 63, 0]))
        + scan
        + b"\xff\xd9"
    )


def transcoded(data: bytes, syntax: str, folder: Path) -> bytes:
    """The same DICOM image in another transfer syntax, written by GDCM."""
    import gdcm

    reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
    (folder / "before.dcm").write_bytes(data)
    reader.SetFileName(str(folder / "before.dcm"))
    assert reader.Read()
    change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(syntax)))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer.SetFileName(str(folder / "after.dcm"))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    return (folder / "after.dcm").read_bytes()


def patient_of(data: bytes) -> str:
    """The patient in the header of a DICOM file; empty if it tells none or cannot be read, as a source reads it."""
    from pneumo_tfds.decode import DecodeError
    from pneumo_tfds.decode.dicom_header import read_facts

    with contextlib.suppress(DecodeError):
        return read_facts(data).patient
    return ""
