"""The Secondary Capture of an answer: the picture under its heat map, below a band with the warning."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from export.dicom_out.dicom_identity import OF_THE_PICTURE, give_identity
from export.dicom_out.structured_report import CAPTURES, WARNING, Model, ascii_text, attributes
from export.inference.outputs import overlay
from pneumo_tfds.program.framing_names import Framing

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from export.inference.classifier import Prediction

SIDE = 1024
"""Pixels of the longer side of the picture. It is to be looked at beside the image, not in place of it."""
NO_OUTLINE = "The colours show what moved the network: the heat map outlines no lesion."
LEAST_WIDTH = 512
"""Pixels, below which the warning could not be read."""
_FONT, _LARGEST, _MARGIN, _GAP = cv2.FONT_HERSHEY_SIMPLEX, 1.0, 12, 10
_YELLOW, _WHITE = (255, 220, 0), (255, 255, 255)


def secondary_capture(
    header: Dataset, answer: Prediction, picture: npt.NDArray[np.uint8], model: Model, framing: Framing
) -> Dataset:
    """Return the picture of an answer, in colour.

    Args:
        header: of the image, from `read_identity`.
        answer: of the model, with a heat map, and not UNSUITABLE.
        picture: uint8 `[height, width]` of the image.
        model: which gave the answer.
        framing: of the model.
    """
    from highdicom.sc import SCImage
    from highdicom.sr import CodedConcept
    from pydicom.dataset import Dataset as NewDataset
    from pydicom.sr.codedict import codes

    if answer.heatmap is None:
        raise ValueError("the answer has no heat map")
    coloured = overlay(picture, answer.heatmap, SIDE, framing)[..., ::-1]
    familiarity = "" if answer.familiarity is None else f", familiarity {answer.familiarity:.4f}"
    answered = f"{answer.decision}: probability of pneumonia {answer.probability:.2f}{familiarity}"
    said = [WARNING, answered, NO_OUTLINE, model.label]
    sides = max(0, LEAST_WIDTH - coloured.shape[1])
    coloured = np.pad(coloured, ((0, 0), (sides // 2, sides - sides // 2), (0, 0)))
    pixels = np.concatenate([_band([ascii_text(line) for line in said], coloured.shape[1]), coloured])
    capture = SCImage(
        pixel_array=pixels,
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        patient_orientation=("L", "F"),
        study_instance_uid=header.StudyInstanceUID,
        **attributes(header, model, "SC", CAPTURES),
    )
    capture.PatientOrientation = None  # unless the image tells it
    capture.BodyPartExamined = "CHEST"  # what is not is UNSUITABLE; it has no laterality, which would be asked for else
    capture.ConversionType = "WSD"  # made on a workstation
    capture.DerivationDescription = f"Heat map over the image at a lower resolution. {NO_OUTLINE} {WARNING}"
    source = NewDataset()
    source.ReferencedSOPClassUID, source.ReferencedSOPInstanceUID = header.SOPClassUID, header.SOPInstanceUID
    purpose = codes.DCM.SourceImageForImageProcessingOperation
    source.PurposeOfReferenceCodeSequence = [CodedConcept.from_code(purpose)]
    capture.SourceImageSequence = [source]
    give_identity(capture, header, OF_THE_PICTURE)
    return capture


def _band(lines: list[str], width: int) -> npt.NDArray[np.uint8]:
    """Write lines, the first in yellow, on black RGB uint8 `[height, width, 3]`, as large as the width allows."""
    rows = []
    for number, line in enumerate(lines):
        (wide, high), below = cv2.getTextSize(line, _FONT, _LARGEST, 2)
        scale = min(_LARGEST if number == 0 else 0.7 * _LARGEST, _LARGEST * (width - 2 * _MARGIN) / wide)
        row = np.zeros((round((high + below) * scale) + _GAP, width, 3), np.uint8)
        place = (_MARGIN, round(high * scale) + _GAP // 2)
        colour = _WHITE if number else _YELLOW
        cv2.putText(row, line, place, _FONT, scale, colour, 2 if scale > 0.6 else 1, cv2.LINE_AA)
        rows.append(row)
    return np.concatenate(rows)
