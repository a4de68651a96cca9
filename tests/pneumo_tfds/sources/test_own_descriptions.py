"""Descriptions of one's own: split lists, columns of findings, cells without a split."""

from __future__ import annotations

import re

import pytest

from made_sources import csv_of, labels, splits, understood
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.sources.file_index import differs_in_case
from pneumo_tfds.sources.listing import File
from pneumo_tfds.sources.opening import understand
from pneumo_tfds.sources.source_options import SourceOptions

FINDINGS = """
name = "own"
title = "Own"
negative = ["clear"]
positive = ["opacity", "effusion"]

[[tables]]
file = "reads.csv"
image = "{id}.png"
patient = "{patient}"
"""
LISTS = 'lists = { train = "train.txt", test = "test.txt" }\n'
NAMES = [f"s{n}" for n in range(10)]


def own(tmp_path, content, toml):
    (tmp_path / "own.toml").write_text(toml)
    return understood(tmp_path / "s", content, layout=str(tmp_path / "own.toml"))


def reads(yes="1", no="0", effusion=None):
    rows = [f"{name},p{n},{no if n % 2 else yes},{yes if n % 2 else no},{effusion if effusion and n == 2 else no}"
            for n, name in enumerate(NAMES)]  # fmt: skip
    return {f"x/{name}.png": None for name in NAMES} | {
        "x/reads.csv": csv_of("id,patient,clear,opacity,effusion", *rows)
    }


def test_columns_that_an_own_description_does_not_name_are_judged(tmp_path):
    toml = FINDINGS.replace('"clear"', '"0"').replace('"opacity", "effusion"', '"1"') + 'label = "ill"\n'
    rows = [f"{name},p{n},{n % 2},{'seitlich' if n < 2 else 'p.a.'},{'Test' if n > 6 else 'Training'}"
            for n, name in enumerate(NAMES)]  # fmt: skip
    images = {f"x/{name}.png": None for name in NAMES}
    source = own(tmp_path, images | {"x/reads.csv": csv_of("id,patient,ill,Projektion,Kohorte", *rows)}, toml)
    asked = "\n".join(source.survey.questions)
    assert "the column Projektion is not read" in asked
    assert "Kohorte" in asked
    assert "ill" not in asked.replace("tell", "").replace("will", "")


def test_the_split_of_a_whole_table_is_no_column(tmp_path):
    toml = FINDINGS.replace('"clear"', '"0"').replace('"opacity", "effusion"', '"1"') + 'label = "ill"\n'
    rows = [f"{name},p{n},{n % 2}" for n, name in enumerate(NAMES)]
    content = {f"x/{name}.png": None for name in NAMES} | {"x/reads.csv": csv_of("id,patient,ill", *rows)}
    assert splits(own(tmp_path, content, toml + 'split = "=test"\n')) == {"test": 10}


LABEL = """
name = "own"
title = "Own"
negative = ["n"]
positive = ["p"]

[[tables]]
file = "r.csv"
image = "{f}"
label = "dx"
"""


def listed_as(tmp_path, *paths):
    """What is understood of images that a table lists in turn as n and p."""
    rows = [f"{path},{'np'[n % 2]}" for n, path in enumerate(paths)]
    return own(tmp_path, {**dict.fromkeys(paths), "r.csv": csv_of("f,dx", *rows)}, LABEL)


def test_folders_in_the_paths_of_a_described_table_tell_the_split(tmp_path):
    source = listed_as(tmp_path, *(f"{['train', 'test'][n // 6]}/{n}.png" for n in range(12)))
    assert splits(source) == {"train": 6, "test": 6}
    assert not source.survey.questions


def test_a_described_table_whose_images_are_not_below_it(tmp_path):
    (tmp_path / "own.toml").write_text(LABEL)
    with pytest.raises(InputError, match="if its images are in a folder above it, pass that folder"):
        understood(
            tmp_path, {"x/0.png": None, "t/r.csv": "f,dx\nx/0.png,n\n"}, "t/r.csv", layout=str(tmp_path / "own.toml")
        )


def test_folders_that_tell_the_split_where_its_lists_are_missing(tmp_path):
    paths = [f"{['train', 'test'][n // 6]}/{n}.png" for n in range(12)]
    rows = [f"{path},{'np'[n % 2]}" for n, path in enumerate(paths)]
    source = own(tmp_path, {**dict.fromkeys(paths), "r.csv": csv_of("f,dx", *rows)}, LABEL + LISTS)
    assert splits(source) == {"train": 6, "test": 6}
    assert "--yes takes the splits that folders name; add the list" in "".join(source.survey.questions)


@pytest.mark.parametrize(
    ("shape", "asks"),
    [
        (["masks/{}.png", "img/{}.png"], "named like masks"),
        (
            ["normal/{}.png", "normal/{}.png", "pneumonia/{}.png", "pneumonia/{}.png"],
            "lie in a folder of another label",
        ),
        (["hand_{}.png", "pa_{}.png"], "another body part"),
        (["normal_{}.png", "normal_{}.png", "pneumonia_{}.png", "pneumonia_{}.png"], "say another class"),
    ],
)
def test_paths_of_a_described_table_are_compared_with_it(tmp_path, shape, asks):
    source = listed_as(tmp_path, *(shape[n % len(shape)].format(n) for n in range(16)))
    assert asks in "".join(source.survey.questions)


@pytest.mark.parametrize(("path", "differs"), [("a/b.png", False), ("./a/b.png", False), ("A/b.PNG", True)])
def test_letter_case_is_spoken_of_only_where_the_path_as_it_is_leads_nowhere(path, differs):
    assert differs_in_case(path, File("x/a/b.png", 1)) is differs


def listed(train, test, toml=FINDINGS + LISTS):
    lists = {"train.txt": train, "test.txt": test}
    return {**reads(), **{name: "\n".join(text) for name, text in lists.items() if text is not None}}, toml


@pytest.mark.parametrize("shape", ["{}.png", "{}", "x/{}.png", "old/place/x/{}.PNG", "x\\{}.png", "{}.jpg"])
def test_lists_name_images_by_path_or_name_or_stem(tmp_path, shape):
    names = [shape.format(name) for name in NAMES]
    source = own(tmp_path, *listed(names[:7], names[7:]))
    assert splits(source) == {"train": 7, "test": 3}
    assert not source.survey.questions
    assert "test.txt: 3 of 3 names lead to images, which are of test" in source.survey.notes
    source = own(tmp_path, *listed(names[:9], names[9:]))
    assert "test.txt: 1 of 1 name leads to an image, which is of test" in source.survey.notes


@pytest.mark.parametrize(
    ("train", "test", "asks"),
    [
        (NAMES[:7], None, ["the official split is not there: test.txt", "3 images of 10, the first "]),
        (None, NAMES[7:], ["the official split is not there: train.txt"]),
        (None, None, ["the official split is not there: train.txt and test.txt; --yes divides the images anew"]),
        (NAMES[:7], ["a", "b"], ["test.txt names no image that is here (the first name in it is 'a')", "3 images"]),
        (NAMES[:7], [], ["test.txt names no image that is here (it is empty)", "3 images"]),
        (
            NAMES[:5],
            NAMES[7:],
            ["2 images of 10, the first x/s5.png, are in no split, though others are"],
        ),
    ],
)
def test_lists_that_are_missing_or_name_too_little_are_asked_about(tmp_path, train, test, asks):
    questions = own(tmp_path, *listed(train, test)).survey.questions
    assert len(questions) == len(asks)
    for text, start in zip(questions, asks, strict=True):
        assert text.startswith(start)


def test_a_list_of_test_images_alone_leaves_the_others_for_training_if_all_its_names_are_there(tmp_path):
    toml = FINDINGS + 'lists = { test = "test.txt" }\n'
    source = own(tmp_path, *listed(None, NAMES[7:], toml))
    assert (splits(source), source.survey.questions) == ({"train": 7, "test": 3}, [])
    assert "7 images in no list are for training" in source.survey.notes
    asked = own(tmp_path, *listed(None, [*NAMES[8:], "s77"], toml)).survey.questions
    assert asked[0].startswith("8 images of 10, the first ")


def test_lists_that_contradict_each_other_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"x/s7\.png is listed for train in train\.txt and for test in test\.txt"):
        own(tmp_path, *listed(NAMES[:8], NAMES[7:]))


def test_a_name_in_a_list_that_could_mean_two_images_is_refused(tmp_path):
    rows = "a/s1,p1,1,0,0", "b/s1,p2,0,1,0", "a/s2,p3,1,0,0"
    content = {"train.txt": "s1.png", "test.txt": "s2.png", "a/s1.png": None, "b/s1.png": None, "a/s2.png": None}
    content["reads.csv"] = csv_of("id,patient,clear,opacity,effusion", *rows)
    with pytest.raises(InputError, match=r"train\.txt: s1\.png could mean a/s1\.png or b/s1\.png"):
        own(tmp_path, content, FINDINGS + LISTS)


def test_cells_without_a_split_beside_others_are_asked_about(tmp_path):
    rows = [f"{name},p{n},{n % 2},{1 - n % 2},0,{'test' if n > 7 else ''}" for n, name in enumerate(NAMES)]
    content = reads() | {"x/reads.csv": csv_of("id,patient,clear,opacity,effusion,set", *rows)}
    (question,) = own(tmp_path, content, FINDINGS + 'split = "set"\n').survey.questions
    assert question.startswith("8 images of 10, the first x/s0.png, are in no split, though others are")


@pytest.mark.parametrize(
    ("yes", "no"),
    [("1", ""), ("1.0", "0.0"), ('"1,0"', '"0,0"'), ("x", ""), ("ja", "nein"), ("True", "False"), ("YES", "NA")],
)
def test_marks_of_findings_as_people_write_them(tmp_path, yes, no):
    source = own(tmp_path, reads(yes, no), FINDINGS)
    assert labels(source) == {"NORMAL": 5, "PNEUMONIA": 5}
    assert source.survey.warnings == ["no image is marked in the column effusion, which is to mean PNEUMONIA"]


@pytest.mark.parametrize("mark", ["2", "mild", "?", "0.7"])
def test_marks_that_are_not_understood_are_refused(tmp_path, mark):
    says = re.escape(f"reads.csv, line 4: unknown value '{mark}' in the column effusion")
    with pytest.raises(InputError, match=says):
        own(tmp_path, reads(effusion=mark), FINDINGS)


def test_several_columns_of_findings_in_any_letter_case(tmp_path):
    own(tmp_path, reads(effusion="1"), FINDINGS)
    layout = str(tmp_path / "own.toml")
    found = understand(tmp_path / "s", SourceOptions(layout=layout, positive=("EFFUSION", "Opacity")))
    assert (labels(found), found.survey.remarks) == ({"NORMAL": 4, "PNEUMONIA": 5}, ())
    found = understand(tmp_path / "s", SourceOptions(layout=layout, positive=("opacity", "opacities")))
    assert [text.split(";")[0] for text in found.survey.questions] == [
        "other findings are marked for 1 of 5 NORMAL images: effusion (1 image)",
        "no folder or label is named 'opacities'",
    ]


def test_the_remedy_for_a_column_is_a_key_of_the_description(tmp_path):
    toml = FINDINGS.replace('"clear"', '"0"').replace('"opacity", "effusion"', '"1"') + 'label = "ill"\n'
    rows = [f"{name},p{n},{n % 2},{'seitlich' if n < 2 else 'p.a.'},{'Test' if n > 6 else 'Training'},m{n // 3}"
            for n, name in enumerate(NAMES)]  # fmt: skip
    content = {f"x/{name}.png": None for name in NAMES}
    content |= {"x/reads.csv": csv_of("id,patient,ill,Ebene der Aufnahme,Kohorte,mrn", *rows)}
    asked = "\n".join(own(tmp_path, content, toml).survey.questions)
    assert 'write keep = { "Ebene der Aufnahme" = [...] } into the table of the description' in asked
    assert 'write split = "Kohorte" into the table of the description, with train, val and test in its cells' in asked
    assert 'if mrn is right, write patient = "{mrn}" into the table of the description' in asked
    assert "rename" not in asked
    with pytest.raises(InputError, match=r"unknown split 'p0' .* into it, or take split out of the description"):
        own(tmp_path, {}, toml + 'split = "patient"\n')
