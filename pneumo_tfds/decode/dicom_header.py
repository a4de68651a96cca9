"""What a DICOM header says about fitness: patient, modality, body part, view, age, and whether it is a copy."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import Any

from pneumo_tfds.decode.body_parts import names_chest, names_other_part
from pneumo_tfds.decode.dicom_file import inflated, standing_for, value_of
from pneumo_tfds.decode.headers import DecodeError, format_of

ADULT = 18
"""Years."""

RADIOGRAPHY = ("CR", "DX", "RG", "DR", "XR")
"""Modalities of radiographs; RG is film, DR and XR are not in the standard and are written all the same."""

_FRONTAL = ("PA", "AP")
_POSITIONS = ("SUPINE", "ERECT", "UPRIGHT", "STANDING", "SITTING", "SEMIERECT", "BED", "BEDSIDE", "PORTABLE", "FRONTAL")
_SIDEWAYS = ("LL", "RL", "LLD", "RLD", "LLO", "RLO", "LAO", "RAO", "LPO", "RPO")
"""Lateral, decubitus and oblique views (PS3.3 C.8.1.1 and C.8.7.1)."""
_SIDEWAYS_WORDS = ("LAT", "DECUB", "OBL", "SEIT", "PROFIL", "PERFIL")
"""How words for such views start, also in German, French and Spanish."""

_TAGS = {
    0x00080008: "ImageType", 0x00080018: "SOPInstanceUID", 0x00080060: "Modality", 0x00080068: "PresentationIntentType",
    0x00082112: "SourceImageSequence", 0x00100020: "PatientID", 0x00101010: "PatientAge",
    0x00180015: "BodyPartExamined", 0x00185101: "ViewPosition", 0x0020000D: "StudyInstanceUID",
    0x00280008: "NumberOfFrames", 0x0008103E: "SeriesDescription", 0x00200020: "PatientOrientation",
    0x00081030: "StudyDescription", 0x00181030: "ProtocolName",
}  # fmt: skip
_UNITS = {"Y": 1.0, "M": 12.0, "W": 52.18, "D": 365.25}
"""How many of them make a year."""


@dataclass(frozen=True)
class HeaderFacts:
    """Elements of a header, as text without spaces around it; empty where the file has none."""

    patient: str = ""
    """PatientID."""
    modality: str = ""
    body_part: str = ""
    view: str = ""
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
    study_description: str = ""
    protocol: str = ""
    """ProtocolName."""
    orientation: tuple[str, ...] = ()
    """PatientOrientation: where the rows and the columns lead, such as `("L", "F")`, to the left and to the feet."""
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
        return HeaderFacts(
            patient=_text(dataset, "PatientID"),
            modality=_text(dataset, "Modality"),
            body_part=_text(dataset, "BodyPartExamined"),
            view=_text(dataset, "ViewPosition"),
            age=_years(_text(dataset, "PatientAge")),
            image_type=_words(dataset.get("ImageType")),
            series=_text(dataset, "SeriesDescription"),
            study_description=_text(dataset, "StudyDescription"),
            protocol=_text(dataset, "ProtocolName"),
            orientation=_words(dataset.get("PatientOrientation")),
            study=_text(dataset, "StudyInstanceUID"),
            instance=_text(dataset, "SOPInstanceUID"),
            sources=tuple(_text(item, "ReferencedSOPInstanceUID") for item in dataset.get("SourceImageSequence") or ()),
            frames=int(frames) if frames.isdecimal() else 1,
            presentation_intent=_text(dataset, "PresentationIntentType"),
            complete=reached,
        )


def unfit(facts: HeaderFacts) -> str:
    """Return why an image is not a frontal chest radiograph; empty if its header does not speak against it."""
    if facts.modality and facts.modality.upper() not in RADIOGRAPHY:
        return f"modality {facts.modality} is not radiography"
    if facts.body_part and not names_chest(facts.body_part):
        return f"body part {facts.body_part} is not the chest"
    descriptions = [facts.series, facts.protocol, facts.study_description]
    if not facts.body_part and not any(map(names_chest, descriptions)):
        for text in filter(names_other_part, descriptions):
            return f"body part, by the description {text}, is not the chest"
    if _is_sideways(facts.view):
        return f"view {facts.view} is not frontal"
    if not facts.view and _is_sideways(facts.series) and not _is_frontal(facts.series):
        return f"series {facts.series} is not frontal"
    if not facts.view and facts.orientation[:1] and facts.orientation[0][:1] in ("A", "P"):
        return "its rows lead to the patient's front or back, as in a lateral view"
    if facts.image_type[:2] == ("DERIVED", "SECONDARY"):
        return "a copy derived from another image (DERIVED, SECONDARY)"
    if facts.frames > 1:
        return f"{facts.frames:,} frames are not one radiograph"
    return ""


def _is_sideways(text: str) -> bool:
    return any(word in _SIDEWAYS or word.startswith(_SIDEWAYS_WORDS) for word in _view_words(text))


def _is_frontal(text: str) -> bool:
    return not set(_FRONTAL).isdisjoint(_view_words(text))


def remarks(facts: HeaderFacts) -> tuple[str, ...]:
    """Return what is unusual about an image but does not speak against it, in neutral words."""
    return tuple(text.format(value) for text, value in kinds_of_remarks(facts))


def kinds_of_remarks(facts: HeaderFacts) -> list[tuple[str, str]]:
    """Return the remarks as a text with `{}` and what stands there, so that alike ones can be counted."""
    found = []
    if facts.image_type[:2] == ("DERIVED", "PRIMARY"):
        found.append(("derived from another image (DERIVED, PRIMARY)", ""))
    if facts.presentation_intent.upper() == "FOR PROCESSING":
        found.append(("raw image, meant for processing and not for presentation (FOR PROCESSING)", ""))
    words = _view_words(facts.view)
    if not facts.view and _is_sideways(facts.series) and _is_frontal(facts.series):
        found.append(("series {} names a frontal and another view", facts.series))
    if words and not unfit(HeaderFacts(view=facts.view)) and not any(word in _FRONTAL + _POSITIONS for word in words):
        found.append(("view {} is not known", facts.view))
    return found


def _view_words(text: str) -> list[str]:
    return re.findall("[A-Z]+", text.upper())


def _text(dataset: Any, keyword: str) -> str:
    return str(value_of(dataset, keyword, "")).strip(" \0")


def _words(value: Any) -> tuple[str, ...]:
    words = ([value] if isinstance(value, str) else value) if value else ()
    return tuple(str(word).strip().upper() for word in words)


def _years(text: str) -> float | None:
    """Return an age such as `047Y`, `006M`, `003W`, `012D` or `62` in years; None if it is none of them."""
    match = re.fullmatch(r"(\d{1,3})([YMWD]?)", text.upper())
    return int(match[1]) / _UNITS[match[2] or "Y"] if match else None
