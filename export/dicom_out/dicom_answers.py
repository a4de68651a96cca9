"""From an image and its answer to the DICOM files that carry the answer."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from export.dicom_out.secondary_capture import secondary_capture
from export.dicom_out.structured_report import Model, structured_report
from export.inference.classifier import Classifier, Prediction
from export.inference.decision import UNSUITABLE
from pneumo_tfds import __version__
from pneumo_tfds.decode.dicom_file import import_pydicom
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.installed import require_installed

if TYPE_CHECKING:
    from pydicom.dataset import Dataset


class AnswerFile(NamedTuple):
    """One DICOM file of an answer."""

    kind: str
    """`Structured Report` or `Secondary Capture`."""
    name: str
    content: bytes


class DicomAnswers:
    """Makes the DICOM files of one model's answers.

    Args:
        classifier: the model.

    Raises:
        InputError: the model, or the flags it was opened with, cannot say UNSUITABLE.
    """

    def __init__(self, classifier: Classifier) -> None:
        if classifier.two_way:
            raise InputError(
                f"{classifier.path} decides NORMAL or PNEUMONIA whatever the image is, so nothing of it is written as "
                "DICOM; leave --two-way and --threshold out, or export the run again if its file knows two answers only"
            )
        import_pydicom("an answer as DICOM")
        require_installed("highdicom")
        metadata = classifier.metadata
        digest, rule = classifier.content.sha256, f"{classifier.rule}, computed by {classifier.engine}"
        self.model = Model(classifier.path.name, digest, metadata.intended_use, rule, __version__)
        self._framing = metadata.framing

    def files(self, header: Dataset, answer: Prediction, picture: npt.NDArray[np.uint8] | None) -> list[AnswerFile]:
        """Return the report and, unless the image is UNSUITABLE or the model has no heat map, the Secondary Capture.

        Names and UIDs follow from the image's SOPInstanceUID and the digest of the model.

        Args:
            header: of the image, from `read_identity`.
            answer: of the model.
            picture: uint8 `[height, width]` of the image; None for no Secondary Capture.
        """
        made = {"Structured Report": structured_report(header, answer, self.model)}
        if picture is not None and answer.heatmap is not None and answer.decision != UNSUITABLE:
            made["Secondary Capture"] = secondary_capture(header, answer, picture, self.model, self._framing)
        stem = f"{header.SOPInstanceUID}.{self.model.sha256[:12]}"
        return [
            AnswerFile(kind, f"{stem}.{'SR' if each.Modality == 'SR' else 'SC'}.dcm", _encoded(each))
            for kind, each in made.items()
        ]


def _encoded(dataset: Dataset) -> bytes:
    from pydicom import dcmwrite

    content = io.BytesIO()
    dcmwrite(content, dataset, enforce_file_format=True)
    return content.getvalue()
