"""Decompress frames with GDCM, as a program: one request after the other from standard input, until it ends.

A request is a line of JSON, the elements that describe the frame, followed by its bytes. An answer is a line of JSON
with type and shape of the values and the lines that the libraries printed, followed by the values. `gdcm_process`
starts this file by its path, so it imports nothing of this package.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import tempfile
import warnings
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

EXTENDED = "1.2.840.10008.1.2.4.51"


def main() -> None:
    """Answer requests. What the native libraries print goes to a file instead of standard error."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the program that reads the answers
    logging.disable()
    warnings.simplefilter("ignore")
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    with file_in_memory() as printed:
        os.dup2(printed.fileno(), 2)
        while line := requests.readline():
            description = json.loads(line)
            frame = requests.read(description.pop("length"))
            values = _decoded(frame, description)
            printed.seek(0)
            lines = printed.read().decode(errors="replace").splitlines()
            printed.seek(0)
            printed.truncate()
            _answer(answers, values, lines)


def file_in_memory() -> BinaryIO:
    """Return a file that needs no folder where the system has such: a container may have none that can be written."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("printed"), "w+b")
    return tempfile.TemporaryFile()  # type: ignore[return-value]


def _decoded(frame: bytes, description: dict[str, Any]) -> npt.NDArray[Any] | None:
    try:
        if description["syntax"] == EXTENDED and description["SamplesPerPixel"] == 1:
            return _twelve_bits(frame, description["Rows"], description["Columns"])
        return _by_pydicom(frame, description)
    except (ArithmeticError, AttributeError, LookupError, OSError, RuntimeError, TypeError, ValueError):  # damaged
        return None


def _by_pydicom(frame: bytes, description: dict[str, Any]) -> npt.NDArray[Any]:
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.encaps import encapsulate
    from pydicom.pixels import pixel_array

    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = description.pop("syntax")
    for keyword, value in description.items():
        setattr(dataset, keyword, value)
    dataset.PixelData = encapsulate([frame])
    dataset["PixelData"].VR = "OB"
    return np.asarray(pixel_array(dataset, index=0, decoding_plugin="gdcm", correct_unused_bits=False))


def _twelve_bits(frame: bytes, rows: int, columns: int) -> npt.NDArray[np.uint16]:
    """Decode a grey JPEG of 12 bits with GDCM, which can; pydicom's own call of GDCM refuses."""
    import gdcm

    fragment, fragments = gdcm.Fragment(), gdcm.SequenceOfFragments.New()
    fragment.SetByteStringValue(frame)
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((columns, rows, 1))
    image.SetDataElement(element)
    grey = gdcm.PhotometricInterpretation.GetPIType("MONOCHROME2")
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(grey))
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(EXTENDED)))
    image.SetPixelFormat(gdcm.PixelFormat(1, 16, 12, 11, 0))
    content = image.GetBuffer().encode("utf-8", "surrogateescape")  # bytes, which GDCM's wrapper calls a text
    return np.frombuffer(content, "<u2").reshape(rows, columns)


def _answer(answers: BinaryIO, values: npt.NDArray[Any] | None, lines: list[str]) -> None:
    kind, shape = (None, []) if values is None else (values.dtype.str, list(values.shape))
    answers.write(json.dumps({"dtype": kind, "shape": shape, "lines": lines}).encode() + b"\n")
    if values is not None:
        answers.write(np.ascontiguousarray(values).tobytes())
    answers.flush()


if __name__ == "__main__":
    main()
