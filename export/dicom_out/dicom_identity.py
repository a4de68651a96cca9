"""Which elements of an image's header go into its answer, so that an archive files the answer in the image's study."""

from __future__ import annotations

import hashlib
import io
import re
import uuid
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from pneumo_tfds.decode.dicom_file import inflated, standing_for, value_of
from pneumo_tfds.decode.headers import DecodeError, format_of

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

COPIED = (
    "SpecificCharacterSet",  # the bytes of the names below mean nothing without it
    "PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex",  # who it is
    "StudyInstanceUID", "StudyDate", "StudyTime", "StudyID", "AccessionNumber", "StudyDescription",  # which study
    "ReferringPhysicianName",  # whom worklists show a study to
)  # fmt: skip
"""Copied as they are. All else stays behind: addresses, other identifiers, comments, history, the names of operators
and readers, device and institution, and private elements, as an answer is found without them."""

_NEEDED = ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID", "SOPInstanceUID")
OF_THE_PICTURE = (
    "PatientOrientation", "BurnedInAnnotation", "LossyImageCompression", "LossyImageCompressionRatio",
    "LossyImageCompressionMethod",
)  # fmt: skip
"""Copied to a picture of the image too, as what was burnt into the image or lost in it is so in the picture."""
_UID = re.compile(r"\d+(\.\d+)*")
_LONGEST_UID = 64
Remember = Callable[[str, str], str]
"""Returns what was first told of a UID, which is now if nothing was; `setdefault` of a dictionary is one."""
_NAMESPACE = uuid.UUID("6f0f7f5c-5a0e-5a43-9d6e-7d3a3d1c0b52")
"""Drawn once for this project."""


def read_identity(data: bytes, name: str) -> Dataset:
    """Read the elements of an image's header that its answer is made from.

    Raises:
        DecodeError: it is no DICOM file, its header is damaged, or it lacks an identifier.
    """
    if format_of(data) != "DICOM":
        raise DecodeError(f"{name}: not a DICOM file, so there is no study to answer in")
    with standing_for(name, "the DICOM header has a value that breaks the standard; correct it in its archive"):
        from pydicom import Dataset, dcmread

        content = io.BytesIO(inflated(data, name))
        wanted = [*COPIED, *_NEEDED, *OF_THE_PICTURE, "InstanceNumber", "Modality"]
        header = dcmread(content, force=True, stop_before_pixels=True, specific_tags=wanted)
        values = {keyword: str(value_of(header, keyword, "")).strip(" \0") for keyword in _NEEDED}
        header.InstanceNumber = max(1, int(value_of(header, "InstanceNumber", 1)))
        Dataset(header).save_as(io.BytesIO(), implicit_vr=False, little_endian=True)  # what cannot be copied fails here
    for keyword, value in values.items():
        if not value:
            raise DecodeError(f"{name}: has no {keyword}, so no archive could file an answer; export it again with it")
        if keyword.endswith("UID"):
            if not (_UID.fullmatch(value) and len(value) <= _LONGEST_UID):
                raise DecodeError(f"{name}: its {keyword} is not a UID; export it from its archive again")
            setattr(header, keyword, value)
    return header


def check_against_others(header: Dataset, data: bytes, name: str, remember: Remember) -> None:
    """Compare an image with the others that were answered.

    Raises:
        DecodeError: an image of the same study was of another patient, or another image had the same SOPInstanceUID.
    """
    patient = str(header.PatientID).strip().encode(errors="replace")
    digest = hashlib.sha256(patient).hexdigest()  # a journal of studies is no place for identifiers
    if remember(header.StudyInstanceUID, digest) != digest:
        raise DecodeError(f"{name}: is of another patient than other images of its study; correct that in the archive")
    digest = hashlib.sha256(data).hexdigest()
    if remember(header.SOPInstanceUID, digest) != digest:
        raise DecodeError(f"{name}: another image had its SOPInstanceUID; give each image one of its own")


def derived_uid(*parts: str) -> str:
    """Return the UID that follows from `parts`, always the same (PS3.5, B.2: from a name-based UUID)."""
    return f"2.25.{uuid.uuid5(_NAMESPACE, '/'.join(parts)).int}"


def give_identity(answer: Any, header: Dataset, others: Sequence[str] = ()) -> None:
    """Copy the elements named in `COPIED`, and `others`, from an image's header to its answer."""
    for keyword in (*COPIED, *others):
        if keyword in header:
            answer[keyword] = header[keyword]
        elif keyword in answer and keyword == "SpecificCharacterSet":
            del answer[keyword]
