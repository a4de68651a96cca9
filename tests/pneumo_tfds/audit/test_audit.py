"""The audit finds what is planted, and says nothing where there is nothing."""

from __future__ import annotations

import json
import re
import sys

import cv2
import numpy as np
import pytest

from pneumo_tfds.audit.audit import LEAK, audit, run
from pneumo_tfds.audit.report import report, summary
from pneumo_tfds.phantoms.phantom_source import write_phantoms
from pneumo_tfds.prepared import build
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.sources.opening import open_source
from pneumo_tfds.splits.options import SplitOptions


def copy(xrays, name, to):
    (xrays / to).parent.mkdir(parents=True, exist_ok=True)
    (xrays / to).write_bytes((xrays / name).read_bytes())


def test_clean_source(xrays, capsys):
    assert run(xrays, None, None, SplitOptions()) == 0
    out = capsys.readouterr().out
    assert "byte-identical: 0 groups; near-identical: 0 groups" in out
    assert "near-identical images are copies turned by up to 5 degrees" in out
    assert "not found are" in out
    assert "leaks: 0" in out


def test_counts(xrays):
    answer = report(audit(open_source(xrays)))
    assert answer["images"] == 48
    assert answer["by_official_split_and_class"] == {
        "test": {"NORMAL": 4, "PNEUMONIA": 4},
        "train": {"NORMAL": 20, "PNEUMONIA": 20},
    }
    assert answer["by_split_and_class"]["test"] == {"NORMAL": 4, "PNEUMONIA": 4}
    assert sum(sum(counts.values()) for counts in answer["by_split_and_class"].values()) == 48


def test_identical_images_inside_training_are_listed_but_no_leak(xrays):
    copy(xrays, "train/NORMAL/IM-0001-0001.jpeg", "train/NORMAL/IM-0002-0009.jpeg")
    findings = audit(open_source(xrays))
    assert [[i.name for i in g] for g in findings.byte_identical] == [
        ["train/NORMAL/IM-0001-0001.jpeg", "train/NORMAL/IM-0002-0009.jpeg"]
    ]
    assert findings.leaks == ()


@pytest.mark.parametrize(
    ("to", "across"),
    [
        ("test/NORMAL/IM-0099-0001.jpeg", "official test and training"),
        ("train/PNEUMONIA/person99_virus_9.jpeg", "labels"),
    ],
)
def test_identical_images_across_sides_are_leaks(xrays, tmp_path, to, across):
    copy(xrays, "train/NORMAL/IM-0001-0001.jpeg", to)
    assert run(xrays, tmp_path / "a.json", None, SplitOptions()) == LEAK
    answer = json.loads((tmp_path / "a.json").read_text())
    assert [(leak["kind"], leak["across"]) for leak in answer["leaks"]] == [("byte-identical", across)]
    assert sorted(answer["leaks"][0]["names"]) == sorted(["train/NORMAL/IM-0001-0001.jpeg", to])


def test_recompressed_and_rescaled_copies_are_near_identical(xrays, picture):
    name = "train/NORMAL/IM-0001-0001.jpeg"
    grey = cv2.imdecode(np.frombuffer((xrays / name).read_bytes(), np.uint8), cv2.IMREAD_GRAYSCALE)
    larger = cv2.resize(grey, (192, 144), interpolation=cv2.INTER_LINEAR)
    cv2.imwrite(str(xrays / "test/NORMAL/IM-0050-0001.jpeg"), larger, [cv2.IMWRITE_JPEG_QUALITY, 85])
    findings = audit(open_source(xrays))
    assert [[i.name for i in g] for g in findings.near_identical] == [["test/NORMAL/IM-0050-0001.jpeg", name]]
    assert [leak["kind"] for leak in findings.leaks] == ["near-identical"]


def test_a_near_copy_of_a_training_image_that_the_test_folder_holds_too_leaks(xrays):
    (xrays / "train").rename(xrays / "Train")  # by name before the test folder, so that the copy there is looked at
    original, near = "test/NORMAL/IM-0001-0001.jpeg", "Train/NORMAL/IM-0098-0001.jpeg"
    copy(xrays, original, same := "Train/NORMAL/IM-0097-0001.jpeg")
    grey = cv2.imread(str(xrays / original), cv2.IMREAD_GRAYSCALE)
    cv2.imwrite(str(xrays / near), grey, [cv2.IMWRITE_JPEG_QUALITY, 70])
    leaks = audit(open_source(xrays)).leaks
    assert [(leak["kind"], leak["across"], leak["names"]) for leak in leaks] == [
        ("byte-identical", "official test and training", [same, original]),
        ("near-identical", "official test and training", [same, near, original]),
    ]


def test_a_training_image_that_is_mirrored_and_turned_in_the_test_folder_is_a_leak(tmp_path):
    source = tmp_path / "phantoms"
    write_phantoms(source, 60)
    original = min(source.glob("train/NORMAL/*.jpeg"))
    grey = cv2.flip(cv2.imread(str(original), cv2.IMREAD_GRAYSCALE), 1)
    middle = (grey.shape[1] / 2, grey.shape[0] / 2)
    turned = cv2.warpAffine(grey, cv2.getRotationMatrix2D(middle, 3.0, 1.0), grey.shape[::-1])
    cv2.imwrite(str(source / "test/NORMAL/IM-0999-0001.jpeg"), 255 - turned)
    findings = audit(open_source(source))
    names = ["test/NORMAL/IM-0999-0001.jpeg", original.relative_to(source).as_posix()]
    assert {"kind": "near-identical", "names": names}.items() <= findings.leaks[0].items()
    assert len(findings.leaks) == 1


def test_unreadable_files_are_named(xrays):
    (xrays / "train/NORMAL/IM-0001-0001.jpeg").write_bytes(b"")
    answer = report(audit(open_source(xrays)))
    assert answer["corrupt"] == ["train/NORMAL/IM-0001-0001.jpeg"]
    assert "the file is empty" in answer["corrupt_reasons"][0]


def test_both_readings_of_patient_numbers(xrays, picture, jpeg):
    (xrays / "train/PNEUMONIA/person1_virus_99.jpeg").write_bytes(jpeg(picture(500)))
    patients = report(audit(open_source(xrays)))["patients"]
    assert patients["numbers_under_bacteria_and_virus"] == 1
    assert patients["numbers_in_test_and_in_training"] == 8
    assert patients["if_numbers_are_unique"] == 40
    assert patients["if_numbers_restart_by_subtype_and_test_folder"] == 49


def test_distributions_show_how_classes_differ(tmp_path, picture):
    for index in range(10):
        for label, width in (("NORMAL", 200), ("PNEUMONIA", 120)):
            path = tmp_path / f"s/{label}/{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), picture(index * 2 + (width == 200), width, 100))
    distributions = report(audit(open_source(tmp_path / "s")))["distributions"]
    assert distributions["train/NORMAL"]["aspect"]["median"] == 2.0
    assert distributions["train/PNEUMONIA"]["aspect"]["median"] == 1.2
    assert distributions["train/NORMAL"]["bits"] == {"8": distributions["train/NORMAL"]["images"]}


def test_manifest_is_the_one_a_build_keeps(xrays, tmp_path):
    answer = report(audit(open_source(xrays)))
    assert build(open_source(xrays), "gray_32", tmp_path).metadata["manifest_sha256"] == answer["manifest_sha256"]


def test_page_shows_leaks_first_and_stands_alone(xrays, tmp_path):
    copy(xrays, "train/NORMAL/IM-0001-0001.jpeg", "train/NORMAL/IM-0002-0009.jpeg")
    copy(xrays, "train/NORMAL/IM-0005-0001.jpeg", "test/NORMAL/IM-0098-0001.jpeg")
    run(xrays, None, tmp_path / "page.html", SplitOptions())
    page = (tmp_path / "page.html").read_text()
    assert page.index("test/NORMAL/IM-0098-0001.jpeg") < page.index("train/NORMAL/IM-0002-0009.jpeg")
    assert "1 leak:" in page
    assert "Leak across official test and training." in page
    assert page.count("data:image/jpeg;base64,") == 4
    assert not {"http:", "https:"} & set(re.findall(r"https?:", page))
    assert "Unreadable files" not in page, "there are none"


def test_names_cannot_write_html(tmp_path, write_images, names):
    folder = write_images(tmp_path / "s", [*names(6, 3, 3), "train/NORMAL/<script>x.jpeg"])
    (folder / "train/NORMAL/<script>x.jpeg").write_bytes(b"")
    run(folder, None, tmp_path / "page.html", SplitOptions())
    assert "<script>" not in (tmp_path / "page.html").read_text()


def test_conflicting_labels_are_reported_where_a_build_would_stop(xrays):
    copy(xrays, "train/NORMAL/IM-0001-0001.jpeg", "train/PNEUMONIA/person99_virus_9.jpeg")
    assert report(audit(open_source(xrays)))["leaks"][0]["values"] == ["NORMAL", "PNEUMONIA"]


def test_table_with_patients_is_not_read_by_numbers(xrays, tmp_path):
    (xrays / "train").rename(xrays / "clinic")  # or the folders would tell the splits
    (xrays / "test").rename(xrays / "hospital")
    rows = [f"{path.relative_to(xrays)},{path.parent.name}" for path in sorted(xrays.rglob("*.jpeg"))]
    table = xrays / "table.csv"
    table.write_text("path,label,patient\n" + "".join(f"{row},p{number // 4}\n" for number, row in enumerate(rows)))
    result = report(audit(open_source(table)))
    text = "\n".join(summary(result))
    assert "\npatients: 12 known; 0 images of unknown patients\n" in text
    assert "bacteria" not in text
    run(table, None, tmp_path / "page.html", SplitOptions())
    page = (tmp_path / "page.html").read_text()
    assert "disputed" not in page
    assert "uses all images and no splits" in page, "a source without a test folder may be meant for evaluation only"
    table.write_text("path,label,patient\n" + "".join(f"{row},p{number % 12}\n" for number, row in enumerate(rows)))
    assert "12 patients with images of both labels" in "\n".join(summary(report(audit(open_source(table)))))


def test_files_without_patients_are_said_to_be_so(tmp_path, write_images):
    names = [f"{label}/{number}.jpeg" for label in ("NORMAL", "PNEUMONIA") for number in range(8)]
    lines = summary(report(audit(open_source(write_images(tmp_path / "s", names)))))
    assert any("16 of 16 images tell no patient" in line for line in lines[:6])


def test_page_without_its_libraries_says_what_to_install(xrays, tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "pneumo_tfds.audit.audit_page", raising=False)
    monkeypatch.setitem(sys.modules, "jinja2", None)
    monkeypatch.delitem(sys.modules, "pneumo_tfds.program.html_page", raising=False)
    with pytest.raises(InputError, match=r"--html needs jinja2; install it .*pip install '.*\[train\]'"):
        run(xrays, None, tmp_path / "page.html", SplitOptions())
    assert run(xrays, tmp_path / "a.json", None, SplitOptions()) == 0


def test_what_was_left_out_is_shown_with_examples(tmp_path, write_images, names):
    folder = write_images(tmp_path / "s", [*names(6, 4, 4), "train/healthy_adults/1.jpeg", "train/NORMAL/masks/2.jpeg"])
    run(folder, None, tmp_path / "page.html", SplitOptions())
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "train/healthy_adults/1.jpeg" in page
    assert "train/NORMAL/masks/2.jpeg" in page
    result = report(audit(open_source(folder)))
    assert any("healthy_adults" in line for line in summary(result))
    assert sum(result["ignored"].values()) == 2


def test_summary_points_out_what_tells_the_classes_apart(tmp_path, jpeg, picture):
    for index in range(40):
        label = ("NORMAL", "PNEUMONIA")[index % 2]
        path = tmp_path / "s" / label / f"{index}.jpeg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(picture(index, width=90 + 60 * (index % 2))))
    lines = summary(report(audit(open_source(tmp_path / "s"))))
    assert any("width 1.00" in line for line in lines)
    assert any(line.startswith("warning: a model can learn") and "width" in line for line in lines)


def test_dark_images_are_named_and_shown(xrays, tmp_path, picture):
    cv2.imwrite(str(xrays / "train/NORMAL/IM-0077-0001.png"), picture(77) // 16)
    run(xrays, None, tmp_path / "page.html", SplitOptions())
    assert "IM-0077-0001.png (NORMAL): unusually dark" in (tmp_path / "page.html").read_text(encoding="utf-8")
    result = report(audit(open_source(xrays)))
    assert list(result["unusual"]) == ["train/NORMAL/IM-0077-0001.png"]
    assert any("IM-0077-0001.png: unusually dark" in line for line in summary(result))
