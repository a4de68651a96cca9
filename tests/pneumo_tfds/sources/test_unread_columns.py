"""Columns that are not read: what their cells tell is asked about, whatever they are called, and others are not."""

from __future__ import annotations

import hashlib
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from made_sources import csv_of, splits, understood
from pneumo_tfds.sources.classes import ClassWords
from pneumo_tfds.sources.inventory import LABELS
from pneumo_tfds.sources.listing import File, Labelled
from pneumo_tfds.sources.survey import SurveyNotes
from pneumo_tfds.sources.unread_columns import ask_about_unread

N = 60
MIXED = random.Random(0).sample(range(N), N)
"""Row to a number, in no order."""

SPLIT = "no column is named split, but {} ("
LABEL = "the columns {} ("
VIEW, PART, MODALITY = (
    f"the column {{}} is not read and names images that are no frontal chest X-rays: .*rename it to {role}, which"
    for role in ("view", "body_part", "modality")
)
PATIENT = "no column is named patient, but {} ("
OTHER_PATIENT = "the column {} ("


def label(i):
    return i // 2 % 2


def questions(columns, patient=lambda i: f"p{i // 2}", n=N):
    """What is asked about a table of columns: name to a function of the row's number, or to values in turn."""
    return [remark.text for remark in remarks(columns, patient, n) if remark.question]


def remarks(columns, patient=lambda i: f"p{i // 2}", n=N):
    """What is asked and warned of, see `questions`."""
    rows = [
        {
            "path": f"{i}.png",
            "label": str(label(i)),
            **({"patient": str(patient(i))} if patient else {}),
            **{
                name: str(cell(i) if callable(cell) else cell[MIXED[i % N] % len(cell)])
                for name, cell in columns.items()
            },
        }
        for i in range(n)
    ]
    used = [
        (row, Labelled(File(row["path"], 1), LABELS[label(i)], "", row.get("patient", ""), "", ""))
        for i, row in enumerate(rows)
    ]
    chosen = {role: role for role in ("path", "label", "patient") if role in rows[0]}
    notes = SurveyNotes()
    ask_about_unread(used, chosen, ClassWords(), notes)
    return notes.remarks


def asked(columns, says, **options):
    (name,) = columns
    (text,) = questions(columns, **options)
    start, _, end = says.format(name).partition(".*")
    return text.startswith(start) and end in text


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("cv", lambda i: i // 2 % 5),
        ("crossval", lambda i: i // 2 % 4 + 1),
        ("k", lambda i: i // 2 % 3),
        ("CV5", lambda i: f"{i // 2 % 5}.0"),
        ("outer_fold", ["A", "B"]),
        ("z", ["tr", "val", "te"]),
        ("Menge", ["Trainingsdaten", "Testdaten"]),
        ("run1_test", lambda i: int(i % 10 == 0)),
        ("in_testset", ["0", "1"]),
        ("conjunto", ["entrenamiento", "prueba"]),
        ("jeu", ["entraînement", "essai", "validation"]),
        ("Aufteilung", ["Lernen", "Prüfen"]),
        ("insieme", ["addestramento", "prova"]),
        ("conj", ["treinamento", "teste"]),
        ("Usage", ["Public", "Private"]),
        ("where", ["Training", "PublicTest", "PrivateTest"]),
        ("role", ["dev", "eval"]),
        ("origin", ["chest_train_01", "chest_test_02"]),
        ("bucket", ["trainval", "test"]),
        ("usage", ["train", "rest"]),
        ("purpose", ["other", "test"]),
        ("role", ["dev", "blind"]),
        ("phase2", ["development", "lock-box"]),
        ("what", ["A", "lock box"]),
        ("Gruppe", ["Trainingsgruppe", "Testgruppe"]),
        ("Datensatz", ["Trainingsdatensatz", "Testdatensatz"]),
        ("Menge", ["Lernmenge", "Testmenge"]),
        ("Zuordnung", ["Lernstichprobe", "Teststichprobe"]),
        ("Verwendung", ["Training", "Testung"]),
        ("base", ["base d'apprentissage", "base de test"]),
        ("insieme", ["addestramento", "collaudo"]),
        ("gruppo", ["allenamento", "test"]),
        ("xval", ["0", "1"]),
    ],
)
def test_splits(name, cells):
    assert asked({name: cells}, SPLIT)


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("Befund", ["unauffällig", "Pneumonie"]),
        ("informe", ["normal", "neumonía"]),
        ("Bericht", ["o.B.", "Pneumonie rechts basal"]),
        ("icd10", ["Z00.0", "J18.9"]),
        ("reader1", ["NORMAL", "PNEUMONIA"]),
        ("reader_2", ["0", "1"]),
        ("consensus", ["normal", "viral pneumonia"]),
        ("ground_truth_2", ["0", "1"]),
        ("has_pneumonia", ["0", "1"]),
        ("rad1", ["0", "1"]),
        ("diagnosis", ["Pneumonia ruled out", "Pneumonia"]),
        ("pneumonia", ["no", "yes"]),
        ("Lungenentzündung", ["nein", "ja"]),
        ("Pneumonie", ["nein", "ja"]),
        ("old_label", ["0", "1"]),
    ],
)
def test_labels(name, cells):
    (text,) = questions({name: lambda i: cells[1 if i == 5 else label(i)]})
    assert text.startswith(LABEL.format(name))
    assert "label could both be the label and contradict each other in 1 of 60 rows" in text
    assert asked({name: lambda i: cells[1 - label(i)]}, LABEL)
    assert not questions({name: lambda i: cells[label(i)]})


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("label_text", ["healthy", "sick"]),
        ("diagnose", ["o.B.", "Infiltrat rechts"]),
        ("Befund", ["unauffällig", "Infiltrat"]),
        ("diagnóstico", ["normal", "infiltrado"]),
    ],
)
def test_words_for_normal_in_a_column_for_a_diagnosis_contradict_the_other_label(name, cells):
    assert asked({name: lambda i: cells[1 - label(i)]}, LABEL)
    (text,) = questions({name: lambda i: cells[label(i) if i != 2 else 0]})
    assert "label could both be the label and contradict each other in 1 of 60 rows" in text
    assert not questions({name: lambda i: cells[label(i)]})


def test_the_words_of_three_classes_are_asked_about_where_their_numbers_are_read_otherwise(tmp_path):
    names = ["COVID", "Normal", "Pneumonia"]
    rows = csv_of("path,target,finding_name,patient", *(f"{i}.png,{i % 3},{names[i % 3]},p{i}" for i in range(12)))
    content = {"t.csv": rows, **{f"{i}.png": None for i in range(12)}}
    (text,) = understood(tmp_path, content, "t.csv", negative=("0",), positive=("1", "2")).survey.questions
    assert text.startswith("the columns finding_name (COVID, Normal, Pneumonia) and target could both be the label and")


def test_a_column_that_corrects_a_few_labels_is_asked_about():
    assert asked({"label_corrected": lambda i: "NORMAL" if label(i) and i < 12 else ""}, LABEL)


@pytest.mark.parametrize("name", ["is_normal", "no_pneumonia", "No Finding", "gesund"])
def test_a_mark_for_normal_is_no_mark_for_pneumonia(name):
    assert asked({name: label}, LABEL)
    assert "contradict each other in 1 of 60 rows" in questions({name: lambda i: 0 if i == 4 else 1 - label(i)})[0]
    assert not questions({name: lambda i: 1 - label(i)})


@pytest.mark.parametrize(
    ("name", "cells", "says"),
    [
        ("Aufnahmerichtung", ["p.a.", "seitlich"], VIEW),
        ("incidencia", ["PA", "AP", "L"], VIEW),
        ("incidence", ["face", "profil"], VIEW),
        ("series", ["CHEST PA", "CHEST LAT"], VIEW),
        ("description", ["W Chest p.a.", "W Chest Lat.", "Chest portable"], VIEW),
        ("exam", ["CHEST 1V", "HAND 2V"], PART),
        ("anatomy", ["chest", "hand"], PART),
        ("Untersuchung", ["Thorax p.a.", "Knie"], PART),
        ("región", ["tórax", "rodilla"], PART),
        ("exam_type", ["XR", "CT"], MODALITY),
        ("Verfahren", ["Röntgen", "MRT", "Sonographie"], MODALITY),
        ("esame", ["RX", "TC"], MODALITY),
        ("exam", ["Chest XR", "Chest CT"], MODALITY),
        ("Gerät", ["CR", "US"], MODALITY),
        ("kind", ["CT"], MODALITY),
        ("description", ["Thorax pa", "Hand ap", "Thorax lat"], "the column {} is not read.*else remove these rows"),
    ],
)
def test_other_images(name, cells, says):
    assert asked({name: cells}, says)


@pytest.mark.parametrize(
    ("name", "unfit"),
    [
        ("is_lateral", 1),
        ("lateral", 1),
        ("frontal", 0),
        ("Frontal View", 0),
        ("hand", 1),
        ("ct", 1),
        ("chest", 0),
        ("thorax", 0),
    ],
)
@pytest.mark.parametrize("cells", ["01", ["no", "yes"], ["FALSCH", "WAHR"], ["нет", "да"], "NJ", ["absent", "present"]])
def test_marks_of_other_images(name, unfit, cells):
    says = "the column {} (.*marks images of 7 of 60 rows that are no frontal chest X-rays"
    assert asked({name: lambda i: cells[unfit if i < 7 else 1 - unfit]}, says)


@pytest.mark.parametrize(
    ("no", "yes"),
    [("FAUX", "VRAI"), ("FALSO", "VERO"), ("falso", "verdadero"), ("Hayır", "Evet"), ("HAYIR", "EVET"), ("否", "是"),
     ("no", "si\u0300"), ("nee", "ja"), ("neg", "pos"), ("negative", "positive")],
)  # fmt: skip
def test_yes_and_no_in_other_languages(no, yes):
    assert asked({"is_lateral": lambda i: yes if i < 7 else no}, "the column {} (.*marks images of 7 of 60 rows")
    assert asked({"pneumonia": lambda i: [no, yes][1 if i == 5 else label(i)]}, LABEL)
    assert not questions({"pneumonia": lambda i: [no, yes][label(i)]})


@pytest.mark.parametrize(
    ("name", "says"),
    [("is_lateral", True), ("frontal", True), ("synthetic", True), ("is_normal", True), ("Pneumonie", True),
     ("laterality", False), ("fever", False)],
)  # fmt: skip
def test_two_values_that_are_not_understood_under_the_name_of_a_mark(name, says):
    cells = {name: lambda i: ["ei", "kyllä"][MIXED[i] % 2]}
    assert not says or asked(cells, "the column {} (.*its two values are not understood")
    assert bool(questions(cells)) == says
    assert len(questions(cells | {name: ["ei", "kyllä", "ehkä"]})) == 0


def test_two_values_that_are_the_classes_in_other_words_are_not_asked_about():
    assert not questions({"pneumonia": lambda i: ["ei", "kyllä"][label(i)]})
    assert not questions({"pneumonia": ["bacterial", "viral"]})


def test_a_few_views_in_many_words_are_asked_about_and_unknown_ones_named():
    cells = {"aufnahme": lambda i: "left lateral decubitus view" if i < 4 else "PA"}
    assert asked(cells, VIEW)
    assert "(4 rows)" in questions(cells)[0]
    said = remarks({"aufnahme": lambda i: "liegend?" if i < 4 else "PA"})
    assert [remark.question for remark in said] == [False]
    assert "names views; not understood in it: liegend? (4 rows)" in said[0].text
    assert not remarks({"state": ["PA", "CT", "NY"], "beside": lambda i: "liegend?" if i < 40 else "PA"})


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("image_type", ["xray", "mask"]),
        ("type", ["original", "lung masks"]),
        ("species", ["Homo sapiens", "dog"]),
        ("Tierart", ["Mensch", "Felis catus"]),
        ("source", ["real", "GAN"]),
        ("synthetic", ["0", "1"]),
        ("is_fake", ["no", "yes"]),
    ],
)
def test_masks_animals_and_made_pictures(name, cells):
    assert asked({name: cells}, "the column {} is not read and tells masks, animals or made pictures")


@pytest.mark.parametrize(
    "name",
    ["consent", "Einwilligung", "is_duplicate", "evaluable", "exclusion", "approved", "opt_out", "blurred", "gradable"],
)
def test_marks_by_which_images_may_not_be_used(name):
    assert asked({name: ["0", "1"]}, "the column {} (.*may say which images are not to be used")


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("paziente", lambda i: i // 4),
        ("fall", lambda i: i // 5),
        ("fall", lambda i: MIXED[i] // 5),
        ("Fallnummer", lambda i: 20_000 + MIXED[i] // 4),
        ("kode", lambda i: f"K-{MIXED[i] // 5:02d}"),
        ("x", lambda i: hashlib.md5(str(MIXED[i] // 3).encode()).hexdigest()),
        ("nome", lambda i: f"Maria {chr(ord('A') + i // 3)}"),
    ],
)
def test_patients(name, cells):
    assert asked({name: cells}, PATIENT, patient=None)


@pytest.mark.parametrize(
    ("patient", "name", "cells"),
    [
        (lambda i: f"u{i}", "subject_id", lambda i: f"s{i // 2}"),
        (lambda i: f"u{i}", "Fallnummer", lambda i: 1000 + i // 2),
        (lambda i: 3 + MIXED[i] % 40, "mrn", lambda i: 70_000 + i // 2),
        (lambda i: ["child", "adult"][label(i)], "patient_id", lambda i: f"p{i}"),
    ],
)
def test_other_patients_than_those_that_are_read(patient, name, cells):
    assert asked({name: cells}, OTHER_PATIENT, patient=patient)


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("source_image", lambda i: f"orig_{MIXED[i] // 3:03d}.png"),
        ("original_path", lambda i: f"raw/person{MIXED[i] // 3}/{i}.dcm"),
        ("study_folder", lambda i: f"p{MIXED[i] // 3}/s{i}"),
        ("windows", lambda i: f"x\\p{MIXED[i] // 3}\\{i}.png"),
    ],
)
def test_stems_and_folders_of_paths_that_repeat_like_patients(name, cells):
    assert asked({name: cells}, PATIENT, patient=None)
    assert asked({name: cells}, OTHER_PATIENT, patient=lambda i: f"u{i}")


@pytest.mark.parametrize("cells", [lambda i: f"{100 + MIXED[i] % 20}/{60 + MIXED[i] % 20}", lambda i: f"raw/{i}.png"])
def test_pressures_and_paths_of_their_own_tell_no_patient(cells):
    assert not questions({"x": cells}, patient=None)


def test_cells_that_name_images_of_other_rows_are_asked_about():
    column = {"is_copy_of": lambda i: f"old/{i + 1}.png" if i % 10 == 0 else ""}
    (text,) = questions(column, patient=None)
    assert "names images of other rows in 6 rows, such as 1.png for 0.png" in text
    assert not questions(column), "both are of one patient"
    assert not questions({"dicom": lambda i: f"{i}.png"})


def test_kinds_of_pneumonia_are_no_remarks_and_may_be_read_as_subtype(tmp_path):
    assert not remarks({"etiology": lambda i: ["", "viral", "", "Klebsiella"][i // 10 % 2 * 2 + label(i)]})
    rows = [f"{i}.png,{LABELS[i % 3 == 0]},{'' if i % 3 else ['viral', 'bacterial'][i % 2]}" for i in range(30)]
    content = {"t.csv": csv_of("path,label,etiology", *rows), **dict.fromkeys(f"{i}.png" for i in range(30))}
    survey = understood(tmp_path, content, "t.csv").survey
    assert any("the column etiology is not read and names kinds of pneumonia" in note for note in survey.notes)
    assert not any("etiology" in text for text in survey.warnings)


def test_remarks_on_a_few_rows_are_warned_of():
    said = remarks({"Bemerkung": lambda i: "do not use" if i % 2 else "ok so"}) + remarks(
        {"x": lambda i: "mislabelled" if i == 7 else ""}
    )
    assert [remark.question for remark in said] == [False, False]
    assert "may say what speaks against an image: ok so (30 rows), do not use (30 rows)" in said[0].text
    assert "mislabelled (1 row)" in said[1].text
    for cells in ({"x": ["words", "others"]}, {"n": lambda i: "7" if i == 7 else ""}, {"sex": ["f", "", ""]}):
        assert not remarks(cells)


def number(least, most, scale=1):
    return lambda i: (least + MIXED[i] % (most - least)) * scale


ORDINARY = {
    "age": number(20, 70),
    "Alter": number(1, 60),
    "sex": ["M", "F"],
    "height": number(1000, 1030, 17),
    "kVp": number(60, 80),
    "window_centre": ["2047", "1024"],
    "WindowCenter": number(1000, 1030, 7),
    "poids": number(40, 70),
    "CRP": number(3, 40),
    "x_min": number(10, 50, 3.5),
    "x": number(100, 140, 7),
    "bbox": lambda i: f"{MIXED[i]} 20 30 40",
    "dim": lambda i: f"{MIXED[i] % 9}x2",
    "study_date": lambda i: f"2019-03-{MIXED[i] % 28 + 1:02d}",
    "aufgenommen": lambda i: f"{MIXED[i] % 28 + 1:02d}.03.2019",
    "bytes": lambda i: 100_000 + MIXED[i] * 977,
    "sha": lambda i: hashlib.md5(str(i).encode()).hexdigest(),
    "scanner_model": ["DRX-1", "Axiom 3", "FDR-2"],
    "scanner_id": ["D1", "D2", "D3"],
    "hospital": ["public", "private"],
    "hospital_code": ["H01", "H02", "H03"],
    "state": ["PA", "CT", "NY"],
    "country": ["US", "DE"],
    "title": ["Mr", "Mrs"],
    "ethnicity": ["white", "black", "latino"],
    "laterality": ["L", "R"],
    "device": ["portable", "fixed"],
    "pos": ["erect", "supine"],
    "comorbidity": ["scoliosis", "", ""],
    "location": ["right lower lobe", "left upper lobe"],
    "proj": ["PA", "AP", "frontal"],
    "comments": [
        "tube in place",
        "no acute disease",
        "lateral view not taken",
        "history of pneumonia 2019 and test negative since",
    ],
    "report": ["No effusion. Pneumonia of the left lung is seen as before.", "Clear lungs."],
    "history": ["asthma", "pneumonia", "none"],
    "dicom_path": lambda i: f"raw/{i}.dcm",
    "url": lambda i: f"https://x.org/{i // 6}/a.png",
    "severity": number(0, 4),
    "scale": number(1, 5),
    "fever": lambda i: 1 - label(i),
    "pcr_test": ["0", "1"],
    "test": ["neg", "pos"],
    "pneumonia_type": ["0", "1"],
    "age_class": ["0", "1"],
    "residence": ["VA", "NY"],
    "test_result": ["pos", "neg"],
    "cv_disease": ["0", "1"],
    "consent": ["valid"],
    "visit": lambda i: i % 2 + 1,
    "time_point": lambda i: i % 3,
    "image_id": lambda i: f"img{i}",
    "index": lambda i: i,
    "notes": [""],
    "dose": lambda i: f"{MIXED[i] % 15 / 7:.2f}",
    "kv": lambda i: f"{60 + MIXED[i] % 20}kV",
    "zip": lambda i: 10_000 + i // 4,
    "ecg": ["normal", "abnormal"],
    "chest_pain": ["0", "1"],
    "PA": ["0", "1"],
    "rib_fracture": ["0", "1"],
    "pneumothorax": ["0", "0", "1"],
    "hydrothorax": ["no", "yes"],
    "thoracotomy": ["0", "1"],
    "chestdrain": ["0", "1"],
    "scoliosis": ["0", "1"],
    "diabetes": ["no", "yes"],
    "line": ["internal jugular", "left subclavian"],
    "assay": ["PCR test", "antigen test"],
    "encounter": ["evaluation", "follow-up"],
    "species": ["human"],
    "support": ["oxygen mask", "none", "nasal cannula"],
    "kind": ["radiograph", "x-ray", "scan"],
    "swab": ["test positive", "test negative", "no test"],
}


@pytest.mark.parametrize("name", ORDINARY)
def test_ordinary_columns_are_not_asked_about(name):
    assert not questions({name: ORDINARY[name]})
    assert not questions({name: ORDINARY[name]}, patient=None)


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("PatID", lambda i: f"p{i // 2}"),  # the same people
        ("study_uid", lambda i: f"1.2.3.{i}"),
        ("accession", lambda i: f"A{i // 2:05d}"),
        ("doi", lambda i: f"10.1000/ab{i // 6}"),
        ("radiologist_id", ["R1", "R2", "R3"]),
        ("reader1", lambda i: MIXED[i] % 4 + 1),  # a scale
    ],
)
def test_identifiers_of_other_things_are_not_asked_about_beside_patients(name, cells):
    assert not questions({name: cells})


FINDINGS = ["Cardiomegaly", "Edema", "Lung Opacity", "Pleural Effusion", "Fracture", "Support Devices"]
KNOWN = {
    "NIH": {
        "Follow-up #": number(0, 5),
        "Patient Age": number(1, 95),
        "Patient Gender": "MF",
        "View Position": ["PA", "AP"],
        "OriginalImage[Width": ["2500", "2682", "2992"],
        "Height]": ["2048", "2991"],
        "y]": ["0.143", "0.168"],
    },
    "RSNA": {
        "x": number(100, 900, 1.0),
        "y": number(100, 900, 1.0),
        "width": number(80, 300, 1.0),
        "height": number(80, 500, 1.0),
    },
    "CheXpert": {
        "Sex": ["Male", "Female"],
        "Age": number(18, 91),
        "Frontal/Lateral": ["Frontal"],
        "AP/PA": ["AP", "PA"],
        **{finding: ["", "1.0", "0.0", "-1.0"] for finding in FINDINGS},
        "No Finding": lambda i: "1.0" * (1 - label(i)),
        "Pneumonia": lambda i: ["", "1.0"][label(i)],
    },
    "VinDr": {
        "rad_ID": ["R1", "R2", "R3"],
        "PatientAge": lambda i: f"{MIXED[i]:03d}Y",
        "PatientSex": "MF",
        "Bronchitis": "01",
        "Other disease": "01",
        "No finding": lambda i: 1 - label(i),
    },
    "PadChest": {
        "StudyDate_DICOM": lambda i: f"201{MIXED[i] % 9}0{MIXED[i] % 9 + 1}12",
        "StudyID": lambda i: 21_684_040 + i,
        "PatientBirth": number(1920, 2010),
        "ViewPosition_DICOM": ["POSTEROANTERIOR"],
        "MethodProjection": ["Manual review of DICOM fields"],
        "Pediatric": ["PED", "No"],
        "Modality_DICOM": ["CR", "DX"],
        "Manufacturer_DICOM": ["PhilipsMedicalSystems"],
        "PhotometricInterpretation_DICOM": ["MONOCHROME2"],
        "WindowCenter_DICOM": number(1500, 2500),
        "XRayTubeCurrent_DICOM": ["200", "320"],
        "ReportID": lambda i: 4_765_777 + i,
        "Report": ["sin hallazg patolog", "neumon lobul inferior izquierd y derrame asociad"],
        "MethodLabel": ["Physician", "RNN_model"],
        "Localizations": ["[]", "['loc basal']"],
        "labelCUIS": ["['C0205307']", "['C0032285']"],
    },
    "COVID-19 Radiography": {
        "FORMAT": ["PNG"],
        "SIZE": ["256*256"],
        "URL": ["https://sirm.org/category/covid", "https://github.com/ml-workgroup"],
    },
}


@pytest.mark.parametrize("name", KNOWN)
def test_the_columns_of_known_data_sets_are_not_asked_about(name):
    assert not questions(KNOWN[name])
    assert not questions({column: cells for column, cells in KNOWN[name].items() if column != "StudyID"}, patient=None)


quick = settings(max_examples=60, deadline=None, derandomize=True, database=None)
names = st.text("bcdfghjlmnpqrstvwxz", min_size=4, max_size=8)


@quick
@given(
    name=names,
    cells=st.sampled_from(
        [
            (SPLIT, ["train", "test"]),
            (SPLIT, ["entrenamiento", "prueba"]),
            (VIEW, ["pa", "lateral"]),
            (PART, ["thorax", "Knie"]),
            (MODALITY, ["CR", "CT"]),
        ]
    ),
    order=st.lists(st.integers(0, 1), min_size=10, max_size=N).filter(lambda order: set(order) == {0, 1}),
)
def test_cells_of_one_kind_are_asked_about_under_any_name_and_in_any_order(name, cells, order):
    says, values = cells
    assert asked({name: lambda i: values[order[i]]}, says, n=len(order))


@quick
@given(name=names, sizes=st.lists(st.integers(1, 5), min_size=6, max_size=12).filter(lambda sizes: max(sizes) > 1))
def test_codes_that_join_what_the_patient_column_divides_are_asked_about(name, sizes):
    owners = [owner for owner, size in enumerate(sizes) for _ in range(size)]
    columns = {name: lambda i: f"S{owners[i]:03d}"}
    assert asked(columns, OTHER_PATIENT, patient=lambda i: f"u{i}", n=len(owners))
    assert not questions(columns, patient=lambda i: f"u{owners[i]}", n=len(owners))


@quick
@given(name=names, values=st.lists(st.floats(0, 1e6).map("{:.2f}".format), min_size=20, max_size=N))
def test_measures_are_not_asked_about(name, values):
    assert not questions({name: lambda i: values[i]}, patient=None, n=len(values))


def test_what_is_left_out_by_another_column_is_not_asked_about(tmp_path):
    rows = [f"{i}.png,{i % 2},p{i},{['PA', 'L'][i < 4]},{['frontal', 'lateral'][i < 4]}" for i in range(12)]
    content = {"t.csv": csv_of("path,label,patient,view,seen_from", *rows), **{f"{i}.png": None for i in range(12)}}
    assert not understood(tmp_path, content, "t.csv").survey.questions


def test_a_split_that_the_folders_contradict_is_asked_about(tmp_path):
    paths = [f"{['train', 'test'][i % 3 == 0]}/{i}.png" for i in range(12)]

    def of(split):
        rows = csv_of("path,label,patient,split", *(f"{path},{i % 2},p{i},{split(i)}" for i, path in enumerate(paths)))
        return understood(tmp_path, {"t.csv": rows, **dict.fromkeys(paths)}, "t.csv")

    assert not of(lambda i: ["train", "test"][i % 3 == 0]).survey.questions
    assert not of(lambda i: ["val", "test"][i % 3 == 0]).survey.questions  # `train` may include validation
    source = of(lambda i: "train" if i else "test")
    assert splits(source) == {"train": 11, "test": 1}
    assert source.survey.questions == [
        "3 of 12 images lie in a folder of another split than the table says, the first test/3.png, which it calls "
        "train; --yes believes the table; if the folders are right, correct the table, or pass the folder as --source"
    ]


@pytest.mark.parametrize(
    ("cell", "asked"),
    [
        (lambda i: ["train", "test"][i // 2 % 2], "no column is named split, but no. 3 (train, test) may be one"),
        (lambda i: ["PNEUMONIA", "NORMAL"][i % 2], "the columns no. 3 (PNEUMONIA, NORMAL) and label could both be"),
        (lambda i: f"anna{i // 2}", "no column is named patient, but no. 3 (anna0, anna1, anna2, ...) may tell who"),
        (lambda i: ["lateral", "PA"][i % 2], "the column no. 3 is not read and names images that are no frontal"),
        (lambda i: "", ""),
    ],
)
def test_a_column_without_a_name_is_judged_as_any_other(tmp_path, cell, asked):
    rows = [f"{i}.png,{['NORMAL', 'PNEUMONIA'][i % 2]},{cell(i)}" for i in range(24)]
    content = dict.fromkeys(f"{i}.png" for i in range(24)) | {"t.csv": csv_of("path,label,", *rows)}
    survey = understood(tmp_path, content, "t.csv").survey
    assert ("splits or patients: no. 3" if asked else "splits or patients: none") in survey.notes[0]
    assert [text[: len(asked)] for text in survey.questions] == [asked] * bool(asked)


def test_numbers_of_rows_in_a_column_without_a_name_are_not_asked_about(tmp_path):
    rows = [f"{i},{i}.png,{i % 2}" for i in range(24)]
    content = dict.fromkeys(f"{i}.png" for i in range(24)) | {"t.csv": csv_of(",path,label", *rows)}
    assert not understood(tmp_path, content, "t.csv").survey.questions
