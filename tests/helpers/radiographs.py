"""Made DICOM radiographs, as a device would send them to an archive, and what an answer may not take from them."""

from __future__ import annotations

from datetime import date

import numpy as np

from image_files import dicom, picture

LEVELS = {"NORMAL": 78, "UNCERTAIN": 128, "PNEUMONIA": 178, "UNSUITABLE": 205}
"""Mean grey levels at which `brightness_model` gives each answer."""

PRIVATE = {
    "PatientAddress": "1 Secret Street", "PatientComments": "secret comment", "OtherPatientIDs": "SECRET-2",
    "OperatorsName": "Secret^Operator", "InstitutionName": "Secret Hospital", "DeviceSerialNumber": "SECRET-3",
    "AdditionalPatientHistory": "secret history", "PatientTelephoneNumbers": "555-SECRET", "Occupation": "secret agent",
    "PhysiciansOfRecord": "Secret^Reader", "StationName": "SECRET-4", "ImageComments": "secret remark",
}  # fmt: skip


def radiograph(number: int, answer: str = "UNCERTAIN", study: int | None = None, **tags: object) -> bytes:
    """An image of its own for each number, that the brightness model answers so; its study's number is the patient's.

    A tag that is None is left out.
    """
    study = number if study is None else study
    smooth = picture(number, 96, 96).astype(float)
    pixels = np.clip((smooth - smooth.mean()) / 4 + LEVELS[answer], 0, 255)
    known = {
        "SOPClassUID": "1.2.840.10008.5.1.4.1.1.1", "Modality": "CR", "SOPInstanceUID": f"1.2.3.{study}.1.{number}",
        "SeriesInstanceUID": f"1.2.3.{study}.1", "StudyInstanceUID": f"1.2.3.{study}", "PatientID": f"P{study}",
        "SpecificCharacterSet": "ISO_IR 100", "PatientName": "Müller^Jörg", "PatientBirthDate": "19800229",
        "PatientSex": "M", "StudyDate": date.today().strftime("%Y%m%d"), "StudyTime": "101500", "StudyID": str(study),
        "AccessionNumber": f"A{study}", "ReferringPhysicianName": "Huber^Eva", "InstanceNumber": number,
        "SeriesNumber": 1, "BodyPartExamined": "CHEST", "ViewPosition": "PA", "ImageType": ["ORIGINAL", "PRIMARY"],
        "PatientOrientation": ["L", "F"], "StudyDescription": "Röntgen Thorax",
    }  # fmt: skip
    given = {name: value for name, value in {**known, **tags}.items() if value is not None}
    return dicom(pixels.astype(np.uint8), **given)
