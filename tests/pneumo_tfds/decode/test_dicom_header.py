"""Facts of DICOM headers, read from the beginning of a file, and what they say about fitness."""

from __future__ import annotations

import numpy as np
import pytest

from image_files import dicom
from pneumo_tfds.decode import DecodeError
from pneumo_tfds.decode.dicom_header import HeaderFacts, read_facts, remarks, unfit

pytest.importorskip("pydicom")

PIXELS = np.arange(72 * 96, dtype=np.uint16).reshape(72, 96)


def test_facts_are_read_from_the_beginning_of_a_file():
    from pydicom.dataset import Dataset

    source = Dataset()
    source.ReferencedSOPInstanceUID = "1.2.9"
    data = dicom(
        PIXELS, PatientID=" Anna ", Modality="DX", BodyPartExamined="CHEST", ViewPosition="AP", PatientAge="006M",
        ImageType=["DERIVED", "PRIMARY", ""], StudyInstanceUID="1.2.3.4", SourceImageSequence=[source],
        NumberOfFrames=1, PresentationIntentType="FOR PRESENTATION", SeriesDescription="Thorax ap",
        PatientOrientation=["L", "F"],
    )  # fmt: skip
    expected = HeaderFacts(
        patient="Anna", modality="DX", body_part="CHEST", view="AP", age=0.5, image_type=("DERIVED", "PRIMARY", ""),
        study="1.2.3.4", instance="1.2.3", sources=("1.2.9",), frames=1, presentation_intent="FOR PRESENTATION",
        series="Thorax ap", orientation=("L", "F"),
    )  # fmt: skip
    assert read_facts(data) == expected
    assert read_facts(data[: len(data) - PIXELS.nbytes + 10]) == expected


def test_bytes_that_end_inside_the_header_are_told():
    data = dicom(PIXELS, PatientID="Anna", StudyInstanceUID="1.2.3.4")
    for end in range(150, data.index(b"1.2.3.4"), 7):
        assert not read_facts(data[:end]).complete
    assert read_facts(data).complete


def test_absent_and_empty_elements_are_alike():
    empty = dict.fromkeys(
        ("PatientID", "Modality", "BodyPartExamined", "ViewPosition", "PatientAge", "ImageType", "StudyInstanceUID",
         "SourceImageSequence", "NumberOfFrames", "PresentationIntentType")
    )  # fmt: skip
    assert read_facts(dicom(PIXELS, **empty)) == read_facts(dicom(PIXELS)) == HeaderFacts(instance="1.2.3")


def test_deflated_headers_are_read():
    assert read_facts(dicom(PIXELS, "1.2.840.10008.1.2.1.99", PatientID="Anna")).patient == "Anna"


def test_bytes_that_are_no_dicom():
    with pytest.raises(DecodeError, match=r"^a\.dcm: the DICOM header is damaged"):
        read_facts(b"\0" * 128 + b"DICM" + b"\x02\0\0\0UL\x05\0" + bytes(30), "a.dcm")
    with pytest.raises(DecodeError, match=r"^a\.dcm: not a DICOM file"):
        read_facts(b"\xff\xd8\xff" + bytes(300), "a.dcm")


@pytest.mark.parametrize(
    ("text", "years"),
    [("047Y", 47), ("062", 62), ("62", 62), ("006M", 0.5), ("026W", 26 / 52.18), ("10D", 10 / 365.25), ("", None),
     ("old", None), ("47 y", None), ("1990", None)],
)  # fmt: skip
def test_ages(text, years):
    data = dicom(PIXELS, PatientAge="123Y").replace(b"AS\x04\x00123Y", b"AS\x04\x00" + text.encode().ljust(4))
    assert read_facts(data).age == years


FIT = [
    {}, {"modality": "CR"}, {"modality": "DX"}, {"modality": "RG"}, {"modality": "DR"}, {"modality": "XR"},
    {"body_part": "CHEST"}, {"body_part": "chest pa"}, {"body_part": "THORAX"}, {"body_part": "Tórax/TORAX"},
    {"body_part": "LUNGS"}, {"body_part": "PULMON"},
    {"body_part": "PECHO"}, {"body_part": "Poitrine face"}, {"body_part": "BRUST"}, {"body_part": "petto"},
    {"body_part": "PEITO"}, {"body_part": "CHST"}, {"body_part": "TX"}, {"body_part": "THX_AP"},
    {"view": "PA"}, {"view": "AP"}, {"view": "AP SUPINE"},
    {"view": "AP_ERECT"}, {"view": "STRANGE"}, {"image_type": ("ORIGINAL", "PRIMARY")},
    {"series": "CHEST PA"}, {"series": "Chest PA + LAT"}, {"view": "PA", "series": "LATERAL"},
    {"orientation": ("L", "F")}, {"view": "AP", "orientation": ("A", "F")},
    {"image_type": ("DERIVED", "PRIMARY")}, {"age": 80.0}, {"presentation_intent": "FOR PROCESSING"},
]  # fmt: skip


@pytest.mark.parametrize("facts", FIT)
def test_fit(facts):
    assert unfit(HeaderFacts(**facts)) == ""


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        ({"modality": "CT"}, "modality CT is not radiography"),
        ({"modality": "OT"}, "modality OT is not radiography"),
        ({"body_part": "HAND"}, "body part HAND is not the chest"),
        ({"body_part": "BRUSTWIRBEL"}, "body part BRUSTWIRBEL is not the chest"),
        ({"body_part": "ABDOMEN"}, "body part ABDOMEN is not the chest"),
        *(
            ({"view": view}, f"view {view} is not frontal")
            for view in ("LL", "RL", "LATERAL", "LAT", "LLD", "RLD", "LLO", "RAO", "OBLIQUE", "AP LLD", "DECUBITUS")
        ),
        *(
            ({"series": text}, f"body part, by the description {text}, is not the chest")
            for text in (
                "Handgelenk rechts",
                "Hand dp",
                "HAND_PA",
                "Knie links ap",
                "Fuß d.p.",
                "LWS 2 Ebenen",
                "Schädel",
                "left wrist",
                "FEET AP",
                "Pelvis",
                "Abdomen liegend",
                "Rodilla",
                "Muñeca",
                "Genou",
                "Crâne face",
            )
        ),
        *(
            ({"study_description": "Hand bds.", "protocol": text}, says)
            for text, says in (
                ("", "body part, by the description Hand bds., is not the chest"),
                ("Thorax p.a.", ""),
                ("RX TÓRAX", ""),
            )
        ),
        *(
            ({"series": text}, "")
            for text in (
                "Thorax und Abdomen",
                "Babygramm",
                "handheld AP",
                "SUPINE",
                "AP de pie",
                "main view",
                "au pied du lit",
                "",
            )
        ),
        ({"body_part": "CHEST", "series": "Hand dp"}, ""),
        ({"series": "CHEST LATERAL"}, "series CHEST LATERAL is not frontal"),
        ({"orientation": ("P", "F")}, "its rows lead to the patient's front or back, as in a lateral view"),
        ({"image_type": ("DERIVED", "SECONDARY")}, "a copy derived from another image (DERIVED, SECONDARY)"),
        ({"frames": 12}, "12 frames are not one radiograph"),
    ],
)
def test_unfit(facts, says):
    assert unfit(HeaderFacts(**facts)) == says


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        ({"age": 47.0}, ()),
        ({"image_type": ("DERIVED", "PRIMARY", "POST_PROCESSED")}, ("derived from another image (DERIVED, PRIMARY)",)),
        ({"presentation_intent": "FOR PROCESSING"},
         ("raw image, meant for processing and not for presentation (FOR PROCESSING)",)),
        ({"view": "STRANGE"}, ("view STRANGE is not known",)),
        ({"view": "LL"}, ()),
        ({"view": "PA ERECT"}, ()),
        ({}, ()),
    ],
)  # fmt: skip
def test_remarks(facts, says):
    assert remarks(HeaderFacts(**facts)) == says
