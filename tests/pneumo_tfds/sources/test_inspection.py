"""What `inspect` prints: every folder or column with its role, what is left out and why, then doubts."""

from __future__ import annotations

import json

from made_sources import csv_of, files, understood
from pneumo_tfds.sources.inspection import describe, report, short_form
from pneumo_tfds.sources.survey import ROWS


def test_folders(tmp_path):
    names = files("{}/{}/p{}/{}.png", ["train", "test"], ["NORMAL", "PNEUMONIA"], [1, 2], [1, 2])
    names = [name.replace("/p", "/pt") if name.startswith("test") else name for name in names]
    source = understood(tmp_path, [*names, *files("train/NORMAL/masks/{}.png", [1, 2]), "train/COVID/1.png"])
    lines = [line.replace(str(tmp_path), "SOURCE") for line in describe(source)]
    assert lines == [
        "SOURCE: 16 images (8 NORMAL, 8 PNEUMONIA)",
        "read as: folders named like the classes (layout folders)",
        "patients: 4 known; 0 images of unknown patients",
        "splits: train 8, test 8; taken as they are; a build draws validation from train by patient",
        "warning: left out, because they are neither NORMAL nor PNEUMONIA: train/COVID (1 image); to use them, "
        "name such folders with --positive NAME... or --negative NAME...",
        "warning: 4 of 4 patients have images of both classes ('p1'); if their numbers begin again in each class "
        "they are different people, whom a split keeps together, which does no harm",
        "left out: 2 files (masks or the like, by the name of folder or file), such as train/NORMAL/masks/1.png",
        "left out: 1 file (in the folder train/COVID, which is no class), such as train/COVID/1.png",
        "",
        "where                      images  label      split  patient",
        "test/NORMAL/{patient}           4  NORMAL     test   folder",
        "test/PNEUMONIA/{patient}        4  PNEUMONIA  test   folder",
        "train/NORMAL/{patient}          4  NORMAL     train  folder",
        "train/PNEUMONIA/{patient}       4  PNEUMONIA  train  folder",
    ]


def test_a_source_of_train_alone_that_is_divided_anew_says_that_test_is_drawn_too(tmp_path):
    names = files("train/NORMAL/IM-{}-0001.jpeg", range(100, 120)) + files(
        "train/PNEUMONIA/person{}_virus_1.jpeg", range(20)
    )
    assert "splits: train 40; a build divides them into train, val and test anew by patient" in describe(
        understood(tmp_path, names, layout="kermany", yes=True)
    )


def test_a_table_with_a_question(tmp_path):
    rows = [f"{n}.png,{n % 2},{n // 2}" for n in range(8)]
    content = {f"{n}.png": None for n in range(8)} | {"t.csv": csv_of("file,class,Akte", *rows)}
    source = understood(tmp_path, content, "t.csv")
    lines = describe(source)
    assert "note: columns read: file as path, class as label; not used for labels, splits or patients: Akte" in lines
    question = "needs a decision: no column is named patient, but Akte (0, 1, 2, ...) may tell who is on an image"
    assert lines[4].startswith(question)
    assert short_form(source)[4] == lines[4]


def test_the_report_is_json_and_has_all(tmp_path):
    names = files("{}/{}/{}.png", [f"place {n}" for n in range(40)], ["NORMAL", "PNEUMONIA"], [1])
    source = understood(tmp_path, names)
    assert f"and {80 - ROWS} parts more; --json FILE has all" in describe(source)
    found = json.loads(json.dumps(report(source)))
    assert found["images"] == sum(part["images"] for part in found["parts"]) == 80
    assert found["patients_unknown"] == 80
    assert len(found["questions"]) == 1
