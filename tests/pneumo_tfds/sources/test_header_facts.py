"""What headers of DICOM files decide: who is left out; and that they are read once."""

from __future__ import annotations

import sys
import threading

import pytest
from pydicom.dataset import Dataset

from made_sources import header, labels, understood, write
from pneumo_tfds.decode.headers import HEAD_BYTES
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.installed import how_to_install
from pneumo_tfds.sources import header_facts
from pneumo_tfds.sources.header_facts import read_headers
from pneumo_tfds.sources.listing import walk
from pneumo_tfds.sources.opening import require_both_classes
from pneumo_tfds.sources.reading import FolderReader
from pneumo_tfds.sources.survey import SurveyNotes

GOOD = {f"{label}/{n}.dcm": header(f"{label}{n}") for label in ("NORMAL", "PNEUMONIA") for n in range(4)}


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ({"Modality": "CT"}, "CT"),
        ({"Modality": "MR"}, "MR"),
        ({"Modality": "SR"}, "SR"),
        ({"BodyPartExamined": "HAND"}, "HAND"),
        ({"BodyPartExamined": "CSPINE"}, "CSPINE"),
        ({"ViewPosition": "LL"}, "LL"),
        ({"ViewPosition": "RL"}, "RL"),
    ],
)
@pytest.mark.parametrize("name", ["NORMAL/x.dcm", "NORMAL/x", "NORMAL/x.dicom", "NORMAL/IM000001"])
def test_what_is_no_frontal_chest_is_left_out_by_its_header_and_counted(tmp_path, tags, words, name):
    source = understood(tmp_path, {**GOOD, name: header("other", **tags)})
    assert labels(source) == {"NORMAL": 4, "PNEUMONIA": 4}
    (reason,) = source.ignored
    assert reason.startswith("by its DICOM header: ")
    assert words in reason


def test_a_derived_copy_is_left_out_beside_its_original_only(tmp_path):
    derived, original = ["DERIVED", "PRIMARY"], ["ORIGINAL", "PRIMARY"]
    content = {
        "NORMAL/raw.dcm": header("a", StudyInstanceUID="1.2.77", ImageType=original),
        "NORMAL/enhanced.dcm": header("a", StudyInstanceUID="1.2.77", ImageType=derived),
        "NORMAL/alone.dcm": header("b", StudyInstanceUID="1.2.78", ImageType=derived),
    }
    source = understood(tmp_path, {**GOOD, **content})
    assert source.ignored == {
        "by its DICOM header: a copy derived from another image of its study, which is here": 1,
    }


def test_images_of_one_study_and_view_that_are_described_differently_are_warned_of(tmp_path):
    names = ["Chest PA", "Chest PA Soft Tissue", "Chest PA Bone"]
    content = {
        f"NORMAL/{n}_{k}.dcm": header(f"a{n}", StudyInstanceUID=f"1.2.{n}", SeriesDescription=name)
        for n in range(2) for k, name in enumerate(names)
    }  # fmt: skip
    content |= {f"NORMAL/same{k}.dcm": header("b", StudyInstanceUID="1.2.9", SeriesDescription="Chest") for k in (1, 2)}
    (text,) = understood(tmp_path, {**GOOD, **content}).survey.warnings
    says = (
        "2 studies with several images of one view that are described differently: Chest PA (2 images), Chest PA Soft"
    )
    assert text.startswith(says)


def test_the_chest_and_another_body_part_are_warned_of(tmp_path):
    content = {"NORMAL/both.dcm": header("c", BodyPartExamined="CHEST_ABDOMEN"), "NORMAL/x.dcm": header(
        "d", BodyPartExamined="CHEST")}  # fmt: skip
    (text,) = understood(tmp_path, {**GOOD, **content}).survey.warnings
    assert text.startswith("DICOM headers of 1 file say: body part CHEST_ABDOMEN (1 file) is the chest and another one")


@pytest.mark.parametrize(
    ("original", "derived", "copies"),
    [
        ({"ViewPosition": "PA"}, {"ViewPosition": "PA"}, 1),
        ({"ViewPosition": "PA"}, {"ViewPosition": "AP"}, 0),
        ({"ViewPosition": "LL"}, {"ViewPosition": "PA"}, 0),
        ({"PresentationIntentType": "FOR PROCESSING"}, {"PresentationIntentType": "FOR PRESENTATION"}, 0),
        ({"ViewPosition": "PA"}, {"ViewPosition": "AP", "SourceImageSequence": "1.2.5"}, 1),
        ({"ViewPosition": "PA"}, {"ViewPosition": "PA", "SourceImageSequence": "1.2.6"}, 0),
    ],
)
def test_a_copy_is_of_the_image_it_names_or_else_of_one_with_its_view(tmp_path, original, derived, copies):
    if uid := derived.get("SourceImageSequence"):
        named = Dataset()
        named.ReferencedSOPClassUID, named.ReferencedSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.1", uid
        derived = {**derived, "SourceImageSequence": [named]}
    study = {"StudyInstanceUID": "1.2.77"}
    content = {
        "NORMAL/raw.dcm": header("a", **study, ImageType=["ORIGINAL", "PRIMARY"], SOPInstanceUID="1.2.5", **original),
        "NORMAL/shown.dcm": header("a", **study, ImageType=["DERIVED", "PRIMARY"], SOPInstanceUID="1.2.7", **derived),
    }
    source = understood(tmp_path, {**GOOD, **content})
    assert (
        source.ignored.get("by its DICOM header: a copy derived from another image of its study, which is here", 0)
        == copies
    )


def test_a_header_with_large_tables_is_read_without_the_pixels(tmp_path):
    table = Dataset()
    table.LUTDescriptor, table.LUTData = [30_000, 0, 16], bytes(60_000)
    table["LUTData"].VR = "OW"
    tags = {"VOILUTSequence": [table], "ViewCodeSequence": [Dataset()], "StudyDescription": "XR HAND LEFT"}
    data = header("other", BodyPartExamined=None, **tags)
    asked = []

    class Reader(FolderReader):
        def read_name(self, name, first=None):
            asked.append(first)
            return super().read_name(name, first)

    (tmp_path / "x.dcm").write_bytes(data + bytes(300_000))
    facts = read_headers(list(walk(tmp_path)), Reader(tmp_path), tmp_path, SurveyNotes())
    assert facts["x.dcm"].procedure == ("XR HAND LEFT",)
    assert None not in asked


def test_a_list_of_files_is_no_image(tmp_path):
    source = understood(tmp_path, {**GOOD, "NORMAL/DICOMDIR": header("")})
    assert source.ignored == {"a list of DICOM files": 1}


class CountingReader:
    """Reads files and keeps the names of those that were read."""

    def __init__(self, root):
        self._reader, self._lock, self.names = FolderReader(root), threading.Lock(), []

    def read_name(self, name, first=None):
        with self._lock:
            self.names.append(name)
        return self._reader.read_name(name, first)


@pytest.mark.parametrize("suffix", [".dcm", ""])
def test_headers_are_read_once(tmp_path, monkeypatch, suffix):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    data = header("Meyer^Anna", StudyInstanceUID="1.2.3")
    write(tmp_path / "s", {f"NORMAL/{n}{suffix}": data for n in range(header_facts.CACHE_FROM)})

    def read():
        reader = CountingReader(tmp_path / "s")
        return read_headers(list(walk(tmp_path / "s")), reader, tmp_path / "s", SurveyNotes()), reader.names

    first, names = read()
    assert set(names) == set(first)
    again, names = read()
    assert names == []
    assert again == first
    (tmp_path / "s" / f"NORMAL/7{suffix}").write_bytes(data + b"\0" * HEAD_BYTES)
    (tmp_path / "s" / f"NORMAL/new{suffix}").write_bytes(data)
    third, names = read()
    assert set(names) == {f"NORMAL/7{suffix}", f"NORMAL/new{suffix}"}
    assert len(third) == len(first) + 1
    kept = next((tmp_path / "cache" / "pneumo").iterdir())
    assert b"Meyer" not in kept.read_bytes()
    kept.write_bytes(b'{"fields": [], "files": [[1]]}')  # of another version
    assert read()[0] == third


def test_a_header_that_cannot_be_read_is_left_to_the_build(tmp_path):
    source = understood(tmp_path, {**GOOD, "NORMAL/cut.dcm": header("a")[:150]})
    assert labels(source) == {"NORMAL": 5, "PNEUMONIA": 4}


@pytest.mark.parametrize("suffix", [".jpg", ".PNG"])
def test_dicom_files_that_are_named_like_pictures_are_known_by_their_first_bytes(tmp_path, suffix):
    pictures = {f"NORMAL/{n}.jpg": None for n in range(3)}
    scans = {f"PNEUMONIA/ct/{n}{suffix}": header(f"p{n}", Modality="CT") for n in range(30)}
    plain = {f"PNEUMONIA/{n}{suffix}": header(f"p{n}") for n in range(3)}
    source = understood(tmp_path, {**pictures, **plain, **scans})
    assert labels(source) == {"NORMAL": 3, "PNEUMONIA": 3}
    assert source.ignored == {"by its DICOM header: modality CT is not radiography": 30}


def test_headers_that_cannot_be_read_without_pydicom_are_asked_about(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pydicom", None)
    source = understood(tmp_path, {**GOOD, "NORMAL/odd/1.jpg": None})
    question, other = source.survey.questions
    assert "NORMAL/odd" in other
    assert "headers of 8 DICOM files, such as NORMAL/0.dcm, cannot be read" in question
    assert how_to_install("dicom") in question


def test_a_study_on_two_sides_of_the_test_split_is_asked_about(tmp_path):
    content = {f"{split}/{label}/{n}.dcm": header("", StudyInstanceUID=f"1.2.{len(label)}{n}")
               for split in ("train", "test") for label in ("NORMAL", "PNEUMONIA") for n in range(3)}  # fmt: skip
    (question,) = understood(tmp_path, content).survey.questions
    assert question.startswith("6 patients of the test split, such as that of test/")
    assert ".dcm, have images outside it: the same patient ID, study or the like stands on both sides" in question


def test_a_class_that_loses_much_by_the_body_part_is_warned_of(tmp_path):
    hands = {f"NORMAL/h{n}.dcm": header(f"h{n}", BodyPartExamined="MANO") for n in range(2)}
    source = understood(tmp_path, {**GOOD, **hands, "PNEUMONIA/s.dcm": header("s", Modality="CT")})
    (text,) = source.survey.warnings
    assert text.startswith("2 of 6 NORMAL images are left out for the body part in their header: MANO (2 images)")
    assert "correct BodyPartExamined" in text


def test_where_headers_leave_nothing_the_reason_is_given(tmp_path):
    source = understood(tmp_path, {name: header(name, Modality="CT") for name in list(GOOD)[2:6]})
    with pytest.raises(InputError, match="no image is left; 4 files left out: by its DICOM header: modality CT"):
        require_both_classes(source)


def test_remarks_are_one_of_each_kind_and_ages_are_told_without_a_doubt(tmp_path):
    content = {f"{label}/{n}.dcm": header(f"{label}{n % 3}", PatientAge=f"{n:03d}Y", ViewPosition=f"POSITION{n % 2}")
               for label, first in (("NORMAL", 12), ("PNEUMONIA", 40)) for n in range(first, first + 9)}  # fmt: skip
    survey = understood(tmp_path, content).survey
    assert [text for text in survey.warnings if "headers" in text] == [
        "DICOM headers of 18 files say: view POSITION0 (10 files), POSITION1 (8 files) is not known"
    ]
    (told,) = [text for text in survey.notes if "years" in text]
    assert told == "6 of 6 patients with an age in the DICOM header are 18 years or older (images from 12 to 48 years)"
