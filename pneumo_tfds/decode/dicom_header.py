# ruff: noqa: D101, D103
"""TEMPORARY stand-in with the agreed interface."""

from __future__ import annotations

import io
from dataclasses import dataclass

from pneumo_tfds.decode.headers import DecodeError


@dataclass(frozen=True)
class HeaderFacts:
    patient: str = ""
    modality: str = ""
    body_part: str = ""
    view: str = ""
    age: float | None = None
    image_type: tuple[str, ...] = ()
    study: str = ""
    instance: str = ""
    frames: int = 1


class ShortHeader(DecodeError):
    pass


def read_facts(data: bytes, name: str = "") -> HeaderFacts:
    import pydicom

    try:
        d = pydicom.dcmread(io.BytesIO(data), stop_before_pixels=True, force=True)
    except Exception as error:
        raise DecodeError("x") from error
    t = d.get("ImageType") or ()
    return HeaderFacts(
        str(d.get("PatientID", "") or "").strip(),
        str(d.get("Modality", "") or ""),
        str(d.get("BodyPartExamined", "") or ""),
        str(d.get("ViewPosition", "") or ""),
        None,
        tuple(t),
        str(d.get("StudyInstanceUID", "") or ""),
        str(d.get("SOPInstanceUID", "") or ""),
    )


def unfit(facts: HeaderFacts) -> str:
    if facts.modality not in ("", "CR", "DX"):
        return f"modality {facts.modality} is not radiography"
    if facts.body_part and "CHEST" not in facts.body_part:
        return f"body part {facts.body_part} is not the chest"
    if facts.view in ("LL", "RL"):
        return f"view {facts.view} is not frontal"
    return ""


def remarks(facts: HeaderFacts) -> tuple[str, ...]:
    return ()
