"""What a DICOM header says of an image: patient, modality, body part, view, age, and whether it is a copy."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pneumo_tfds.decode.dicom_file import inflated, standing_for, value_of
from pneumo_tfds.decode.header_words import coded_region, coded_view, phantom_word, test_word
from pneumo_tfds.decode.headers import DecodeError, format_of

_TAGS = {
    0x00080008: "ImageType", 0x00080018: "SOPInstanceUID", 0x00080060: "Modality", 0x00080068: "PresentationIntentType",
    0x00082112: "SourceImageSequence", 0x00100010: "PatientName", 0x00100020: "PatientID",
    0x00100030: "PatientBirthDate", 0x00101000: "OtherPatientIDs", 0x00101002: "OtherPatientIDsSequence",
    0x00101010: "PatientAge", 0x00180015: "BodyPartExamined", 0x00185101: "ViewPosition",
    0x0020000D: "StudyInstanceUID", 0x00280008: "NumberOfFrames", 0x0008103E: "SeriesDescription",
    0x00200020: "PatientOrientation",
    0x00080016: "SOPClassUID", 0x00081030: "StudyDescription", 0x00081032: "ProcedureCodeSequence",
    0x00082218: "AnatomicRegionSequence", 0x00181030: "ProtocolName",
    0x00181400: "AcquisitionDeviceProcessingDescription", 0x00321060: "RequestedProcedureDescription",
    0x00321064: "RequestedProcedureCodeSequence", 0x00400254: "PerformedProcedureStepDescription",
    0x00540220: "ViewCodeSequence", 0x00100200: "QualityControlSubject",
    0x00102201: "PatientSpeciesDescription", 0x00102202: "PatientSpeciesCodeSequence",
    0x00102292: "PatientBreedDescription", 0x00280004: "PhotometricInterpretation", 0x00280010: "Rows",
    0x00280011: "Columns", 0x00280300: "QualityControlImage",
    0x20500020: "PresentationLUTShape",
}  # fmt: skip
_UNITS = {"Y": 1.0, "M": 12.0, "W": 52.18, "D": 365.25}
"""How many of them make a year."""


@dataclass(frozen=True)
class HeaderFacts:
    """Elements of a header, as text without spaces around it; empty where the file has none."""

    patient: str = ""
    """PatientID."""
    others: tuple[str, ...] = ()
    """OtherPatientIDs, and those of OtherPatientIDsSequence."""
    name: str = ""
    """PatientName."""
    born: str = ""
    """PatientBirthDate, such as `19500312`."""
    modality: str = ""
    body_part: str = ""
    """BodyPartExamined, or else what AnatomicRegionSequence says."""
    view: str = ""
    """ViewPosition."""
    coded_view: str = ""
    """Meaning of ViewCodeSequence."""
    kind: str = ""
    """Name of the SOP class, such as `CT Image Storage`."""
    age: float | None = None
    """Years."""
    image_type: tuple[str, ...] = ()
    """For example `("DERIVED", "PRIMARY")`."""
    study: str = ""
    """StudyInstanceUID."""
    instance: str = ""
    """SOPInstanceUID."""
    sources: tuple[str, ...] = ()
    """ReferencedSOPInstanceUID of each source image, if this image was derived from others."""
    frames: int = 1
    presentation_intent: str = ""
    series: str = ""
    """SeriesDescription, such as `CHEST LATERAL`."""
    protocol: tuple[str, ...] = ()
    """ProtocolName and AcquisitionDeviceProcessingDescription."""
    procedure: tuple[str, ...] = ()
    """Descriptions of the study: StudyDescription, and of the procedure that was requested and performed."""
    orientation: tuple[str, ...] = ()
    """PatientOrientation: where the rows and the columns lead, such as `("L", "F")`, to the left and to the feet."""
    species: str = ""
    """PatientSpeciesDescription, its code, or PatientBreedDescription; the first that is told."""
    control: bool = False
    """QualityControlImage or QualityControlSubject is `YES`."""
    called: str = ""
    """The word of PatientName or PatientID that tells of a phantom or a test; the name itself is not kept."""
    polarity: str = ""
    """PhotometricInterpretation and PresentationLUTShape where they contradict each other."""
    columns: int = 0
    """Width of the picture in pixels, 0 if the header does not say; so is `rows`, its height."""
    rows: int = 0
    complete: bool = True
    """False if the bytes ended inside the header: read the whole file and ask again."""


def read_facts(data: bytes, name: str = "image") -> HeaderFacts:
    """Read the facts from a DICOM file or its beginning; 8 KB are enough for most, the pixels are not needed.

    Raises:
        DecodeError: these are not the bytes of a DICOM file, or pydicom is not installed.
    """
    if format_of(data) != "DICOM":
        raise DecodeError(f"{name}: not a DICOM file, whatever its name is; convert or remove it")
    reached = False

    def behind(tag: int, kind: str | None, length: int) -> bool:
        nonlocal reached
        reached = tag > max(_TAGS)
        return reached

    with standing_for(name, "the DICOM header is damaged; copy the file again or remove it"):
        from pydicom.filereader import read_partial

        content = io.BytesIO(inflated(data, name, whole=False))
        dataset = read_partial(content, behind, force=True, specific_tags=list(_TAGS))
        frames = _text(dataset, "NumberOfFrames")
        described = ("StudyDescription", "RequestedProcedureDescription", "PerformedProcedureStepDescription")
        coded = ("ProcedureCodeSequence", "RequestedProcedureCodeSequence")
        species = (
            _text(dataset, "PatientSpeciesDescription"),
            _code(dataset, "PatientSpeciesCodeSequence")[1],
            _text(dataset, "PatientBreedDescription"),
        )
        name_and_id = str(dataset.get("PatientName") or ""), _text(dataset, "PatientID")
        return HeaderFacts(
            patient=name_and_id[1],
            others=_other_identifiers(dataset),
            name=name_and_id[0],
            born=_text(dataset, "PatientBirthDate"),
            modality=_text(dataset, "Modality"),
            body_part=_text(dataset, "BodyPartExamined") or coded_region(*_code(dataset, "AnatomicRegionSequence")),
            view=_text(dataset, "ViewPosition"),
            coded_view=coded_view(*_code(dataset, "ViewCodeSequence")),
            kind=_class_name(_text(dataset, "SOPClassUID")),
            age=_years(_text(dataset, "PatientAge")),
            image_type=_words(dataset.get("ImageType")),
            series=_text(dataset, "SeriesDescription"),
            protocol=_texts(_text(dataset, key) for key in ("ProtocolName", "AcquisitionDeviceProcessingDescription")),
            procedure=_texts([*(_text(dataset, key) for key in described), *(_code(dataset, key)[1] for key in coded)]),
            orientation=_words(dataset.get("PatientOrientation")),
            study=_text(dataset, "StudyInstanceUID"),
            instance=_text(dataset, "SOPInstanceUID"),
            sources=tuple(_text(item, "ReferencedSOPInstanceUID") for item in dataset.get("SourceImageSequence") or ()),
            frames=int(frames) if frames.isdecimal() else 1,
            presentation_intent=_text(dataset, "PresentationIntentType"),
            species=next(filter(None, species), ""),
            control="YES" in (_text(dataset, key).upper() for key in ("QualityControlImage", "QualityControlSubject")),
            called=phantom_word(*name_and_id) or test_word(*name_and_id),
            polarity=_contradiction(
                _text(dataset, "PhotometricInterpretation"), _text(dataset, "PresentationLUTShape")
            ),
            columns=_number(dataset, "Columns"),
            rows=_number(dataset, "Rows"),
            complete=reached,
        )


def _text(dataset: Any, keyword: str) -> str:
    return str(value_of(dataset, keyword, "")).strip(" \0")


def _number(dataset: Any, keyword: str) -> int:
    text = _text(dataset, keyword)
    return int(text) if text.isdecimal() else 0


def _other_identifiers(dataset: Any) -> tuple[str, ...]:
    told = dataset.get("OtherPatientIDs") or ()
    items = dataset.get("OtherPatientIDsSequence") or ()
    return _texts(
        [*([told] if isinstance(told, str) else map(str, told)), *(_text(item, "PatientID") for item in items)]
    )


def _texts(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(text for text in texts if text)


def _contradiction(photometric: str, shape: str) -> str:
    pair = (photometric.upper(), shape.upper())
    return ", ".join(pair) if pair in (("MONOCHROME1", "IDENTITY"), ("MONOCHROME2", "INVERSE")) else ""


def _code(dataset: Any, keyword: str) -> tuple[str, str]:
    """Return value and meaning of the first code of a sequence (PS3.3, 8.8)."""
    item = value_of(dataset, keyword)
    return ("", "") if item is None else (_text(item, "CodeValue"), _text(item, "CodeMeaning"))


def _class_name(uid: str) -> str:
    from pydicom.uid import UID

    return UID(uid).name if uid else ""


def _words(value: Any) -> tuple[str, ...]:
    words = ([value] if isinstance(value, str) else value) if value else ()
    return tuple(str(word).strip().upper() for word in words)


def _years(text: str) -> float | None:
    """Return an age such as `047Y`, `006M`, `003W`, `012D` or `62` in years; None if it is none of them."""
    match = re.fullmatch(r"(\d{1,3})([YMWD]?)", text.upper())
    return int(match[1]) / _UNITS[match[2] or "Y"] if match else None
