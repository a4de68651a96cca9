"""Corrections of labels: what they change, what is said, and which files are refused."""

import csv
import hashlib

import numpy as np
import pytest

from pneumo_tfds.program.errors import InputError
from pneumo_tfds.sources.inspection import short_form
from pneumo_tfds.sources.opening import open_source
from pneumo_tfds.sources.source_options import SourceOptions


@pytest.fixture
def source(tmp_path):
    import cv2

    for label in ("NORMAL", "PNEUMONIA"):
        for number in range(4):
            path = tmp_path / "xrays" / label / f"{label.lower()}{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            grey = np.random.default_rng([len(label), number]).integers(0, 255, (40, 40), np.uint8)
            cv2.imwrite(str(path), grey)
    return tmp_path / "xrays"


def row(source, name, decision, **changes):
    digest = hashlib.sha256((source / name).read_bytes()).hexdigest() if (source / name).exists() else "0" * 64
    label = name.partition("/")[0]
    return {"filename": name, "sha256": digest, "label": label, "decision": decision} | changes


def write(path, rows, **dialect):
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.DictWriter(file, rows[0], **dialect)
        writer.writeheader()
        writer.writerows(rows)
    return path


def opened(source, *files):
    return open_source(source, SourceOptions(corrections=files))


def test_labels_are_corrected_images_removed_and_both_are_counted(source, tmp_path):
    rows = [
        row(source, "NORMAL/normal0.png", "pneumonia"),
        row(source, "PNEUMONIA/pneumonia1.png", "NORMAL"),
        row(source, "PNEUMONIA/pneumonia2.png", "remove"),
        row(source, "NORMAL/normal3.png", ""),
        row(source, "NORMAL/normal2.png", "keep"),
    ]
    plain, found = opened(source), opened(source, write(tmp_path / "suspects.csv", rows, delimiter=";"))
    labels = {image.name: (image.label, image.subtype) for image in found.images}
    before = {image.name: (image.label, image.subtype) for image in plain.images}
    assert labels.pop("NORMAL/normal0.png") == ("PNEUMONIA", "unknown")
    assert labels.pop("PNEUMONIA/pneumonia1.png") == ("NORMAL", "normal")
    assert "PNEUMONIA/pneumonia2.png" not in labels
    assert labels.items() <= before.items()
    assert len(labels) == 5
    said = "\n".join(short_form(found))
    assert "suspects.csv corrected 1 from NORMAL to PNEUMONIA, 1 from PNEUMONIA to NORMAL, and removed 1 image" in said
    assert "left out: 1 file (removed by suspects.csv)" in said
    assert found.fingerprint("") != plain.fingerprint("")


def test_files_are_applied_one_after_the_other(source, tmp_path):
    name = "NORMAL/normal0.png"
    first = write(tmp_path / "1.csv", [row(source, name, "PNEUMONIA")])
    second = write(tmp_path / "2.csv", [row(source, name, "NORMAL", label="PNEUMONIA")])
    labels = [{i.name: i.label for i in opened(source, *files).images}[name] for files in ([first], [first, second])]
    assert labels == ["PNEUMONIA", "NORMAL"]


def test_a_file_that_was_written_after_other_corrections_needs_them_too(source, tmp_path):
    name = "NORMAL/normal0.png"
    first = write(tmp_path / "1.csv", [row(source, name, "PNEUMONIA")])
    second = write(tmp_path / "2.csv", [row(source, name, "keep", label="PNEUMONIA")])
    with pytest.raises(InputError, match=r"2.csv, line 2: .* was PNEUMONIA when the file was written and is NORMAL"):
        opened(source, second)
    assert {image.name: image.label for image in opened(source, first, second).images}[name] == "PNEUMONIA"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"filename": "NORMAL/other.png"}, "line 2: NORMAL/other.png is not in .*; give the corrections of this data"),
        ({"sha256": "0" * 64}, "line 2: NORMAL/normal0.png in .* is another picture"),
        ({"label": "PNEUMONIA", "decision": "remove"}, "line 2: .* was PNEUMONIA when the file was written"),
        (
            {"decision": "maybe"},
            "line 2: the decision 'maybe' is not one of NORMAL, PNEUMONIA, remove, keep or nothing",
        ),
    ],
)
def test_corrections_of_another_data_set_are_refused_in_one_line(source, tmp_path, changes, message):
    path = write(tmp_path / "suspects.csv", [row(source, "NORMAL/normal0.png", "PNEUMONIA") | changes])
    with pytest.raises(InputError, match=message) as caught:
        opened(source, path)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_table_of_corrections_is_refused(source, tmp_path):
    path = write(tmp_path / "labels.csv", [{"path": "a.png", "label": "NORMAL"}])
    with pytest.raises(InputError, match=r"labels.csv: has no column filename; give a suspects.csv"):
        opened(source, path)
    with pytest.raises(InputError, match=r"--corrections .*none.csv: cannot be read"):
        opened(source, tmp_path / "none.csv")


@pytest.mark.parametrize("decision", ["PNEUMONIA", "remove", "keep"])
def test_a_file_name_against_its_folder_is_not_asked_about_once_a_person_decided(source, tmp_path, decision):
    name = "NORMAL/person1_virus_6.png"
    (source / "NORMAL/normal0.png").rename(source / name)
    for rows in ([], [row(source, name, "")], [row(source, "NORMAL/normal1.png", "keep")]):
        files = [write(tmp_path / "undecided.csv", rows)] if rows else []
        with pytest.raises(InputError, match=r"names of 1 of 8 files say another class .* NORMAL/person1_virus_6\.png"):
            opened(source, *files)
    opened(source, write(tmp_path / "suspects.csv", [row(source, name, decision)]))


def test_nor_is_it_in_a_table(source, tmp_path):
    name = "NORMAL/person1_virus_6.png"
    (source / "NORMAL/normal0.png").rename(source / name)
    lines = [f"{path.relative_to(source)},{path.parent.name}" for path in sorted(source.rglob("*.png"))]
    table = source / "labels.csv"
    table.write_text("\n".join(["path,label", *lines]))
    with pytest.raises(InputError, match="names of 1 of 8 files say another class"):
        opened(table)
    opened(table, write(tmp_path / "suspects.csv", [row(source, name, "PNEUMONIA")]))
