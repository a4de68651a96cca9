"""What tables say: columns and their roles, labels, splits and patients; what is refused names the line."""

from __future__ import annotations

import errno
import re
import shlex
import unicodedata

import pytest

from made_sources import csv_of, files, header, labels, patients, splits, understood, write
from pipeline.data.dataset import images_to_score
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.sources.opening import SourceOptions, open_source, understand

NAMES = "abcdefghij"
EVEN = {"NORMAL": 5, "PNEUMONIA": 5}


def table(head, row, names=NAMES, suffix=".png"):
    """A table and its files; `row` makes a line from name and number."""
    return {"t.csv": csv_of(head, *map(row, names, range(len(names)))), **{f"{name}{suffix}": None for name in names}}


@pytest.mark.parametrize(
    ("head", "row"),
    [
        ("path,label,patient", lambda name, i: f"{name}.png,{i % 2},p{i // 2}"),
        ("filename,class,PatientID", lambda name, i: f"./{name}.png,{['Normal', 'Pneumonia'][i % 2]},{i // 2}"),
        ("Image;Diagnosis;Subject ID", lambda name, i: f"{name}.png;{i % 2}.0;{i // 2}.0"),
        ("img_path\tTarget\tpatientId", lambda name, i: f'"{name}.png"\t{i % 2}\tA {i // 2}'),
        ("sep=;\nfile;label;MRN", lambda name, i: f"{name}.png;{['NORMAL', 'PNEUMONIA'][i % 2]};{i // 2:05d}"),
        ("ImagePath,Ground Truth,participant_id,age", lambda name, i: f".\\{name}.png,{i % 2},{i // 2},{i}"),
    ],
)
def test_ordinary_tables_are_read_without_a_question(tmp_path, head, row):
    source = understood(tmp_path, table(head, row), "t.csv")
    assert labels(source) == EVEN
    assert list(map(len, patients(source))) == [2, 2, 2, 2, 2]
    assert not source.survey.questions
    assert "columns read: " in source.survey.notes[0]


def test_the_survey_names_every_column_with_its_role(tmp_path):
    head = "Image,Finding,Subject ID,sex,remark"
    source = understood(tmp_path, table(head, lambda name, i: f"{name}.png,{i % 2},{i // 2},f,x"), "t.csv")
    assert source.survey.notes[:1] == (
        "columns read: Image as path, Finding as label, Subject ID as patient; "
        "not used for labels, splits or patients: sex, remark",
    )
    assert {part.where for part in source.survey.parts} == {"Finding = 0", "Finding = 1"}
    assert {part.patient for part in source.survey.parts} == {"column Subject ID"}


@pytest.mark.parametrize("text", ["7", "7.0", "007", " 7 ", '"7,0"'])
def test_spellings_of_one_patient(tmp_path, text):
    rows = table("path,label,patient", lambda name, i: f"{name}.png,{i % 2},{[7, text][i] if i < 2 else 100 + i}")
    assert ["a.png", "b.png"] in patients(understood(tmp_path, rows, "t.csv"))


@pytest.mark.parametrize("empty", ["", "nan", "N/A", "-", "Anonymous"])
def test_an_empty_patient_is_nobody_and_counted(tmp_path, empty):
    rows = table("path,label,patient", lambda name, i: f"{name}.png,{i % 2},{empty if i < 3 else i}")
    source = understood(tmp_path, rows, "t.csv")
    assert all(len(group) == 1 for group in patients(source))
    assert any(text.startswith("3 of 10 images tell no patient") for text in source.survey.warnings)


def test_patient_0_is_a_patient(tmp_path):
    rows = table("path,label,patient", lambda name, i: f"{name}.png,{i % 2},{i // 2}")
    assert ["a.png", "b.png"] in patients(understood(tmp_path, rows, "t.csv"))


@pytest.mark.parametrize(
    "column", ["anonymised_id", "Patientennummer", "Pat.-Nr.", "paciente", "case", "study_uid", "患者", "hash"]
)
def test_a_column_that_may_be_the_patient_is_asked_about(tmp_path, column):
    rows = table(f"path,label,{column},age", lambda name, i: f"{name}.png,{i % 2},{i // 2},{40 + i // 3}")
    with pytest.raises(
        InputError,
        match=rf"{re.escape(column)} \(0, 1, 2, \.\.\.\) may tell who is on an image; rename it to patient if",
    ):
        open_source(understood(tmp_path, rows, "t.csv").where)


@pytest.mark.parametrize("column", ["age", "sex", "Image Width", "hospital", "remark"])
def test_other_columns_are_named_and_not_asked_about(tmp_path, column):
    rows = table(f"path,label,{column}", lambda name, i: f"{name}.png,{i % 2},{i // 5}")
    source = understood(tmp_path, rows, "t.csv")
    assert not source.survey.questions
    assert source.survey.notes[0].endswith(f"not used for labels, splits or patients: {column}")


@pytest.mark.parametrize("words", ["train val test", "Training Validation Testing", "TRAIN dev tst"])
@pytest.mark.parametrize("column", ["split", "set", "Subset", "data_split"])
def test_splits_are_obeyed(tmp_path, words, column):
    rows = table(f"path,label,{column}", lambda name, i: f"{name}.png,{i % 2},{words.split()[i // 4]}")
    source = understood(tmp_path, rows, "t.csv")
    assert [image.official_split for image in source.images] == [*["train"] * 4, *["val"] * 4, *["test"] * 2]
    assert source.validation == "given"
    assert not source.survey.questions


@pytest.mark.parametrize(("last", "asked"), [("val_1", 1), ("train_1", 0)])
@pytest.mark.parametrize("in_path", [True, False])
def test_splits_numbered_like_folds_are_asked_about(tmp_path, last, asked, in_path):
    splits = ["train_0", "val_0", "train_1", last]
    names = [f"{splits[i % 4]}/{i}.png" if in_path else f"{i}.png" for i in range(16)]
    cells = [f"{name},{i // 4 % 2},p{i}{'' if in_path else ',' + splits[i % 4]}" for i, name in enumerate(names)]
    content = {"t.csv": csv_of("path,label,patient" + ("" if in_path else ",split"), *cells), **dict.fromkeys(names)}
    questions = understood(tmp_path, content, "t.csv").survey.questions
    assert sum("as those of folds have: train_0, train_1, val_0" in text for text in questions) == asked


def test_years_beside_splits_are_no_folds(tmp_path):
    cells = ["train 2018", "test 2018", "train 2019", "test 2019"]
    rows = table("path,label,patient,split", lambda name, i: f"{name}.png,{i // 4 % 2},p{i},{cells[i % 4]}")
    assert not understood(tmp_path, rows, "t.csv").survey.questions


def test_splits_that_are_not_understood_stop_the_build(tmp_path):
    folds = table("path,label,fold", lambda name, i: f"{name}.png,{i % 2},{i // 2}")
    with pytest.raises(
        InputError,
        match=r"line 2: unknown split '0' in the column fold, .*; write train, val and test in place of",
    ):
        understood(tmp_path, folds, "t.csv")
    others = table("path,label,kfold", lambda name, i: f"{name}.png,{i % 2},{i // 2}")
    with pytest.raises(InputError, match=r"no column is named split, but kfold \(0, 1, 2, \.\.\.\) may be one"):
        open_source(understood(tmp_path, others, "t.csv").where)
    some = table("path,label,split", lambda name, i: f"{name}.png,{i % 2},{'test' if i < 4 else ''}")
    with pytest.raises(InputError, match=r"6 images of 10, the first e\.png, are in no split, though others are"):
        open_source(understood(tmp_path, some, "t.csv").where)


@pytest.mark.parametrize("other", ["test", "val"])
def test_a_patient_in_two_splits_of_a_table_is_asked_about_by_name_but_not_for_scoring(tmp_path, other):
    rows = table(
        "path,label,patient,split", lambda name, i: f"{name}.png,{i % 2},anna{i // 2},{[other, 'train'][i % 2]}"
    )
    source = understood(tmp_path, rows, "t.csv").where
    with pytest.raises(InputError, match=r"5 patients of the .*, such as anna0, .*--yes divides all images anew"):
        open_source(source)
    assert understand(source, SourceOptions(yes=True)).validation == "redrawn"
    assert len(images_to_score(source, SourceOptions()).images) == (5 if other == "test" else 10)


def test_line_separators_that_end_no_line_of_a_file_stay_in_their_cell(tmp_path):
    rows = table("path,label,report", lambda name, i: f"{name}.png,{i % 2},clear" + "\x0b\x85\u2028"[i % 3] + "lungs")
    assert len(understood(tmp_path, rows, "t.csv").images) == 10


@pytest.mark.parametrize(
    ("cells", "says"),
    [
        (["clear", "opacity"], r"unknown label 'clear'.*the column label holds clear \(5 rows\), opacity \(5 rows\)"),
        (["0.2", "0.9"], "unknown label '0.2'"),
        (["0", "2"], "line 2: unknown label '0'.*; 0 and 1, no and yes and the like tell the classes only where"),
        (["", "1"], r"unknown label ''.*holds 1 \(5 rows\), empty|unknown label ''.*empty \(5 rows\)"),
    ],
)
def test_unknown_labels_are_shown_with_what_the_column_holds(tmp_path, cells, says):
    with pytest.raises(InputError, match=says):
        understood(tmp_path, table("path,label", lambda name, i: f"{name}.png,{cells[i % 2]}"), "t.csv")


@pytest.mark.parametrize(
    "cells",
    ["0 1 2", "0.0 1.0 2.0", "1 2", "0 1 unclear", "N T", "no true", "0 yes", "nein yes", "no ja nein", "pos present"],
)
def test_marks_tell_no_class_beside_other_values_or_without_their_other_one(tmp_path, cells):
    cells = cells.split()
    rows = table("path,label", lambda name, i: f"{name}.png,{cells[i % len(cells)]}")
    with pytest.raises(InputError, match=f"line 2: unknown label '{cells[0]}'.*--negative NAME --positive NAME"):
        understood(tmp_path, rows, "t.csv")
    named = understood(tmp_path, rows, "t.csv", negative=(cells[-1],), positive=(cells[0],))
    assert {image.label for image in named.images if image.name == "a.png"} == {"PNEUMONIA"}
    assert not named.survey.questions, "numbers that no flag names are left out, as the message says"


@pytest.mark.parametrize(
    "cells", ["0 1 -1", "0 1 nan", "no yes -", "1 0 1.0 0.0", "non oui n/a", "neg pos", "FALSCH WAHR", "нет да"]
)
def test_marks_of_one_pair_tell_classes_beside_empty_and_uncertain_cells(tmp_path, cells):
    cells = cells.split()
    rows = table("path,label", lambda name, i: f"{name}.png,{cells[i % len(cells)]}")
    source = understood(tmp_path, rows, "t.csv")
    assert [image.label for image in source.images][:2] == ["NORMAL", "PNEUMONIA"][:: -1 if cells[0] == "1" else 1]
    assert not source.survey.questions


def test_a_letter_without_the_other_of_its_pair_tells_no_class(tmp_path):
    with pytest.raises(InputError, match="unknown label 'T'"):
        understood(tmp_path, table("path,label", lambda name, i: f"{name}.png,T"), "t.csv")


@pytest.mark.parametrize("cells", ["NORMAL PNEUMONIA 1 2", "Normal No 1 Pneumonia", "pneumonia normal T"])
def test_marks_beside_names_of_classes_are_asked_about(tmp_path, cells):
    cells = cells.split()
    rows = table("path,label", lambda name, i: f"{name}.png,{cells[i % len(cells)]}")
    source = understood(tmp_path, rows, "t.csv")
    marks = [cell for cell in cells if len(cell) < 3]
    (question,) = source.survey.questions
    assert question.startswith("the column label holds names of classes and, beside them, ")
    assert all(f"{mark} (" in question for mark in marks)
    assert {image.name for image in source.images} == {
        f"{name}.png" for i, name in enumerate(NAMES) if cells[i % len(cells)] not in marks
    }
    assert source.ignored.keys() == {f"label is {mark}" for mark in marks}


def test_the_flags_that_are_proposed_name_all_labels_of_a_class(tmp_path):
    cells = ["No Finding", "Pneumonia", "Infiltration|Pneumonia", "Effusion"]
    rows = table("path,label", lambda name, i: f"{name}.png,{cells[i % 4]}")
    with pytest.raises(InputError) as refused:
        understood(tmp_path, rows, "t.csv")
    flags = "--negative 'No Finding' --positive Pneumonia (not understood: 'Infiltration|Pneumonia', Effusion); rows of"
    assert flags in str(refused.value)
    mixed = table("path,label", lambda name, i: f"{name}.png,{['NORMAL', 'pneumonia', 'COPD', 'Pneumonia'][i % 4]}")
    (warning,) = [w for w in understood(tmp_path, mixed, "t.csv").survey.warnings if "COPD" in w]
    assert warning.endswith("name them with --positive pneumonia NAME... or --negative NORMAL NAME...")


@pytest.mark.parametrize("cells", ["False True", "no YES", "f t", "0 1"])
def test_labels_of_no_and_yes_are_understood_as_0_and_1(tmp_path, cells):
    rows = table("path,label", lambda name, i: f"{name}.png,{cells.split()[i % 2]}")
    assert [image.label for image in understood(tmp_path, rows, "t.csv").images] == ["NORMAL", "PNEUMONIA"] * 5


@pytest.mark.parametrize(("negative", "normal"), [(("0",), 3), (("0", "-1"), 6)])
def test_a_label_of_minus_1_is_not_1(tmp_path, negative, normal):
    rows = table("path,label", lambda name, i: f"{name}.png,{i % 3 - 1}", NAMES[:9])
    source = understood(tmp_path, rows, "t.csv", negative=negative, positive=("1",))
    assert labels(source) == {"NORMAL": normal, "PNEUMONIA": 3}
    assert source.ignored == ({"label is -1": 3} if normal == 3 else {})


def test_rows_of_neither_class_are_left_out_and_warned_of_where_both_classes_are_there(tmp_path):
    rows = table("path,label", lambda name, i: f"{name}.png,{['NORMAL', 'PNEUMONIA', 'COPD', ''][i % 4]}")
    source = understood(tmp_path, rows, "t.csv")
    assert labels(source) == {"NORMAL": 3, "PNEUMONIA": 3}
    assert source.ignored == {"label is COPD": 2, "label is empty": 2}
    assert any("COPD (2 rows), empty (2 rows); to use them, name them with" in text for text in source.survey.warnings)


UNLISTED = "in a folder of the table's images, but in no row of it"


def test_images_beside_those_of_the_table_that_no_row_names_are_counted(tmp_path):
    rows = table("path,label,patient", lambda name, i: f"x/../in/{name}.png,{i % 2},{i}")
    beside = [f"in/{name}.png" for name in NAMES] + ["in/more.jpg", "in/more.DCM", "in/notes.txt", "out/other.png"]
    source = understood(tmp_path, {"t.csv": rows["t.csv"], "x/a.txt": "", **dict.fromkeys(beside)}, "t.csv")
    assert labels(source) == EVEN
    assert [(group.reason, group.examples) for group in source.survey.left_out] == [
        (UNLISTED, ("x/../in/more.DCM", "x/../in/more.jpg"))
    ]


def test_rows_that_are_left_out_still_name_their_images(tmp_path):
    rows = table("path,label,patient", lambda name, i: f"{name}.png,{['0', '1', 'COPD'][i % 3]},{i}")
    assert UNLISTED not in understood(tmp_path, rows, "t.csv", negative=("0",), positive=("1",)).ignored


def test_an_image_listed_in_another_unicode_form_is_not_counted_as_unlisted(tmp_path):
    rows = table("path,label,patient", lambda name, i: f"{name}\u0308.png,{i % 2},{i}", suffix="\u0308.png")
    rows["t.csv"] = unicodedata.normalize("NFC", rows["t.csv"])
    source = understood(tmp_path, rows, "t.csv")
    assert labels(source) == EVEN
    assert not source.ignored


def test_a_folder_that_may_not_be_listed_is_named(tmp_path, monkeypatch):
    def refuse(_):
        raise PermissionError(errno.EACCES, "Permission denied")

    rows = table("path,label,patient", lambda name, i: f"{name}.png,{i % 2},{i}")
    monkeypatch.setattr("pneumo_tfds.sources.table_paths.os.listdir", refuse)
    source = understood(tmp_path, rows, "t.csv")
    assert any("cannot be listed (Permission denied)" in warning for warning in source.survey.warnings)


def test_an_image_is_listed_once_though_one_of_its_rows_is_left_out(tmp_path):
    rows = table("path,label", lambda name, i: f"{name if i else 'b'}.png,{['COPD', 'NORMAL', 'PNEUMONIA'][i % 3]}")
    with pytest.raises(InputError, match=r"line 3: b\.png is listed twice"):
        understood(tmp_path, rows, "t.csv")


def test_all_that_is_wrong_in_the_rows_is_told_at_once(tmp_path):
    rows = table("path,label,subtype,split", lambda name, i: (
        f"{name if i else 'x'}.png,{i % 2 * 3},{'fungus' * (i == 4)},{['T', 'E'][i % 2]}"))  # fmt: skip
    with pytest.raises(InputError) as caught:
        understood(tmp_path, rows, "t.csv")
    text = str(caught.value)
    assert "line 2: there is no file 'x.png'" in text
    assert "line 2: unknown split 'T' in the column split, which holds T (5 rows), E (5 rows); write train, val" in text
    assert "line 2: unknown label '0'; the column label holds 0 (5 rows), 3 (5 rows); 0 and 1, no and yes" in text
    assert "line 6: unknown subtype 'fungus'" in text


def test_columns_with_foreign_names_are_recognised_by_their_cells(tmp_path):
    rows = table("Bild,Befund,Patientennummer,Satz", lambda name, i: (
        f"{name}.png,{['gesund', 'Pneumonie', 'COPD'][i % 3]},{i // 2},{['training', 'test'][i % 2]}"))  # fmt: skip
    with pytest.raises(InputError) as caught:
        understood(tmp_path, rows, "t.csv")
    for says in (
        "found Bild, Befund, Patientennummer, Satz; rename Bild (a.png, b.png, c.png, ...) to path; ",
        "rename Befund (gesund, Pneumonie, COPD) to label and pass --negative gesund --positive Pneumonie",
        "Satz (training, test) may be the split: write train, val and test in its cells, and name it split",
        "Patientennummer (0, 1, 2, ...) may tell who is on an image: rename it to patient",
    ):
        assert says in str(caught.value)


def test_a_table_without_names_of_images_has_to_be_joined(tmp_path):
    rows = table("AccessionNumber,Diagnosis,MRN", lambda name, i: f"A{100 + i},{i % 2},{i // 2}")
    with pytest.raises(InputError, match="no column holds names of image files; join the table with one that has them"):
        understood(tmp_path, rows, "t.csv")


def test_a_table_that_names_its_images_without_suffix_says_so(tmp_path):
    head = "image_id,label,patient_id,age"
    rows = table(head, lambda name, i: f"img{i:03d},{i % 2},p{i},{i}", [f"imgs/img{i:03d}" for i in range(10)])
    with pytest.raises(InputError) as refused:
        understood(tmp_path, rows, "t.csv")
    assert "no column holds names" not in str(refused.value)
    assert (
        "; rename image_id (img000, img001, img002, ...) to path, and write the suffix of the files into its cells: "
        "the first of them is that of imgs/img000.png"
    ) in str(refused.value)
    named = rows["t.csv"].replace("image_id", "path").splitlines()
    named[1:] = [line.replace(",", ".png,", 1) for line in named[1:]]
    assert labels(understood(tmp_path, {"t.csv": csv_of(*named)}, "t.csv")) == EVEN


def test_labels_are_mapped_by_flags(tmp_path):
    rows = table("path,label", lambda name, i: f"{name}.png,{['clear', 'opacity'][i % 2]}")
    assert labels(understood(tmp_path, rows, "t.csv", negative=("Clear",), positive=("opacity",))) == EVEN
    swapped = understood(tmp_path, table("path,label", lambda name, i: f"{name}.png,{i % 2}.0"), "t.csv",
                         positive=("0",), negative=("1",))  # fmt: skip
    assert {image.label for image in swapped.images if image.name in ("a.png", "c.png")} == {"PNEUMONIA"}


@pytest.mark.parametrize(
    ("head", "says"),
    [
        ("path,label,patientId,Subject ID", "patientId and Subject ID could both be the patient; rename one"),
        ("image,file,label", "image and file could both be the path"),
        ("path,diagnosis,finding", "diagnosis and finding could both be the label"),
        ("path,path,label", "has the column 'path' twice"),
        ("image,id,choice", "found image, id, choice; rename the column that holds the label"),
    ],
)
def test_columns_that_are_not_clear_are_refused(tmp_path, head, says):
    with pytest.raises(InputError, match=says):
        understood(tmp_path, {"t.csv": csv_of(head, "a.png,0"), "a.png": None}, "t.csv")


@pytest.mark.parametrize("path", ["x/../a.png", "ABSOLUTE/a.png", "link.png"])
def test_a_file_by_two_paths_is_listed_twice(tmp_path, path):
    write(tmp_path, ["x/b.png", "a.png"])
    (tmp_path / "link.png").symlink_to("a.png")
    path = path.replace("ABSOLUTE", str(tmp_path))
    write(tmp_path, {"t.csv": csv_of("path,label", "a.png,0", "x/b.png,1", f"{path},1")})
    with pytest.raises(InputError, match=rf"line 4: a\.png is listed twice, here as {re.escape(path)}; keep one line"):
        understand(tmp_path / "t.csv")


def test_views_of_the_side_are_left_out(tmp_path):
    rows = table(
        "path,label,View Position", lambda name, i: f"{name}.png,{i % 2},{['PA', 'AP', 'LL', 'Lateral', 'L'][i // 2]}"
    )
    source = understood(tmp_path, rows, "t.csv")
    assert labels(source) == {"NORMAL": 2, "PNEUMONIA": 2}
    assert sum(source.ignored.values()) == 6


@pytest.mark.parametrize("suffix", [".dicom", ".dcm", ""])
def test_dicom_files_of_a_table_are_read_by_content(tmp_path, suffix):
    content = table("path,label", lambda name, i: f"{name}{suffix},{i % 2}", suffix=suffix)
    content |= {f"{name}{suffix}": header(f"P{i // 2}") for i, name in enumerate(NAMES)}
    source = understood(tmp_path, content, "t.csv")
    assert list(map(len, patients(source))) == [2, 2, 2, 2, 2]


def test_absolute_paths_and_patients_in_their_folders(tmp_path):
    names = files("x/p{}/{}.png", range(6), [1, 2])
    rows = [f"{tmp_path}/{name},{i % 2}" for i, name in enumerate(names)]
    source = understood(tmp_path, {"t.csv": csv_of("path,label", *rows), **dict.fromkeys(names)}, "t.csv")
    assert list(map(len, patients(source))) == [2] * 6
    assert {part.patient for part in source.survey.parts} == {"folder"}


def test_a_table_with_the_name_of_a_known_one_and_other_columns_is_the_users(tmp_path):
    content = table("path,label,patient,split", lambda name, i: f"{name}.png,{i % 2},{i},train")
    content["train.csv"] = content.pop("t.csv")
    source = understood(tmp_path, content, "train.csv")
    assert source.survey.layout == "table"
    assert splits(source) == {"train": 10}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"path,label\n\xe4.png,0\n", "line 2: has a character that is not in UTF-8; save it as UTF-8, which Excel"),
        ("path,label\n" + "x" * 200_000 + ",0\n", "line 2: has a cell of more than 131,072 characters; a quote there"),
        (b"PK\x03\x04rest", "is a workbook of Excel or the like; save its sheet as CSV"),
        ("a.png,0\nb.png,1\n", "first line is no header but holds 'a.png'; write a line with the names"),
        ("a.png,1,1\nb.png,0,1\n", "first line is no header but holds 'a.png'"),
        ("Report of 2024\npath,label\na.png,0\n", "line 2: has 2 cells, but the first line names 1 column; if a title"),
        ("Report;;\npath;label;x\na.png;0;1\n", "found Report; if line 1 is a title and no header, remove it"),
        ("path,label,patient\na.png,0,7,5\n", "line 2: has 4 cells, but the first line names 3 columns"),
    ],
)
def test_a_table_that_is_none_is_refused_in_our_words(tmp_path, text, says):
    with pytest.raises(InputError, match=says):
        understood(tmp_path, {"t.csv": text}, "t.csv")


def with_folders(folders, label=lambda i: i % 2, column="", cell=None):
    """A table whose images lie in folders, one for each in turn."""
    names = [f"{folders[i % len(folders)]}/{i}.png" for i in range(12)]
    rows = [f"{name},{label(i)}{f',{cell(i)}' if cell else ''}" for i, name in enumerate(names)]
    return {"t.csv": csv_of(f"path,label{column and f',{column}'}", *rows), **dict.fromkeys(names)}


def test_folders_tell_the_split_where_no_column_does(tmp_path):
    content = with_folders(["Testing/a", "training/a", "training/b"])
    source = understood(tmp_path, content, "t.csv")
    assert {image.name.split("/")[0] for image in source.images if image.official_split == "test"} == {"Testing"}
    assert splits(source) == {"test": 4, "train": 8}
    assert source.survey.notes[1].endswith("folders in its paths tell it: train (8 images), test (4 images)")
    own = with_folders(["test", "train"], column="split", cell=lambda i: ["train", "val"][i // 6])
    assert splits(understood(tmp_path / "own", own, "t.csv")) == {"train": 6, "val": 6}


def test_folders_above_all_absolute_paths_tell_no_split(tmp_path):
    content = with_folders(["a", "b"])
    content["t.csv"] = content["t.csv"].replace("a/", f"{tmp_path}/test/a/").replace("b/", f"{tmp_path}/test/b/")
    write(tmp_path / "test", [name for name in content if name != "t.csv"])
    assert splits(understood(tmp_path, {"t.csv": content["t.csv"]}, "t.csv")) == {"": 12}


def test_folders_that_tell_some_or_two_splits_of_a_table(tmp_path):
    some = understood(tmp_path / "some", with_folders(["test", "more", "train"]), "t.csv")
    assert some.survey.questions == [
        "4 images of 12, the first more/1.png, are in no split, though others are in train, val or test; --yes takes "
        "them for training; else give them one, by a folder, a column or a list"
    ]
    two = understood(tmp_path / "two", with_folders(["train/val", "train"]), "t.csv")
    assert two.survey.questions == [
        "train/val/0.png: its folders name two splits, train and val; --yes takes no split from paths and divides the "
        "images anew; else rename one of these folders, there and in the table"
    ]
    assert splits(two) == {"": 12}


def test_a_patient_in_two_folders_of_splits_is_asked_about_as_in_folders(tmp_path):
    content = with_folders(["train", "test"], column="patient", cell=lambda i: i // 2)
    source = understood(tmp_path, content, "t.csv")
    assert any("6 patients of the test split, such as 0, have images outside it" in q for q in source.survey.questions)


def test_labels_that_contradict_the_folders_are_asked_about(tmp_path):
    content = with_folders(["x/normal", "x/Pneumonia"], label=lambda i: 1 if i == 4 else i % 2)
    source = understood(tmp_path, content, "t.csv")
    assert [text.partition(";")[0] for text in source.survey.questions] == [
        "1 of 12 images lie in a folder of another label than the table says, the first x/normal/4.png, which it calls "
        "PNEUMONIA"
    ]
    assert labels(source) == {"NORMAL": 5, "PNEUMONIA": 7}


@pytest.mark.parametrize(("folders", "asked"), [(["a", "virus"], 3), (["virus/a", "virus/b"], 0)])
def test_normal_images_in_a_folder_of_virus_are_asked_about_unless_all_lie_in_it(tmp_path, folders, asked):
    content = with_folders(folders, label=lambda i: i // 2 % 2)
    questions = understood(tmp_path, content, "t.csv").survey.questions
    said = f"{asked} of 12 images lie in a folder of another label than the table says"
    assert [said in text for text in questions if "another label" in text] == [True] * bool(asked)


@pytest.mark.parametrize(
    ("column", "cell", "asked"),
    [
        ("diagnosis", lambda i: 1 - i % 2 if i < 3 else i % 2, 3),
        ("reader2", lambda i: ["Normal", "PNEUMONIA"][i < 2], 5),
        ("diagnosis", lambda i: i % 2, 0),
        ("fever", lambda i: 1 - i % 2, 0),
        ("finding", lambda i: ["normal", "effusion"][i % 3 > 0], 2),
    ],
)
def test_two_labels_that_contradict_each_other_are_asked_about(tmp_path, column, cell, asked):
    rows = table(f"path,label,{column}", lambda name, i: f"{name}.png,{i % 2},{cell(i)}")
    questions = understood(tmp_path, rows, "t.csv").survey.questions
    says = f" and label could both be the label and contradict each other in {asked} of 10 rows"
    assert [text.startswith(f"the columns {column} (") and says in text for text in questions] == [True] * bool(asked)


@pytest.mark.parametrize(
    ("column", "cells", "counts"),
    [
        ("is_test", "0 1", {"train": 5, "test": 5}),
        ("Is Test", "False True", {"train": 5, "test": 5}),
        ("is_val", "no yes", {"train": 5, "val": 5}),
        ("is_train", "1.0 1.0", {"train": 10}),
        ("train", "1 1", {"train": 10}),
    ],
)
def test_columns_of_0_and_1_tell_one_split(tmp_path, column, cells, counts):
    rows = table(f"path,label,{column}", lambda name, i: f"{name}.png,{i % 2},{cells.split()[i // 5]}")
    source = understood(tmp_path, rows, "t.csv")
    assert splits(source) == counts
    assert not source.survey.questions


def test_columns_named_like_splits_tell_them_together(tmp_path):
    rows = table(
        "path,label,train,val,test", lambda name, i: f"{name}.png,{i % 2},{int(i < 6)},{int(i in (6, 7))},{int(i > 7)}"
    )
    source = understood(tmp_path, rows, "t.csv")
    assert splits(source) == {"train": 6, "val": 2, "test": 2}
    assert not source.survey.questions


def test_columns_of_0_and_1_that_leave_the_split_open(tmp_path):
    rows = table("path,label,is_train", lambda name, i: f"{name}.png,{i % 2},{i // 5}")
    with pytest.raises(InputError, match="for training and not what the other 5 are for; --yes takes them for"):
        open_source(understood(tmp_path, rows, "t.csv").where)
    rows = table("path,label,is_train,is_test", lambda name, i: f"{name}.png,{i % 2},{i % 2},{i // 5}")
    with pytest.raises(InputError, match="line 7: the columns is_train and is_test name two splits; keep one"):
        understood(tmp_path, rows, "t.csv")
    rows = table("path,label,is_test", lambda name, i: f"{name}.png,{i % 2},{i}")
    with pytest.raises(InputError, match="line 4: unknown value '2' in the column is_test; use 0 or 1"):
        understood(tmp_path, rows, "t.csv")


@pytest.mark.parametrize(
    ("column", "cells", "remedy"),
    [
        ("test", ["0", "1"], "if it marks the images of one split, rename it to is_test"),
        ("is_valid", ["False", "True"], "rename it to is_val"),
        ("use", ["development", "hold-out"], "write train, val and test in its cells, and name it split"),
        ("origin", ["derivation", "external"], "in its cells"),
        ("usage", ["PublicTest", "PrivateTest"], "in its cells"),
        (
            "kfold",
            ["0", "1", "2"],
            "in place of its numbers, such as test for 0, and name it split",
        ),
        ("remark", [f"{word}_{n}" for n in range(6) for word in ("TrainA", "TestB")], "in its cells"),
    ],
)
def test_a_column_that_may_be_the_split_is_asked_about(tmp_path, column, cells, remedy):
    rows = table(f"path,label,{column}", lambda name, i: f"{name}.png,{i % 2},{cells[i % len(cells)]}")
    assert any(
        text.startswith(f"no column is named split, but {column} (") and remedy in text
        for text in understood(tmp_path, rows, "t.csv").survey.questions
    )


@pytest.mark.parametrize(
    ("column", "fit", "unfit", "reason"),
    [
        ("view", "PA", "oblique", "view oblique is not frontal"),
        ("view", "ap supine", "LAO", "view LAO is not frontal"),
        ("Projection", "", "Seitlich", "view Seitlich is not frontal"),
        ("view", "frontal", "left lateral decubitus", "view left lateral decubitus is not frontal"),
        ("modality", "X-ray", "CT", "modality CT is not radiography"),
        ("Modality", "CR/DX", "MR", "modality MR is not radiography"),
        ("body_part", "Thorax", "HAND", "body part HAND is not the chest"),
    ],
)
def test_rows_that_are_no_frontal_chest_radiographs_are_left_out(tmp_path, column, fit, unfit, reason):
    rows = table(f"path,label,{column}", lambda name, i: f"{name}.png,{i % 2},{[fit, unfit][i < 4]}")
    source = understood(tmp_path, rows, "t.csv")
    assert labels(source) == {"NORMAL": 3, "PNEUMONIA": 3}
    assert source.ignored == {reason: 4}


def test_a_table_of_which_every_row_is_left_out_says_why(tmp_path):
    rows = table("path,label,modality", lambda name, i: f"{name}.png,{i % 2},CT")
    with pytest.raises(InputError, match=r"all images of its rows are left out \(10 modality CT is not radiography\)"):
        understood(tmp_path, rows, "t.csv")


def test_a_workbook_is_named_as_such(tmp_path):
    with pytest.raises(InputError, match=r"labels\.xlsx: is a workbook of Excel or the like; save its sheet as CSV"):
        understood(tmp_path, {"labels.xlsx": b"PK\x03\x04rest"}, "labels.xlsx")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_encodings_separators_and_empty_rows_of_excel(tmp_path, encoding, separator):
    rows = table("path,label,patient", lambda name, i: f"{name}.png,{i % 2},Jürgen {i // 2}")
    text = f"\n{rows['t.csv']}\n,,\n,,\n".replace(",", separator)
    source = understood(tmp_path, rows | {"t.csv": text.encode(encoding)}, "t.csv")
    assert list(map(len, patients(source))) == [2] * 5
    assert {image.patient for image in source.images} >= {"jürgen 0"}


def test_names_that_are_each_there_once_below_the_table(tmp_path):
    content = table("path,label", lambda name, i: f"{name}.png,{i % 2}")
    content = {name if name == "t.csv" else f"scans/{name}": data for name, data in content.items()}
    source = understood(tmp_path, content, "t.csv")
    assert labels(source) == EVEN
    assert source.survey.notes[1] == (
        "10 paths of the table lead to no file, but each is there once below its folder, the first as scans/a.png; "
        "these are used"
    )
    assert source.reader.read(source.images[0]) == (tmp_path / "scans/a.png").read_bytes()
    write(tmp_path, {f"{name}.png": None for name in NAMES[1:]})
    note = understand(tmp_path / "t.csv").survey.notes[1]
    assert note.startswith("1 path of the table leads to no file, but")


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("b.png", "there is no file 'b.png' beside the table, but [xy]/b.png and [xy]/b.png; write the folder into"),
        ("C.PNG", "there is no file 'C.PNG', but x/c.png; correct the letter case in the table"),
        ("c", "there is no file 'c', but x/c.png; correct the folder, suffix or letter case in the table"),
        ("x/c.jpeg", "there is no file 'x/c.jpeg', but x/c.png; correct the folder, suffix"),
        ("D:\\old\\c.png", "but x/c.png; correct the folder"),
        ("d.png", "there is no file 'd.png'; correct the path, which is relative to the table"),
    ],
)
def test_a_path_that_leads_nowhere_is_explained(tmp_path, path, says):
    content = {"t.csv": csv_of("path,label", "a.png,0", f"{path},1"), **dict.fromkeys(["a.png", "x/b.png", "y/b.png"])}
    with pytest.raises(InputError, match=f"line 3: .*{says}"):
        understood(tmp_path, content | {"x/c.png": None}, "t.csv")


def test_a_table_without_labels_in_a_folder_of_classes_is_pointed_out(tmp_path):
    names = files("{}/{}.png", ["NORMAL", "PNEUMONIA"], range(2))
    content = {**dict.fromkeys(names), "about.csv": csv_of("filename,patient_id,age", "NORMAL/0.png,7,3")}
    says = "about.csv (its columns are filename, patient_id, age) tells something of the images and is not read"
    assert any(text.startswith(says) for text in understood(tmp_path / "a", content).survey.warnings)
    content["about.csv"] = csv_of("Datei;Befund", *(f"{n}.png;unauffällig" for n in range(2)))
    assert any(text.startswith("about.csv (its columns are Datei, Befund) tells something of the images")
               for text in understood(tmp_path / "foreign", content).survey.warnings)  # fmt: skip
    for other in (csv_of("filename,age,age", "NORMAL/0.png,3,3"), csv_of("x,y", "10,20", "30,1")):
        content["about.csv"] = other
        assert not any("about.csv" in text for text in understood(tmp_path / "b", content).survey.warnings)


def test_tables_that_have_to_be_joined_are_named(tmp_path):
    content = {f"{n}.png": None for n in range(4)}
    content |= {"reports.csv": csv_of("AccessionNumber,Diagnosis", *(f"A{n},{n % 2}" for n in range(4))),
                "files.csv": csv_of("file,AccessionNumber", *(f"{n}.png,A{n}" for n in range(4)))}  # fmt: skip
    with pytest.raises(InputError, match=r"files\.csv .* and reports\.csv .* both have the column AccessionNumber"):
        understood(tmp_path, content)


@pytest.mark.parametrize("views", [("1", "2"), ("正", "側")])
def test_views_without_a_letter_of_latin_are_not_known(tmp_path, views):
    source = understood(
        tmp_path, table("path,label,view", lambda name, i: f"{name}.png,{i % 2},{views[i % 2]}"), "t.csv"
    )
    assert labels(source) == EVEN
    for view in views:
        assert f"the column view says of 5 rows: view {view} is not known; they are used" in source.survey.warnings


def test_a_frontal_view_in_one_word_is_known(tmp_path):
    row = "{}.png,{},{}".format
    lines = table("path,label,view", lambda name, i: row(name, i % 2, ["POSTEROANTERIOR", "", "PA"][i % 3]))
    assert not any("not known" in text for text in understood(tmp_path, lines, "t.csv").survey.warnings)


def test_views_that_are_not_known_are_used_with_a_warning(tmp_path):
    views = ["PA", "AP", "V3", "V3", "L"]
    rows = table("path,label,view", lambda name, i: f"{name}.png,{i % 2},{views[i % 5]}")
    source = understood(tmp_path, rows, "t.csv")
    assert len(source.images) == 8
    assert [text for text in source.survey.warnings if "view" in text] == [
        "the column view says of 4 rows: view V3 is not known; they are used"
    ]


@pytest.mark.parametrize(
    ("opened", "closed"), [('"tube 5', '8" line'), ('"tube 5', '"line'), ('"tube 5', 'line"'), ('"tube 5', "line")]
)
def test_a_quote_that_swallows_rows_is_refused_with_the_line_that_opens_it(tmp_path, opened, closed):
    rows = table("path,label,note", lambda name, i: f"{name}.png,{i % 2},{ {3: opened, 7: closed}.get(i, 'ok') }")
    with pytest.raises(InputError, match=r"t\.csv, line 5: .*quotes"):
        understood(tmp_path, rows, "t.csv")


def test_reports_of_several_lines_with_commas_are_read(tmp_path):
    report = '"Heart, lungs, bones\nnormal, too, and 1"'
    rows = table("path,label,report", lambda name, i: f"{name}.png,{i % 2},{report}")
    assert labels(understood(tmp_path, rows, "t.csv")) == EVEN


def test_utf_16_without_its_mark_is_named(tmp_path):
    rows = table("path,label", lambda name, i: f"{name}.png,{i % 2}")
    with pytest.raises(InputError, match=r"t\.csv: is UTF-16 without a byte order mark; save it as UTF-8"):
        understood(tmp_path, {**rows, "t.csv": rows["t.csv"].encode("utf-16-le")}, "t.csv")


def test_columns_of_0_and_1_named_like_the_classes_are_the_label(tmp_path):
    rows = table("file,patient,NORMAL,Pneumonia", lambda name, i: f"{name}.png,p{i},{1 - i % 2},{i % 2}")
    source = understood(tmp_path, rows, "t.csv")
    assert [image.label for image in source.images] == ["NORMAL", "PNEUMONIA"] * 5
    assert source.survey.notes[:2] == (
        "columns read: file as path, patient, NORMAL and Pneumonia as label; not used for labels, splits or patients: "
        "none",
        "the label is which of the columns NORMAL and Pneumonia has 1",
    )
    assert not source.survey.questions
    both = table("file,NORMAL,PNEUMONIA", lambda name, i: f"{name}.png,{int(i < 4)},{int(i > 2)}")
    assert understood(tmp_path, both, "t.csv").ignored == {"findings of both classes": 1}


@pytest.mark.parametrize(
    ("column", "cells"),
    [("PNEUMONIA", "10"), ("pathology", ["pneumonia", "healthy"]), ("dx", ["viral pneumonia", "x"])],
)
def test_a_numeric_label_that_another_column_contradicts_is_asked_about(tmp_path, column, cells):
    rows = table(f"path,label,patient,{column}", lambda name, i: f"{name}.png,{i % 2},p{i},{cells[i % 2]}")
    with pytest.raises(
        InputError, match=rf"the columns {column} \(.*\) and label could both be the label and contradict each"
    ):
        open_source(understood(tmp_path, rows, "t.csv").where)
    agreeing = table(f"path,label,patient,{column}", lambda name, i: f"{name}.png,{i % 2},p{i},{cells[1 - i % 2]}")
    assert not understood(tmp_path, agreeing, "t.csv").survey.questions


@pytest.mark.parametrize("cells", [["normal", "abnormal"], ["no pneumonia", "sick"], ["1", "0"]])
def test_a_column_without_names_of_the_classes_is_no_label(tmp_path, cells):
    rows = table("path,label,patient,ecg", lambda name, i: f"{name}.png,{i % 2},p{i},{cells[1 - i % 2]}")
    assert not understood(tmp_path, rows, "t.csv").survey.questions


@pytest.mark.parametrize(("other", "cells"), [("is_test", "01"), ("official_split", ["train", "test"])])
def test_a_second_split_that_contradicts_the_first_is_asked_about(tmp_path, other, cells):
    def of(flipped):
        return table(
            f"path,label,patient,split,{other}",
            lambda name, i: (
                f"{name}.png,{i % 2},p{i},{['val', 'train', 'test'][i % 3]},{cells[(i % 3 == 2) != flipped]}"
            ),
        )

    assert not understood(tmp_path, of(False), "t.csv").survey.questions
    with pytest.raises(InputError, match=rf"the column {other} \(.*\) may be a split and contradicts split in"):
        open_source(understood(tmp_path, of(True), "t.csv").where)


@pytest.mark.parametrize(
    ("column", "cells", "says"),
    [
        ("heldout", "01", r"no column is named split, but heldout \(0, 1\) may be one"),
        ("use", ["tr", "te"], r"no column is named split, but use \(tr, te\) may be one"),
        ("exclude", "01", r"exclude \(0, 1\) may say which images are not to be used"),
        ("image quality", ["good", "bad"], r"image quality \(good, bad\) may say which"),
        ("status", ["", "Excluded"], r"status \(Excluded\) may say which"),
    ],
)
def test_columns_for_splits_and_exclusions_that_are_not_read_are_asked_about(tmp_path, column, cells, says):
    rows = table(f"path,label,patient,{column}", lambda name, i: f"{name}.png,{i % 2},p{i},{cells[i // 2 % 2]}")
    with pytest.raises(InputError, match=says):
        open_source(understood(tmp_path, rows, "t.csv").where)


@pytest.mark.parametrize(
    ("column", "cells"),
    [("pcr_test", "01"), ("remark", ["tube removed", "x"]), ("exclude", "00"), ("external_id", NAMES)],
)
def test_columns_like_them_are_not_asked_about(tmp_path, column, cells):
    rows = table(f"path,label,patient,{column}", lambda name, i: f"{name}.png,{i % 2},p{i},{cells[i % len(cells)]}")
    assert not understood(tmp_path, rows, "t.csv").survey.questions


def test_folders_in_the_paths_of_a_table_that_may_be_splits_are_asked_about(tmp_path):
    names = [f"{['development', 'holdout'][i % 3 == 0]}/{i}.png" for i in range(10)]
    rows = csv_of("path,label,patient", *(f"{name},{i % 2},p{i}" for i, name in enumerate(names)))
    source = understood(tmp_path, {**dict.fromkeys(names), "t.csv": rows}, "t.csv")
    assert source.survey.questions[0].startswith(
        "the table has no column split, but folders in its paths may be splits"
    )
    below = rows.replace("development", "external/site a").replace("holdout", "external/site b")
    moved = [f"external/site {'ab'[i % 3 == 0]}/{i}.png" for i in range(10)]
    assert not understood(tmp_path, {**dict.fromkeys(moved), "t.csv": below}, "t.csv").survey.questions


def test_split_words_in_the_names_of_files_of_a_table_are_asked_about(tmp_path):
    names = [f"{i}_{['train', 'test'][i // 2 % 2]}" for i in range(10)]
    rows = table("path,label,patient", lambda name, i: f"{name}.png,{i % 2},p{i}", names)
    assert understood(tmp_path, rows, "t.csv").survey.questions[0].startswith("names of files hold words for splits")


@pytest.mark.parametrize(
    "folder", ["masks", "heatmaps", "gradcam", "segmentation", "lateral", "lateral_view", "a/lateral/b", "LL"]
)
def test_rows_in_folders_of_masks_and_views_are_left_out_and_asked_about(tmp_path, folder):
    source = understood(tmp_path, with_folders(["images", "xrays", folder]), "t.csv")
    (question,) = source.survey.questions
    assert "named like masks, heat maps or views of the side: " + folder in question
    assert len(source.images) == 8
    assert [group.files for group in source.survey.left_out] == [4]


@pytest.mark.parametrize(
    "folders",
    [["images", "CT"], ["images", "knee"], ["x", "CT_scans"], ["ultrasound"], ["masks"], ["lateral"], ["p/masks"]],
)
def test_rows_in_folders_of_other_kinds_are_asked_about(tmp_path, folders):
    source = understood(tmp_path, with_folders(folders, label=lambda i: i // 2 % 2), "t.csv")
    assert "named like images of another kind than frontal chest X-rays: " in source.survey.questions[0]
    assert len(source.images) == 12


@pytest.mark.parametrize("folders", [["fit", "score"], ["images", "annotated"]])
def test_folders_of_a_table_that_are_not_understood_are_asked_about(tmp_path, folders):
    content = with_folders(folders, label=lambda i: i // 2 % 2, column="patient", cell=lambda i: f"p{i}")
    (question,) = understood(tmp_path / "a", content, "t.csv").survey.questions
    assert f"not understood: {folders[-1]} (6" in question or f"{folders[0]} (6 images), {folders[1]} (6" in question


def test_a_folder_of_part_of_one_class_is_asked_about(tmp_path):
    content = with_folders(["annotated", "cxr", "cxr", "cxr"], column="patient", cell=lambda i: f"p{i}")
    (question,) = understood(tmp_path, content, "t.csv").survey.questions
    assert "not understood: annotated (3 images)" in question


@pytest.mark.parametrize(
    "folders",
    [
        ["images_001", "images_002"],
        ["2019", "2020"],
        ["site A", "site B"],
        ["p1/2019-03-01", "p2/2019-04-02", "p3/2019-05-03", "p4/2019-05-03"],
        ["x/gesund", "x/krank"],
        ["chest/frontal", "chest/pa"],
        ["NORMAL", "PNEUMONIA"],
        ["knee"],
    ],
)
def test_ordinary_folders_of_a_table_are_not_asked_about(tmp_path, folders):
    content = with_folders(
        folders, column="patient", cell=lambda i: f"p{i % len(folders) + 1}" if "p1" in folders[0] else f"p{i}"
    )
    if len(folders) == 2 and "x/" not in folders[0] and "NORMAL" not in folders:
        content = with_folders(folders, lambda i: i // 2 % 2, "patient", lambda i: f"p{i}")
    assert not understood(tmp_path, content, "t.csv").survey.questions


@pytest.mark.parametrize("name", ["normal", "is_normal", "healthy", "No Finding", "gesund", "label_normal", "normal?"])
@pytest.mark.parametrize("marks", ["10", ["ja", "nein"]])
def test_a_column_that_marks_the_negative_class_is_not_taken_for_the_positive_one(tmp_path, name, marks):
    content = table(f"path,{name},patient", lambda stem, i: f"{stem}.png,{marks[i % 5 > 0]},{i}")
    with pytest.raises(InputError, match="marks the negative class") as refused:
        understood(tmp_path, content, "t.csv")
    assert f"rename it to label and pass --negative {marks[0]} --positive {marks[1]}" in str(refused.value)
    obeyed = {**content, "t.csv": content["t.csv"].replace(name, "label", 1)}
    source = understood(tmp_path, obeyed, "t.csv", negative=(marks[0],), positive=(marks[1],))
    assert labels(source) == {"NORMAL": 2, "PNEUMONIA": 8}


def test_columns_that_mark_classes_are_named_with_the_flags_that_read_them(tmp_path):
    content = table("path,No Finding,Pneumonia", lambda name, i: f"{name}.png,{i % 2},{1 - i % 2}")
    with pytest.raises(InputError, match="pass --negative 'No Finding' --positive Pneumonia"):
        understood(tmp_path, content, "t.csv")
    source = understood(tmp_path, content, "t.csv", negative=("No Finding",), positive=("Pneumonia",))
    assert labels(source) == EVEN
    with pytest.raises(InputError, match="marks PNEUMONIA: if the others are NORMAL, rename it to label"):
        understood(tmp_path, table("path,has_pneumonia", lambda name, i: f"{name}.png,{i % 2}"), "t.csv")


@pytest.mark.parametrize(
    ("normal", "pneumonia", "first"),
    [
        ("IM-{:02}", "person{:02}_virus_1", "person01_virus_1"),
        ("NORMAL2-IM-{}", "p-{}", "NORMAL2-IM-0"),
        ("normal_{}", "x_{}", "normal_0"),
        ("1.{}.normal", "1.{}", "1.0.normal"),
        ("a{}", "COVID-{}", "COVID-1"),
        ("sick{}", "pneumonia{}", "pneumonia1"),
    ],
)
@pytest.mark.parametrize("in_folders", [False, True])
def test_names_of_files_that_contradict_the_label_are_asked_about(tmp_path, normal, pneumonia, first, in_folders):
    def source(root, flipped):
        names = [(normal, pneumonia)[i % 2].format(i) + ".png" for i in range(12)]
        said = [i % 2 != (i in flipped) for i in range(12)]
        if in_folders:
            content = [f"{['NORMAL', 'PNEUMONIA'][said[i]]}/{name}" for i, name in enumerate(names)]
            return understood(tmp_path / root, content)
        rows = [f"{name},{int(said[i])},q{i}" for i, name in enumerate(names)]
        return understood(
            tmp_path / root, {"t.csv": csv_of("path,label,patient", *rows), **dict.fromkeys(names)}, "t.csv"
        )

    assert not [text for text in source("right", ()).survey.questions if "another class" in text]
    for root, flipped in (("some", (0, 1)), ("all", range(12))):
        (text,) = [text for text in source(root, flipped).survey.questions if "another class" in text]
        assert f"{first}.png, which is" in text
        assert text.startswith(f"the names of {len(flipped) // 2} of 12 files say another class")


@pytest.mark.parametrize(
    "pattern", ["pneumonia_study_{}", "non-COVID_{}", "normalized_{}", "no_virus_{}", "sana_{}", "n_{}"]
)
def test_words_in_names_of_files_that_tell_no_class(tmp_path, pattern):
    names = [f"{pattern.format(i)}.png" for i in range(12)]
    rows = csv_of("path,label,patient", *(f"{name},{i % 2},p{i}" for i, name in enumerate(names)))
    assert not understood(tmp_path, {"t.csv": rows, **dict.fromkeys(names)}, "t.csv").survey.questions


def test_columns_whose_names_are_the_classes_are_not_told_to_be_unused(tmp_path):
    rows = table("path,NORMAL,PNEUMONIA,age", lambda name, i: f"{name}.png,{1 - i % 2},{i % 2},{i}")
    first, second = understood(tmp_path, rows, "t.csv").survey.notes[:2]
    assert first == ("columns read: path, NORMAL and PNEUMONIA as label; not used for labels, splits or patients: age")
    assert second == "the label is which of the columns NORMAL and PNEUMONIA has 1"


def test_proposed_flags_are_as_a_shell_takes_them(tmp_path):
    cell = 'pneumonie "franche" de l\'adulte'
    rows = [f"{i}.png," + (f'"{cell.replace(chr(34), chr(34) * 2)}"' if i % 2 else "sain") for i in range(8)]
    content = dict.fromkeys(files("{}.png", range(8))) | {"t.csv": csv_of("path,label", *rows)}
    with pytest.raises(InputError) as refused:
        understood(tmp_path, content, "t.csv")
    flags, unknown = re.search(r"with (--negative .*?) \(not understood: (.*)\); rows", str(refused.value)).groups()
    assert shlex.split(flags) == ["--negative", "sain", "--positive", "NAME"]
    assert shlex.split(unknown) == [cell]


def test_uncertain_marks_of_an_own_table_are_left_out_without_a_flag_that_is_refused(tmp_path):
    row = "{}.png,{},{}".format
    lines = table("path,NORMAL,PNEUMONIA", lambda name, i: row(name, i % 2, -1 if i == 4 else 1 - i % 2))
    assert understood(tmp_path, lines, "t.csv").ignored == {"PNEUMONIA is uncertain (-1)": 1}


def test_a_column_in_which_names_without_suffix_repeat_is_proposed_for_the_path(tmp_path):
    rows = [f"{name}5{name},{i % 2},{40 + i}" for i, name in enumerate(NAMES) for _ in range(2)]
    content = {f"train/{name}5{name}.dicom": header() for name in NAMES} | {
        "t.csv": csv_of("image_id,label,age", *rows)
    }
    with pytest.raises(
        InputError, match=r"rename image_id \(a5a, b5b, c5c, ...\) to path, and write the suffix"
    ) as told:
        understood(tmp_path, content, "t.csv")
    assert "may tell who" not in str(told.value)


def test_separators_inside_quotes_of_the_first_line_do_not_count(tmp_path):
    lines = table('path;label;"age, in years, rounded"', lambda name, i: f"{name}.png;{i % 2};{i}")
    assert labels(understood(tmp_path, lines, "t.csv")) == EVEN


def test_one_image_without_a_split_and_one_patient_in_two_are_told_in_the_singular(tmp_path):
    splits = ["", "train", "train", "train", "train", "train", "train", "train", "test", "test"]
    lines = table("path,label,patient,split", lambda name, i: f"{name}.png,{i % 2},p{i % 9},{splits[i]}")
    asked = understood(tmp_path, lines, "t.csv").survey.questions
    assert asked[0].startswith("1 image of 10, the first a.png, is in no split, though others are")
    assert asked[1].startswith("1 patient of the test split, such as p0, has images outside it")


@pytest.mark.parametrize(
    "head",
    ["path;label;Remark (a, b, c)", "path;label;a, b, c, d", "Path;Finding Labels;size (x|y|z, in mm, or px)"],
)
def test_the_separator_is_the_one_that_gives_columns_and_not_the_most_frequent_sign(tmp_path, head):
    lines = table(head, lambda name, i: f"{name}.png;{i % 2};none, or few")
    assert labels(understood(tmp_path, lines, "t.csv")) == EVEN


def test_the_separator_of_unknown_columns_is_the_one_that_divides_all_rows(tmp_path):
    lines = table("Datei;Befund (a, b, c);Breite", lambda name, i: f"{name}.png;Befund {i}, ohne Zusatz;3,5")
    with pytest.raises(InputError, match=r"found Datei, Befund \(a, b, c\), Breite; rename Datei "):
        understood(tmp_path, lines, "t.csv")


@pytest.mark.parametrize("head", ["id,Befund", "path,label"])
def test_tables_of_the_same_columns_are_to_stand_below_one_another_and_not_to_be_joined(tmp_path, head):
    tables = {f"{split}.csv": csv_of(head, "0,gesund", "1,krank") for split in ("train", "test")}
    names = dict.fromkeys(files("{}/{}.png", ["train", "test"], [0, 1]))
    with pytest.raises(InputError, match=r"write (the|their) rows (of both )?below one another in one CSV ") as told:
        understood(tmp_path, tables | names)
    assert "join" not in str(told.value)
    assert "split" in str(told.value)


@pytest.mark.parametrize("head", ["path,label", "path,Befund"])
@pytest.mark.parametrize(
    "cell",
    [
        "rule out pneumonia", "resolved pneumonia", "aucune pneumonie", "pneumonia-free", "history of pneumonia",
        "pneumonia absent", "pneumonia excluded", "unlikely pneumonia", "nessuna polmonite", "ninguna neumonía",
        "nenhuma pneumonia", "Pneumonie: nein", "pnömoni yok", "pneumonia=0", "pneumonia?",
        "viral pneumonia not bacterial", "no viral pneumonia", "0 pneumonia", "nonpneumonia",
    ],
)  # fmt: skip
def test_only_what_is_understood_to_the_last_word_is_proposed_for_a_class(tmp_path, head, cell):
    cells = ["gesund", "Virale Pneumonie", cell, ""]
    with pytest.raises(InputError) as refused:
        understood(tmp_path, table(head, lambda name, i: f"{name}.png,{cells[i % 4]}"), "t.csv")
    flags = f"--negative gesund --positive 'Virale Pneumonie' (not understood: {shlex.quote(cell)})"
    assert flags in str(refused.value)


@pytest.mark.parametrize(
    ("cell", "label"),
    [
        ("J18.9", 1), ("Lungenentzündung", 1), ("bilateral interstitial pneumonia", 1), ("bronchopneumonia", 1),
        ("no pneumonia", 0), ("keine Pneumonie", 0), ("pneumonia negative", 0), ("Z03.8", 0), ("ohne Befund", 0),
        ("Pneumonie ausgeschlossen", 0),
    ],
)  # fmt: skip
def test_cells_whose_words_are_all_known_are_proposed(tmp_path, cell, label):
    with pytest.raises(InputError) as refused:
        understood(tmp_path, table("path,label", lambda name, i: f"{name}.png,{['x', cell][i % 2]}"), "t.csv")
    assert f"--{['negative', 'positive'][label]} {shlex.quote(cell)}" in str(refused.value)


@pytest.mark.parametrize(
    ("cells", "remedy"),
    [
        (["", "yes"], "; write no into the empty cells, if they mean NORMAL"),
        (["", "x"], "; write NORMAL into the empty cells and pass --positive x, if they mean NORMAL"),
        (["0", "1", "unknown", "?"], "with --negative 0 --positive 1 (not understood: unknown, '?')"),
        (["0", "1", "2"], "with --negative NAME --positive NAME"),
    ],
)
def test_cells_beside_marks_have_a_remedy_that_works(tmp_path, cells, remedy):
    rows = table("path,label,patient", lambda name, i: f"{name}.png,{cells[i % len(cells)]},{i}")
    with pytest.raises(InputError, match=re.escape(remedy)):
        understood(tmp_path, rows, "t.csv")
    if flags := re.search("--positive ([1x])", remedy):
        rows["t.csv"] = rows["t.csv"].replace(",,", ",NORMAL,")
        negative = ("0",) if "0" in cells else ()
        assert set(labels(understood(tmp_path, rows, "t.csv", positive=(flags[1],), negative=negative))) == set(EVEN)
    else:
        rows["t.csv"] = rows["t.csv"].replace(",,", ",no,").replace(",2,", ",1,")
        assert set(labels(understood(tmp_path, rows, "t.csv"))) == set(EVEN)


def test_na_of_excel_is_an_empty_cell(tmp_path):
    rows = table("path,label", lambda name, i: f"{name}.png,{['0', '1', '#N/A'][i % 3]}")
    assert labels(understood(tmp_path, rows, "t.csv")) == {"NORMAL": 4, "PNEUMONIA": 3}


def test_hidden_files_beside_the_images_of_a_table_are_no_images(tmp_path):
    rows = table("path,label", lambda name, i: f"{name}.png,{i % 2}") | {"._a.png": "x"}
    assert UNLISTED not in understood(tmp_path, rows, "t.csv").ignored


@pytest.mark.parametrize("below", ["", "ditto", '"', "see above", "s. idem."])
@pytest.mark.parametrize("role", ["label", "patient"])
def test_merged_cells_of_a_spreadsheet_are_asked_about(tmp_path, role, below):
    below = below.removeprefix("s. ")
    lines = table("path;label;patient", lambda name, i: ";".join((
        f"{name}.png", below if role == "label" and i % 2 else "NP"[i % 4 // 2],
        below if role == "patient" and i % 3 else f"p{i // 3}")).replace('"', '""""'))  # fmt: skip
    flags = {"negative": ("N",), "positive": ("P",)}
    (asked,) = [text for text in understood(tmp_path, lines, "t.csv", **flags).survey.questions if "fill each" in text]
    assert asked.startswith(f"the column {role} ")
    if role == "label" and not below:
        (warned,) = [w for w in understood(tmp_path, lines, "t.csv", **flags).survey.warnings if "neither" in w]
        assert "NAME" not in warned
        with pytest.raises(InputError, match="as of merged cells; if they were, fill each with what it stands for"):
            understood(tmp_path, lines, "t.csv")


@pytest.mark.parametrize(
    "cells", ["p0 p1  p3 p4 p5 p6 p7 p8 p9", " p1  p3  p5  p7  p9", "p0 p0 p0 p0     p9 p9", "p0         "]
)
def test_other_empty_cells_are_no_merged_ones(tmp_path, cells):
    cells = cells.split(" ")
    lines = table("path,label,patient", lambda name, i: f"{name}.png,{i % 2},{cells[i]}")
    assert not [text for text in understood(tmp_path, lines, "t.csv").survey.questions if "fill each" in text]


@pytest.mark.parametrize(
    ("cell", "asked"),
    [("A12;B7", True), ("B7, A12", True), ("C1;C2", False), ("A12 ", False), ("8,0", False), ("8,000", False)],
)
def test_a_cell_of_several_patients_is_asked_about_where_one_of_them_is_alone_elsewhere(tmp_path, cell, asked):
    cells = ["A12", "8", "A13", "0", cell]
    lines = table("path;label;patient", lambda name, i: f'{name}.png;{i % 2};"{cells[i // 2]}"')
    questions = understood(tmp_path, lines, "t.csv").survey.questions
    assert any("write one identifier into each cell" in text for text in questions) == asked


def test_a_column_of_patients_that_names_the_files_is_proposed_for_the_path(tmp_path):
    rows = table("patientId,Target", lambda name, i: f"{name}0,{i % 2}", [f"{name}0" for name in NAMES])
    rows["t.csv"] = rows["t.csv"].replace("00,", "0,")
    with pytest.raises(
        InputError, match=r"rename patientId \(.*\) to path, and write the suffix of the files into its"
    ):
        understood(tmp_path, rows, "t.csv")


def test_no_suffix_is_to_be_written_where_the_files_have_none(tmp_path):
    rows = table("image_id,label", lambda name, i: f"img{i:03d},{i % 2}", [f"imgs/img{i:03d}" for i in range(10)], "")
    with pytest.raises(InputError, match=r"to path: the first of them is that of imgs/img000$"):
        understood(tmp_path, rows, "t.csv")
    rows["t.csv"] = rows["t.csv"].replace("image_id", "path")
    assert labels(understood(tmp_path, rows, "t.csv")) == EVEN
