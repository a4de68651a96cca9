"""Images of the negative class of which their rows say more than that."""

from __future__ import annotations

import pytest

from made_sources import csv_of, understood
from pneumo_tfds.sources.known_tables import known_descriptions

OWN = """
name = "own"
title = "Own"
negative = ["normal"]
positive = ["pneumonia"]

[[tables]]
file = "r.csv"
image = "{f}"
"""


def asked(tmp_path, head, *cells, toml=""):
    """The questions about a table of 12 images, whose rows have the cells in turn."""
    rows = [f"{n}.png,{cells[n % len(cells)]}" for n in range(12)]
    content = {**dict.fromkeys(f"{n}.png" for n in range(12)), "r.csv": csv_of(head, *rows)}
    (tmp_path / "own.toml").write_text(toml)
    options = {"layout": str(tmp_path / "own.toml")} if toml else {}
    return "".join(understood(tmp_path / "s", content, "r.csv", **options).survey.questions)


@pytest.mark.parametrize("head", ["path,NORMAL,PNEUMONIA,COVID", "path,label,Pneumonia,has_Pleural-Effusion"])
def test_normal_images_with_another_finding_in_a_column_are_asked_about(tmp_path, head):
    cells = ["1,0,1", "0,1,1", "1,0,0"] if "NORMAL" in head else ["NORMAL,0,1", "PNEUMONIA,1,1", "NORMAL,0,0"]
    name = head.rpartition(",")[2]
    says = f"other findings are marked for 4 of 8 NORMAL images: {name} (4 images)"
    assert says in asked(tmp_path, head, *cells)


def test_marks_of_other_things_and_findings_of_the_positive_class_alone_are_not_asked_about(tmp_path):
    head = "path,label,effusion,support devices,covid vaccinated,edema score,body mass"
    assert not asked(tmp_path, head, "NORMAL,0,1,1,1,1", "PNEUMONIA,1,0,0,0,0", "NORMAL,,0,0,0,0")


@pytest.mark.parametrize(
    ("cell", "says"),
    [("normal; old pneumonia", "old pneumonia (6 images)"), ("normal; effusion", "effusion (6"), ("normal", ""),
     ("normal; no pneumonia", ""), ("normal; no effusion", "")],
)  # fmt: skip
def test_parts_of_a_cell_beside_the_negative_class_are_asked_about(tmp_path, cell, says):
    toml = OWN + 'label = "dx"\nseparator = ";"\n'
    text = asked(tmp_path, "f,dx", cell, "pneumonia; normal heart; effusion", toml=toml)
    assert says in text
    assert bool(text) == bool(says)


def test_findings_of_a_description_without_a_column_of_labels(tmp_path):
    text = asked(tmp_path, "f,normal,pneumonia,Edema,Support Devices", "1,0,1,1", "0,1,1,1", toml=OWN)
    assert "other findings are marked for 6 of 6 NORMAL images: Edema (6 images)" in text


def test_what_authors_of_a_known_data_set_marked_is_warned_of(tmp_path):
    assert "padchest" in known_descriptions()
    rows = [
        f"{n}.png,PA,{n // 2},\"['{cell}']\""
        for n, cell in enumerate(["normal', 'tuberculosis', 'unchanged", "pneumonia"] * 4)
    ]
    content = dict.fromkeys(f"{n}.png" for n in range(8))
    content["PADCHEST_chest_x_ray_images_labels_1.csv"] = csv_of("ImageID,Projection,PatientID,Labels", *rows)
    survey = understood(tmp_path, content).survey
    assert not survey.questions
    assert "4 of 4 NORMAL images: tuberculosis (4 images); they are taken for NORMAL" in "".join(survey.warnings)


def test_normal_images_with_a_subtype_of_pneumonia_are_asked_about(tmp_path):
    says = "4 NORMAL images, the first 0.png, have the subtype virus or another one of PNEUMONIA"
    assert says in asked(tmp_path, "path,label,subtype", "NORMAL,virus", "PNEUMONIA,virus", "NORMAL,")


def test_subtypes_that_are_no_kind_of_pneumonia_are_not_asked_about(tmp_path):
    assert not asked(tmp_path, "path,label,subtype", "NORMAL,normal", "PNEUMONIA,virus", "NORMAL,unknown")
