"""Zips, tables and names as strangers make them: the images that are there, or one line that says what is wrong."""

import functools
import io
import os
import zipfile
from pathlib import PurePosixPath

import cv2
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pneumo_tfds.program.errors import InputError
from pneumo_tfds.sources.classes import ClassWords
from pneumo_tfds.sources.identifiers import identify
from pneumo_tfds.sources.inventory import LABELS, SUBTYPES
from pneumo_tfds.sources.layout import read_folders
from pneumo_tfds.sources.listing import File, images_among, is_printable
from pneumo_tfds.sources.opening import open_source, understand
from pneumo_tfds.sources.source_options import SourceOptions
from pneumo_tfds.sources.survey import SurveyNotes
from pneumo_tfds.writing.examples import process

NAMES = (
    "chest_xray/train/NORMAL/IM-0001-0001.jpeg",
    "chest_xray/train/PNEUMONIA/person1_virus_2.jpeg",
    "__MACOSX/x",
    "chest_xray/chest_xray/train/NORMAL/IM-0001-0001.jpeg",
)


@functools.cache
def pictures():
    random = np.random.default_rng(0)
    return [cv2.imencode(".jpeg", random.integers(0, 256, (16, 16), np.uint8))[1].tobytes() for _ in range(2)]


def zipped(method=zipfile.ZIP_STORED, names=NAMES):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for number, name in enumerate(names):
            archive.writestr(name, pictures()[number % 2])
    return file.getvalue()


@functools.cache
def zips():
    methods = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
    return [*map(zipped, methods), zipped(names=("NORMAL/ä.jpeg", "PNEUMONIA/胸.jpeg"))]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("sources")


def read_all(path):
    source = open_source(path)
    assert {image.label for image in source.images} == set(LABELS)
    for image in source.images:
        assert is_printable(image.name)
        record = process(source.reader, image, 16)
        assert (record.data is None) == bool(record.error)
        assert record.error.isprintable()


@given(data=st.data())
def test_zip_bytes(data, place, mutated, input_error_only):
    path = place / "a.zip"
    path.write_bytes(data.draw(mutated(zips())))
    with input_error_only("a.zip"):
        read_all(path)


ODD_NAMES = st.one_of(
    st.sampled_from(
        [*NAMES, "../NORMAL/x.png", "/NORMAL/x.png", "C:\\NORMAL\\x.png", "a\\..\\..\\NORMAL\\x.png", "NORMAL/"]
    ),
    st.builds(
        lambda parts, name, suffix: "/".join([*parts, name + suffix]),
        st.lists(
            st.sampled_from(["NORMAL", "PNEUMONIA", "normal", "train", "test", "", ".", "..", "\x1b[2J", "a\nb"]),
            max_size=4,
        ),
        st.one_of(
            st.text(max_size=12),
            st.from_regex(r"(person|IM-|NORMAL2-IM-)[0-9]{1,40}(_(bacteria|virus)_|-)[0-9]{1,40}", fullmatch=True),
        ),
        st.sampled_from([".jpeg", ".JPG", ".png", ".dcm", "", "."]),
    ),
)


@given(
    names=st.lists(ODD_NAMES.filter(bool), min_size=1, max_size=8),
    flags=st.integers(0, 0xFFFF),
    method=st.integers(0, 20),
)
def test_zip_of_odd_members(names, flags, method, place, input_error_only):
    """Names that repeat, point outside or hold anything; flags and methods that nobody has heard of."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for number, name in enumerate([*names, *NAMES[:2]]):
            try:
                archive.writestr(zipfile.ZipInfo(name), pictures()[number % 2])
            except (ValueError, UnicodeEncodeError):
                return
        member = archive.filelist[0]
        member.flag_bits |= flags & ~0x800
        member.compress_type = method
    path = place / "odd.zip"
    path.write_bytes(file.getvalue())
    with input_error_only("odd.zip"):
        read_all(path)


TABLE = (
    "path,label,patient,subtype,split\n"
    "a.jpeg,NORMAL,p1,,train\n"
    '"b.jpeg",1,"p,2",virus,test\n'
    "c.jpeg,pneumonia,,bacteria,\n"
)
CELLS = st.one_of(
    st.sampled_from(
        [
            "a.jpeg",
            "b.jpeg",
            "c.jpeg",
            "NORMAL",
            "1",
            "0",
            "virus",
            "test",
            "",
            '"',
            "\0",
            "../a.jpeg",
            "\x1b",
            "x" * 300,
        ]
    ),
    st.text(max_size=6),
)


@pytest.fixture(scope="module")
def table(place):
    for number, name in enumerate("abc"):
        (place / f"{name}.jpeg").write_bytes(pictures()[number % 2])
    return place / "table.csv"


@given(data=st.data())
def test_csv_bytes(data, table, mutated, input_error_only):
    table.write_bytes(
        data.draw(mutated([TABLE.encode(), TABLE.encode("utf-8-sig"), TABLE.replace("\n", "\r\n").encode()]))
    )
    with input_error_only("table.csv"):
        read_all(table)


@given(
    rows=st.lists(st.lists(CELLS, max_size=6), max_size=5),
    head=st.sampled_from(["path,label", "Path , LABEL,patient,split", "label"]),
)
def test_csv_cells(rows, head, table, input_error_only):
    text = "\n".join([head, *(",".join(row) for row in rows)])
    table.write_bytes(text.encode("utf-8", "surrogatepass"))
    with input_error_only("table.csv"):
        read_all(table)


@given(name=st.one_of(ODD_NAMES, st.text(max_size=30)), label=st.sampled_from(LABELS))
@example(name="person" + "9" * 5000 + "_virus_1.jpeg", label="PNEUMONIA")  # int() refuses over 4,300 digits
@example(name="person१_virus_1.jpeg", label="PNEUMONIA")
def test_patient_of_any_name(name, label):
    patient, subtype = identify(name, label)
    assert subtype in SUBTYPES
    assert patient
    stem = PurePosixPath(name).stem
    assert identify(f"{stem}.png", label)[0] == patient or patient.startswith("file:")


@given(names=st.lists(st.one_of(ODD_NAMES, st.text(max_size=20), st.just("NORMAL/\udcf6.jpeg")), max_size=10))
@example(names=["NORMAL/R\udcf6ntgen.jpeg"])  # a Latin-1 name on a UTF-8 system, as os.walk gives it
def test_any_listing(names, input_error_only):
    """Every file is an image, or is left out and counted."""

    class Nothing:
        def read_name(self, name, first=None):
            return b""

    notes = SurveyNotes()
    with input_error_only(""):
        images = images_among([File(name, 1) for name in dict.fromkeys(names)], Nothing(), notes)
        labelled = read_folders(images, ClassWords(), lambda one, other: True, notes)
        assert len(labelled) + sum(map(len, notes.left_out.values())) == len(set(names))
        for one in labelled:
            assert one.label in LABELS
            one.file.name.encode()


def test_two_different_members_of_one_name_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name, data in (("NORMAL/1.jpeg", b"old"), ("PNEUMONIA/2.jpeg", b"x"), ("NORMAL/1.jpeg", b"new")):
            archive.writestr(name, data)
    with pytest.raises(InputError, match=r"has two different members NORMAL/1\.jpeg"):
        open_source(tmp_path / "a.zip")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_packing_without_bounds_is_refused_when_it_is_read(tmp_path, method):
    (tmp_path / "a.zip").write_bytes(zipped(method))
    source = open_source(tmp_path / "a.zip")
    with pytest.raises(InputError, match="is compressed by method"):
        source.read(source.images[0])


def test_a_huge_file_in_a_folder_is_not_read(tmp_path):
    for name in ("NORMAL/huge.jpeg", "PNEUMONIA/2.jpeg"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(pictures()[0])
    os.truncate(tmp_path / "NORMAL/huge.jpeg", 1 << 40)  # a hole: it takes no room on the disk
    source = open_source(tmp_path)
    with pytest.raises(InputError, match=r"huge\.jpeg: over 256 MiB"):
        source.read(source.images[0])


DESCRIPTION = """name = "ours"
title = "Our hospital"
positive = ["1"]
negative = ["0"]
recognised_by_names = "a+"
uncertain = "positive"

[[tables]]
file = "t*.csv"
image = "{path}"
label = "label"
patient = "{patient}-{label}"
split = "split"
keep = { subtype = ["", "virus"] }
lists = { test = "test.txt" }
"""


@given(data=st.data())
def test_description_of_a_data_set(data, place, table, mutated, input_error_only):
    """A TOML file with anything in it, used on a table that is there."""
    path = place / "own.toml"
    path.write_bytes(data.draw(mutated([DESCRIPTION.encode(), DESCRIPTION.replace("label =", "").encode()])))
    table.write_text(TABLE)
    with input_error_only():
        understand(place, SourceOptions(layout=str(path)))


@given(data=st.data())
def test_lists_of_splits(data, place, table, mutated, input_error_only):
    path = place / "own.toml"
    path.write_text(DESCRIPTION)
    table.write_text(TABLE)
    (place / "test.txt").write_bytes(data.draw(mutated([b"a.jpeg\nb.jpeg\r\n", b"x/c.jpeg\n\n\xff"])))
    with input_error_only():
        understand(place, SourceOptions(layout=str(path)))
