"""Columns of tables and elements of headers, found for images by their paths."""

from __future__ import annotations

import numpy as np
import pytest

from image_files import dicom
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.sources.image_columns import read_columns

NAMES = ["NORMAL/1.png", "NORMAL/2.png", "PNEUMONIA/3.png"]


def table(folder, *lines, name="labels.csv"):
    path = folder / name
    path.write_text("\n".join(lines) + "\n")
    for image in NAMES:
        (folder / image).parent.mkdir(exist_ok=True)
        (folder / image).write_bytes(b"\x89PNG\r\n\x1a\n")
    return path


def test_cells_are_those_of_each_images_row_in_the_order_of_the_images(tmp_path):
    rows = ("PNEUMONIA/3.png,71,F", "NORMAL/1.png,5,M", "NORMAL/2.png,,F")
    path = table(tmp_path, "path,Age,sex", *rows)
    for source in (path, tmp_path):
        assert read_columns(source, NAMES, ["age", "sex"]) == {"age": ["5", "", "71"], "sex": ["M", "F", "F"]}


@pytest.mark.parametrize(
    "cells", [("1.png", "2.png", "3.png"), ("1", "2", "3"), ("./NORMAL/1.png", "NORMAL\\2.png", "3")]
)
def test_images_are_named_by_the_end_of_their_path_or_without_suffix(tmp_path, cells):
    path = table(tmp_path, "count,image,sex", *(f"{3 - i},{cell},{i}" for i, cell in enumerate(cells)))
    assert read_columns(path, NAMES, ["sex"]) == {"sex": ["0", "1", "2"]}


def test_a_name_that_two_images_share_names_none_of_them(tmp_path):
    path = table(tmp_path, "image,sex", "1.png,F", "3.png,M")
    names = ["NORMAL/1.png", "PNEUMONIA/1.png", "PNEUMONIA/3.png"]
    assert read_columns(path, names, ["sex"]) == {"sex": ["", "", "M"]}


def test_headers_say_what_tables_do_not(tmp_path):
    pixels = np.zeros((8, 8), np.uint16)
    for number, tags in enumerate(({"PatientAge": "047Y", "PatientSex": "F"}, {"PatientSex": "M"})):
        (tmp_path / f"{number}.dcm").write_bytes(dicom(pixels, **tags))
    (tmp_path / "labels.csv").write_text("path,label,site\n0.dcm,NORMAL,a\n1.dcm,NORMAL,b\n")
    found = read_columns(tmp_path / "labels.csv", ["0.dcm", "1.dcm"], ["age", "PatientSex", "site"])
    assert found == {"age": ["047Y", ""], "PatientSex": ["F", "M"], "site": ["a", "b"]}


def test_a_column_that_nothing_says_is_refused_with_those_that_there_are(tmp_path):
    path = table(tmp_path, "path,sex", *(f"{name},F" for name in NAMES))
    with pytest.raises(
        InputError, match=r"--by age: no DICOM header of .*labels\.csv says it, and the table has path, sex"
    ):
        read_columns(path, NAMES, ["age"])


def test_files_of_another_kind_in_a_folder_are_no_tables_of_it_but_a_table_that_is_the_source_is_read(tmp_path):
    table(tmp_path, "path,sex", *(f"{name},F" for name in NAMES))
    (tmp_path / "._labels.csv").write_bytes(b"\0\5\x16\7 of macOS")
    (tmp_path / "notes.csv").write_bytes("path;Grüße".encode("latin-1"))
    assert read_columns(tmp_path, NAMES, ["sex"]) == {"sex": ["F"] * 3}
    with pytest.raises(InputError, match=r"--by age: .* has path, sex; not read: notes\.csv, line 1: has a character"):
        read_columns(tmp_path, NAMES, ["age"])
    with pytest.raises(InputError, match=r"notes\.csv, line 1: has a character that is not in UTF-8"):
        read_columns(tmp_path / "notes.csv", NAMES, ["sex"])


def test_tables_that_contradict_each_other_are_refused_and_others_are_read_together(tmp_path):
    table(tmp_path, "path,sex,age", *(f"{name},F,5" for name in NAMES[:2]))
    table(tmp_path, "path,Sex,age", f"{NAMES[1]},f,5.0", f"{NAMES[2]},M,6", name="more.csv")
    assert [cell.upper() for cell in read_columns(tmp_path, NAMES, ["sex"])["sex"]] == ["F", "F", "M"]
    assert list(map(float, read_columns(tmp_path, NAMES, ["age"])["age"])) == [5, 5, 6]
    path = table(tmp_path, "image,SEX", f"{NAMES[0]},M", f"{NAMES[1]},M", name="x.csv")
    with pytest.raises(InputError, match=r"--by sex: .* of NORMAL/1\.png, and .*, and so for 2 images") as refused:
        read_columns(tmp_path, NAMES, ["sex"])
    assert "sex of labels.csv says 'F'" in str(refused.value)
    assert "SEX of x.csv says 'M'" in str(refused.value)
    assert read_columns(path, NAMES, ["sex"]) == {"sex": ["M", "M", ""]}


def test_a_table_that_lacks_a_value_contradicts_none_and_long_numbers_are_compared_whole(tmp_path):
    table(tmp_path, "path,sex,study", f"{NAMES[0]},F,20231201000000012345")
    table(tmp_path, "path,sex,study", f"{NAMES[0]},NA,20231201000000012346", name="more.csv")
    assert read_columns(tmp_path, NAMES[:1], ["sex"]) == {"sex": ["F"]}
    with pytest.raises(InputError, match=r"--by study: .* says '20231201000000012345'"):
        read_columns(tmp_path, NAMES[:1], ["study"])


def test_rows_that_contradict_each_other_are_refused(tmp_path):
    path = table(tmp_path, "path,sex,box", f"{NAMES[0]},F,10", f"{NAMES[0]},F,20", f"{NAMES[1]},M,30")
    assert read_columns(path, NAMES, ["sex"]) == {"sex": ["F", "M", ""]}
    with pytest.raises(InputError, match=r"--by box: box of labels\.csv says '10' of NORMAL/1\.png, and .* says '20'"):
        read_columns(path, NAMES, ["box"])


def test_a_zip_is_to_be_unpacked(tmp_path):
    (tmp_path / "x.zip").write_bytes(b"PK")
    with pytest.raises(InputError, match=r"x\.zip is packed; unpack it"):
        read_columns(tmp_path / "x.zip", NAMES, ["age"])
