"""The folder of `export.predict --dicom-out`."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import numpy as np
import numpy.typing as npt

from export.dicom_out.dicom_answers import DicomAnswers
from export.dicom_out.dicom_identity import check_against_others, read_identity
from export.dicom_out.secondary_capture import SIDE
from export.inference.classifier import Classifier, Prediction
from pneumo_tfds.decode import DecodeError
from pneumo_tfds.program.command import BAD_INPUT
from pneumo_tfds.program.files import write_bytes
from pneumo_tfds.program.wording import counted


class DicomFolder:
    """Writes the DICOM files of answers into a folder, and counts them.

    Raises:
        InputError: the model cannot say UNSUITABLE, see `DicomAnswers`.
    """

    picture_side = SIDE

    def __init__(self, folder: Path, classifier: Classifier) -> None:
        self._folder, self._answers = folder, DicomAnswers(classifier)
        self._counts, self._refused, self._told = Counter[str](), list[str](), dict[str, str]()

    def write(self, data: bytes, name: str, answer: Prediction, picture: npt.NDArray[np.uint8] | None) -> None:
        """Write the answer to one image; an image that cannot be answered in its study is kept for `report`.

        Raises:
            InputError: the folder cannot be written.
        """
        try:
            header = read_identity(data, name)
            check_against_others(header, data, name, self._told.setdefault)
        except DecodeError as error:
            self._refused.append(str(error))
            return
        for file in self._answers.files(header, answer, picture):
            write_bytes(self._folder / file.name, file.content)
            self._counts[file.kind] += 1

    def report(self) -> int:
        """Print a line for each image without an answer in DICOM; return the exit code: 2 if there is no other."""
        for line in self._refused:
            print(f"not written as DICOM: {line}", file=sys.stderr)
        written = ", ".join(counted(self._counts[kind], kind) for kind in ("Structured Report", "Secondary Capture"))
        print(f"written into {self._folder}: {written}", file=sys.stderr)
        return 0 if self._counts else BAD_INPUT
