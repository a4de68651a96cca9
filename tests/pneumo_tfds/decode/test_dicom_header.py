"""Facts of DICOM headers, read from the beginning of a file, and what they say about fitness."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from image_files import dicom
from pneumo_tfds.decode import DecodeError
from pneumo_tfds.decode.dicom_header import HeaderFacts, read_facts
from pneumo_tfds.decode.fitness import remarks, unfit

pytest.importorskip("pydicom")

PIXELS = np.arange(72 * 96, dtype=np.uint16).reshape(72, 96)


def code(value: str, meaning: str):
    from pydicom.dataset import Dataset

    item = Dataset()
    item.CodeValue, item.CodeMeaning, item.CodingSchemeDesignator = value, meaning, "SRT"
    return item


def test_facts_are_read_from_the_beginning_of_a_file():
    from pydicom.dataset import Dataset

    source = Dataset()
    source.ReferencedSOPInstanceUID = "1.2.9"
    data = dicom(
        PIXELS, PatientID=" Anna ", Modality="DX", BodyPartExamined="CHEST", ViewPosition="AP", PatientAge="006M",
        ImageType=["DERIVED", "PRIMARY", ""], StudyInstanceUID="1.2.3.4", SourceImageSequence=[source],
        NumberOfFrames=1, PresentationIntentType="FOR PRESENTATION", SeriesDescription="Thorax ap",
        PatientOrientation=["L", "F"], ViewCodeSequence=[code("R-10236", "left lateral")], ProtocolName="Thorax",
        AcquisitionDeviceProcessingDescription="LUNG", StudyDescription="XR CHEST",
        ProcedureCodeSequence=[code("36643-5", "XR Chest 2 Views")],
    )  # fmt: skip
    expected = HeaderFacts(
        patient="Anna", modality="DX", body_part="CHEST", view="AP", age=0.5, image_type=("DERIVED", "PRIMARY", ""),
        study="1.2.3.4", instance="1.2.3", sources=("1.2.9",), frames=1, presentation_intent="FOR PRESENTATION",
        series="Thorax ap", orientation=("L", "F"), coded_view="left lateral", kind="Secondary Capture Image Storage",
        protocol=("Thorax", "LUNG"), procedure=("XR CHEST", "XR Chest 2 Views"),
        columns=PIXELS.shape[1], rows=PIXELS.shape[0],
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
         "SourceImageSequence", "NumberOfFrames", "PresentationIntentType", "ViewCodeSequence", "ProtocolName",
         "AnatomicRegionSequence", "StudyDescription", "SOPClassUID")
    )  # fmt: skip
    plain = read_facts(dicom(PIXELS))
    height, width = PIXELS.shape
    kind = "Secondary Capture Image Storage"
    assert plain == HeaderFacts(instance="1.2.3", kind=kind, columns=width, rows=height)
    assert read_facts(dicom(PIXELS, **empty)) == replace(plain, kind="")


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


def test_codes_tell_where_their_meaning_does_not():
    facts = read_facts(
        dicom(PIXELS, ViewCodeSequence=[code("399173006", "von links")],
              AnatomicRegionSequence=[code("T-D3000", "Rumpf")])
    )  # fmt: skip
    assert (facts.coded_view, facts.body_part) == ("LATERAL OR OBLIQUE", "CHEST")
    facts = read_facts(dicom(PIXELS, AnatomicRegionSequence=[code("T-D8700", "Hand")]))
    assert unfit(facts) == "body part Hand is not the chest"
    facts = read_facts(dicom(PIXELS, AnatomicRegionSequence=[code("T-D8700", "Hand")], BodyPartExamined="CHEST"))
    assert facts.body_part == "CHEST"


@pytest.mark.parametrize(
    ("tags", "fact"),
    [
        ({"PatientSpeciesDescription": "Canine"}, {"species": "Canine"}),
        ({"PatientSpeciesCodeSequence": [code("448771007", "Canis lupus")]}, {"species": "Canis lupus"}),
        ({"PatientBreedDescription": "Beagle"}, {"species": "Beagle"}),
        ({"PatientSpeciesDescription": "HUMAN", "PatientBreedDescription": "x"}, {"species": "HUMAN"}),
        ({"QualityControlImage": "YES"}, {"control": True}),
        ({"QualityControlSubject": "YES"}, {"control": True}),
        ({"QualityControlImage": "NO"}, {}),
        ({"QualityControlImage": "BOTH"}, {}),
        ({"PatientName": "Chest^PHANTOM"}, {"called": "PHANTOM"}),
        ({"PatientName": "QC^daily"}, {"called": "QC"}),
        ({"PatientName": "TEST1^TEST"}, {"called": "TEST1"}),
        ({"PatientName": "Testa^Anna"}, {}),
        ({"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE"}, {}),
        ({"PhotometricInterpretation": "MONOCHROME2", "PresentationLUTShape": "IDENTITY"}, {}),
        ({"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "IDENTITY"},
         {"polarity": "MONOCHROME1, IDENTITY"}),
        ({"PresentationLUTShape": "INVERSE"}, {"polarity": "MONOCHROME2, INVERSE"}),
    ],
)  # fmt: skip
def test_what_tells_of_animals_phantoms_and_polarity(tags, fact):
    expected = replace(read_facts(dicom(PIXELS)), name=tags.get("PatientName", ""), **fact)
    assert read_facts(dicom(PIXELS, **tags)) == expected


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
    {"series": "Torax frente y perfil"}, {"series": "Chest", "protocol": ("LATERAL PA",)},
    {"view": "PA", "coded_view": "left lateral"}, {"coded_view": "postero-anterior", "series": "LATERAL"},
    {"kind": "Secondary Capture Image Storage"}, {"kind": "Computed Radiography Image Storage"}, {"kind": "1.2.3.4"},
    {"kind": "Digital X-Ray Image Storage - For Processing"}, {"modality": "CR", "kind": "CT Image Storage"},
    {"procedure": ("XR HAND AND CHEST",)}, {"procedure": ("XR HAND",), "series": "Thorax"},
    {"body_part": "CHEST", "series": "Hand dp"}, {"procedure": ("Tórax y columna torácica",)},
    {"series": "Darstellung"}, {"series": "AP de pie"},
    {"series": "sinus costodiaphragmaticus"}, {"series": "Abd Rahman"},
    {"procedure": ("Thorax/Abd supine",)}, {"series": "Brasil"},
    {"series": "6 FEET PA"}, {"series": "Behandlung am Bett"},
    {"procedure": ("XR CHEST", "Handheld detector")}, {"series": "Main"},
    *({"modality": word} for word in ("dx", "Röntgen", "X-RAY", "XRAY", "X-Rays", "RADIOGRAPHY", "Rx", "RX", "Rontgen",
                                      "RÃ¶ntgen", "Roentgen", "Digital Radiography", "Radiografía", "Radiographie")),
    *({"species": word} for word in ("Homo sapiens", "HUMAN", "human being", "Mensch", "N/A", "unknown", "-")),
    *({"body_part": part} for part in ("UNKNOWN", "NA", "OTHER", "TRUNK", "TORSO", "BODY", "WHOLE BODY", "HEART")),
    {"called": "TEST"}, {"polarity": "MONOCHROME1, IDENTITY"}, {"series": "Thorax mit Rippen"},
    {"procedure": ("Status post sternotomy",)}, {"procedure": ("Radiografia torace esterno",)},
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
        ({"modality": "Mammography X-ray"}, "modality Mammography X-ray is not radiography"),
        ({"species": "Canis lupus familiaris"}, "patient is not human: Canis lupus familiaris"),
        ({"species": "Feline", "body_part": "CHEST"}, "patient is not human: Feline"),
        ({"control": True}, "a quality control image"),
        ({"called": "PHANTOM"}, "named PHANTOM, which is no patient"),
        ({"series": "Chest phantom 3"}, "named PHANTOM, which is no patient"),
        ({"procedure": ("Konstanzprüfung",)}, "named KONSTANZPRU, which is no patient"),
        ({"body_part": "THORACOLUMBAR"}, "body part THORACOLUMBAR is not the chest"),
        ({"body_part": "HAND"}, "body part HAND is not the chest"),
        ({"body_part": "BRUSTWIRBEL"}, "body part BRUSTWIRBEL is not the chest"),
        ({"body_part": "ABDOMEN"}, "body part ABDOMEN is not the chest"),
        *(
            ({"view": view}, f"view {view} is not frontal")
            for view in ("LL", "RL", "LATERAL", "LAT", "LLD", "RLD", "LLO", "RAO", "OBLIQUE", "AP LLD", "DECUBITUS")
        ),
        ({"kind": "CT Image Storage"}, "CT Image Storage is not radiography"),
        ({"body_part": "THORACIC SPINE"}, "body part THORACIC SPINE is not the chest"),
        ({"coded_view": "left lateral"}, "view left lateral is not frontal"),
        ({"coded_view": "postero-anterior oblique"}, "view postero-anterior oblique is not frontal"),
        ({"view": "ERECT", "coded_view": "LATERAL OR OBLIQUE"}, "view LATERAL OR OBLIQUE is not frontal"),
        ({"view": "ERECT", "series": "CHEST LAT"}, "series CHEST LAT is not frontal"),
        ({"series": "Thorax", "protocol": ("Thorax seitlich",)}, "series Thorax seitlich is not frontal"),
        ({"procedure": ("XR CHEST",), "protocol": ("HAND",)}, "described as HAND and not as chest"),
        *(
            ({"procedure": (text,)}, f"described as {word} and not as chest")
            for text, word in [
                ("XR HAND LEFT", "HAND"),
                ("Handgelenk rechts in Neutralstellung", "HANDGELENK"),
                ("Hände dp", "HANDE"),
                ("Mano izquierda", "MANO"),
                ("Poignet droit", "POIGNET"),
                ("KNEE_LT", "KNEE"),
                ("Rodilla", "RODILLA"),
                ("Genou gauche", "GENOU"),
                ("Vorfuß", "VORFUSS"),
                ("CHEVILLE FACE", "CHEVILLE"),
                ("Codo", "CODO"),
                ("Oberes Sprunggelenk", "SPRUNGGELENK"),
                ("Ellenbogen", "ELLENBOGEN"),
                ("Beckenübersicht", "BECKENUBERSICHT"),
                ("BWS ap", "BWS"),
                ("thoracic-spine AP", "SPINE"),
                ("Rachis thoracique", "RACHIS"),
                ("C-Spine", "SPINE"),
                ("Abdomen im Liegen", "ABDOMEN"),
                ("KUB", "KUB"),
                ("Schädel", "SCHADEL"),
                ("Cráneo", "CRANEO"),
                ("Left foot", "FOOT"),
                ("Cadera", "CADERA"),
                ("Columna torácica", "COLUMNA"),
                ("Rippen links", "RIPPEN"),
                ("XR RIBS 2V", "RIBS"),
                ("Costillas", "COSTILLAS"),
                ("Côtes gauches", "COTES"),
                ("Gril costal", "GRIL COSTAL"),
                ("Costelas", "COSTELAS"),
                ("Sternum seitl.", "STERNUM"),
                ("Brustbein", "BRUSTBEIN"),
                ("Esternón", "ESTERNON"),
                ("Schlüsselbein", "SCHLUSSELBEIN"),
                ("Sternoclavicular joints", "STERNOCLAVICULAR"),
                ("AC-Gelenk", "AC GELENK"),
                ("Omoplate", "OMOPLATE"),
                ("Escápula", "ESCAPULA"),
                ("XR SINUSES", "SINUSES"),
                ("NASAL BONES LAT", "NASAL BONES"),
                ("CR Abd AP", "ABD"),
                ("Abd supine", "ABD"),
                ("XR UPPER LIMB", "LIMB"),
                ("Lower extremity", "EXTREMITY"),
                ("Rx bras droit", "BRAS DROIT"),
                ("Rx arto inferiore", "ARTO INFERIORE"),
                ("Ba swallow", "BA SWALLOW"),
                ("IVP", "IVP"),
                ("Zahn", "ZAHN"),
                ("Ganzbein", "GANZBEIN"),
                ("Panoramix", "PANORAMIX"),
            ]
        ),
        ({"series": "CHEST LATERAL"}, "series CHEST LATERAL is not frontal"),
        ({"orientation": ("P", "F")}, "its rows lead to the patient's front or back, as in a lateral view"),
        ({"image_type": ("DERIVED", "SECONDARY")}, "a copy derived from another image (DERIVED, SECONDARY)"),
        ({"frames": 12}, "12 frames are not one radiograph"),
        ({"series": "Dose Report"}, "described as DOSE REPORT, which is no plain radiograph of the chest"),
        (
            {"modality": "DX", "protocol": ("Chest PA bone suppressed",)},
            "described as BONE SUPPRESSED, which is no plain radiograph of the chest",
        ),
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
        ({"modality": "CR", "kind": "CT Image Storage"}, ("modality and SOP class disagree: CR, CT Image Storage",)),
        ({"body_part": "CHEST", "series": "Hand dp"}, ("body part and description disagree: CHEST, HAND",)),
        ({"view": "PA", "coded_view": "left lateral"}, ("view and its code disagree: PA, left lateral",)),
        ({"series": "Chest PA + LAT"}, ("series Chest PA + LAT names a frontal and another view",)),
        ({"view": "PA", "series": "CHEST LATERAL"}, ("view and description disagree: PA, CHEST LATERAL",)),
        ({"view": "AP", "protocol": ("Thorax seitlich",)}, ("view and description disagree: AP, Thorax seitlich",)),
        ({"view": "PA", "orientation": ("A", "F")}, ("view and orientation disagree: PA, A",)),
        ({"body_part": "TRUNK"}, ("body part TRUNK does not say that it is the chest",)),
        ({"view": "STRANGE"}, ("view STRANGE is not known",)),
        ({"modality": "X-RAY"}, ("modality X-RAY is taken for radiography, whose codes are CR and DX",)),
        ({"modality": "DX"}, ()),
        ({"called": "QC"}, ("patient is called QC, which may be a test and no patient",)),
        ({"polarity": "MONOCHROME2, INVERSE"},
         ("photometric interpretation and presentation LUT disagree: MONOCHROME2, INVERSE; inverted",)),
        ({"view": "LL"}, ()),
        ({"view": "PA ERECT"}, ()),
        ({}, ()),
    ],
)  # fmt: skip
def test_remarks(facts, says):
    assert remarks(HeaderFacts(**facts)) == says
