"""The Structured Report of an answer: TID 1500, "Measurement Report", of the standard (PS3.16)."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from export.dicom_out.dicom_identity import derived_uid, give_identity
from export.inference.decision import UNSUITABLE
from pneumo_tfds.sources.inventory import LABELS

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from export.inference.classifier import Prediction

PNEUMONIA = LABELS[1]
WARNING = "RESEARCH ONLY - NOT FOR DIAGNOSIS"
MAKER = "pneumo"
SCHEME = "99PNEUMO"
"""Our private coding scheme: the standard has no codes for the four answers, nor for the two numbers."""
REPORTS, CAPTURES = 9301, 9302
"""Numbers of the two series, high to come behind those of a device."""


@dataclass(frozen=True)
class Model:
    """What an answer says of the model that gave it."""

    name: str
    """Name of its file."""
    sha256: str
    """Digest of its file, in hexadecimal."""
    intended_use: str
    rule: str
    """What it decides by, in words, and what computes it."""
    program: str
    """Version of this program."""

    @property
    def label(self) -> str:
        """Name, version and digest, in at most 64 ASCII characters."""
        return f"{ascii_text(self.name)[:32]} {self.sha256[:12]}, {MAKER} {self.program}"[:64]


def ascii_text(text: str) -> str:
    """Return `text` in ASCII, which every character set of DICOM holds, so that an image's own can be kept."""
    return unicodedata.normalize("NFKD", text).encode("ascii", "replace").decode("ascii")


def attributes(header: Dataset, model: Model, kind: str, number: int) -> dict[str, Any]:
    """Return the arguments that both objects give to highdicom. `kind` is `SR` or `SC`."""
    return {
        "series_instance_uid": derived_uid(header.SeriesInstanceUID, model.sha256, kind),
        "series_number": number,
        "sop_instance_uid": derived_uid(header.SOPInstanceUID, model.sha256, kind),
        "instance_number": int(header.InstanceNumber),
        "manufacturer": MAKER,
        "manufacturer_model_name": ascii_text(model.name)[:64],
        "device_serial_number": model.sha256,
        "software_versions": model.program,
        "series_description": f"{MAKER}: {WARNING}",
        "specific_character_set": None,
    }


def structured_report(header: Dataset, answer: Prediction, model: Model) -> Dataset:
    """Return the report of an answer.

    It has the answer, probability and familiarity, the reasons, the image, and model and version. There is a finding,
    pneumonia, if the answer is PNEUMONIA. An UNSUITABLE image has no probability, as none would mean anything.

    Args:
        header: of the image, from `read_identity`.
        answer: of the model.
        model: which gave it.
    """
    from highdicom import sr
    from highdicom.coding_schemes import CodingSchemeIdentificationItem
    from pydicom.sr.codedict import codes

    device = sr.ObserverContext(codes.DCM.Device, _observer(model))
    content = sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=device),
        procedure_reported=sr.CodedConcept("399208008", "SCT", "Plain chest X-ray"),
        imaging_measurements=[_finding(header, answer, model)],
        title=codes.DCM.ImagingMeasurementReport,
    )
    said = [f"{WARNING}. {model.intended_use}", *answer.reasons]
    content[0].ContentSequence.extend(
        sr.TextContentItem(codes.DCM.Comment, ascii_text(text), sr.RelationshipTypeValues.CONTAINS) for text in said
    )
    report = sr.ComprehensiveSR(
        evidence=[_evidence(header)],
        content=content,
        is_complete=True,  # and preliminary and unverified: nobody has looked at it
        coding_schemes=[
            CodingSchemeIdentificationItem(designator=SCHEME, name="Codes of pneumo", responsible_organization=MAKER)
        ],
        **attributes(header, model, "SR", REPORTS),
    )
    series = report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0]
    series.ReferencedSOPSequence[0].ReferencedSOPClassUID = header.SOPClassUID  # instead of that of `_evidence`
    give_identity(report, header)
    return report


def _observer(model: Model) -> Any:
    """Return the model as the device that observed the image."""
    from highdicom import sr

    return sr.DeviceObserverIdentifyingAttributes(
        uid=derived_uid("model", model.sha256),
        name=MAKER,
        manufacturer_name=MAKER,
        model_name=ascii_text(model.name)[:64],
        serial_number=model.sha256,
    )


def _finding(header: Dataset, answer: Prediction, model: Model) -> Any:
    """Return the answer and its numbers, with the image and the model that they are of."""
    from highdicom import sr
    from pydicom.sr.codedict import codes

    def own(value: str, meaning: str) -> sr.CodedConcept:
        return sr.CodedConcept(value, SCHEME, meaning)

    numbers = {} if answer.decision == UNSUITABLE else {"Probability of pneumonia": answer.probability}
    if answer.familiarity is not None:
        numbers["Familiarity of the image to the model"] = answer.familiarity
    return sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(
            uid=derived_uid(header.SOPInstanceUID, model.sha256, "finding"), identifier="Answer about pneumonia"
        ),
        finding_type=sr.CodedConcept("233604007", "SCT", "Pneumonia") if answer.decision == PNEUMONIA else None,
        algorithm_id=sr.AlgorithmIdentification(
            name=ascii_text(f"{MAKER}, {model.name}")[:64],
            version=model.program,
            parameters=[f"SHA-256 of the model {model.sha256}", ascii_text(f"decided by {model.rule}")],
        ),
        source_images=[sr.SourceImageForMeasurementGroup(header.SOPClassUID, header.SOPInstanceUID)],
        measurements=[
            sr.Measurement(
                name=own(name.split()[0].upper(), name), value=float(f"{value:.6g}"), unit=codes.UCUM.NoUnits
            )
            for name, value in numbers.items()
        ],
        qualitative_evaluations=[
            sr.QualitativeEvaluation(own("ANSWER", "Answer"), own(answer.decision, answer.decision))
        ],
    )


def _evidence(header: Dataset) -> Dataset:
    """Return the image that the report is about, as much of it as highdicom asks for."""
    from pydicom.dataset import Dataset as NewDataset
    from pydicom.uid import ComputedRadiographyImageStorage

    image = NewDataset()
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        setattr(image, keyword, header[keyword].value)
    image.SOPClassUID = ComputedRadiographyImageStorage  # not its own: highdicom takes those alone that it knows
    for keyword in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID"):
        setattr(image, keyword, "")
    image.StudyDate = image.StudyTime = None
    return image
