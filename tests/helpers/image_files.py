"""Small pictures, and image files as nobody's software would write them."""

import io
import struct
import zlib

import cv2
import numpy as np


def picture(seed: int, width: int = 96, height: int = 72) -> np.ndarray:
    """uint8 `[height, width]`, smooth, unlike that of any other seed."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8), dtype=np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


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
