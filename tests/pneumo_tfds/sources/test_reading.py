"""A disk or network that fails for a moment, and one that stays away; zips as programs write them."""

from __future__ import annotations

import errno
import os
import zipfile

import pytest

from made_sources import an_image, files, understood, write
from pneumo_tfds.program import trying_again
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.sources import listing, reading
from pneumo_tfds.sources.inventory import Image
from pneumo_tfds.sources.listing import walk
from pneumo_tfds.sources.opening import open_source
from pneumo_tfds.sources.reading import FolderReader, ReadError, read_patiently
from pneumo_tfds.sources.source_options import SourceOptions
from pneumo_tfds.writing.examples import process, stream

IMAGE = Image("NORMAL/1.png", "NORMAL", "p", "normal")


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(trying_again, "PAUSES", (0.0, 0.0, 0.0))


class Failing:
    """Raises an error of the system in its first calls."""

    def __init__(self, times, number, function=lambda: b"data"):
        self.times, self.number, self.function, self.calls = times, number, function, 0

    def __call__(self, *arguments, **named):
        self.calls += 1
        if self.calls <= self.times:
            raise OSError(self.number, os.strerror(self.number))
        return self.function(*arguments, **named)


@pytest.mark.parametrize("number", sorted(trying_again.PASSING))
def test_a_passing_fault_is_tried_again(number):
    read = Failing(3, number)
    assert read_patiently(read, "a.png", "/x") == b"data"
    assert read.calls == 4


def test_a_fault_that_stays_stops_with_the_number_of_tries():
    with pytest.raises(ReadError, match=r"a\.png: cannot be read \(.*\); tried 4 times; check the disk"):
        read_patiently(Failing(9, errno.EIO), "a.png", "/x")


@pytest.mark.parametrize(
    ("number", "remedy"), [(errno.EACCES, "check its permissions"), (errno.ENOENT, "it was removed meanwhile")]
)
def test_other_faults_are_not_tried_again_and_have_their_own_remedy(number, remedy):
    read = Failing(9, number)
    with pytest.raises(ReadError, match=remedy):
        read_patiently(read, "a.png", "/x")
    assert read.calls == 1


def test_a_fault_while_a_file_is_read(tmp_path, monkeypatch):
    write(tmp_path, ["NORMAL/1.png"])
    whole = FolderReader(tmp_path).read(IMAGE)
    monkeypatch.setattr(reading, "open", Failing(2, errno.EIO, open), raising=False)
    assert FolderReader(tmp_path).read(IMAGE) == whole


def test_a_fault_while_a_folder_is_listed(tmp_path, monkeypatch):
    write(tmp_path, ["a/1.png", "b/2.png"])
    monkeypatch.setattr(listing.os, "scandir", Failing(2, errno.ESTALE, os.scandir))
    assert sorted(file.name for file in walk(tmp_path)) == ["a/1.png", "b/2.png"]


def test_a_machine_that_cannot_read_stops_the_build_and_loses_no_image(tmp_path):
    """A damaged file is skipped and counted; a file that is there and cannot be read now is not."""
    with pytest.raises(ReadError, match=r"NORMAL/1\.png: cannot be read"):
        process(FolderReader(tmp_path), IMAGE, 32)
    with pytest.raises(ReadError):
        list(stream(FolderReader(tmp_path), [IMAGE], 32, workers=0))
    write(tmp_path, {"NORMAL/1.png": b"no picture"})
    assert process(FolderReader(tmp_path), IMAGE, 32).error


def zipped(path, content, **options):
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name in content:
            archive.writestr(zipfile.ZipInfo(name), an_image())
    return path


@pytest.mark.parametrize("prefix", ["", "My Data/", "./", "a/b/"])
@pytest.mark.parametrize("separator", ["/", "\\"])
def test_zips_of_any_system(tmp_path, prefix, separator, monkeypatch):
    names = [prefix + name for name in files("{}/{}/{}.JPG", ["Train", "test"], ["NORMAL", "PNEUMONIA"], range(3))]
    path = tmp_path / "a.zip"
    with monkeypatch.context() as patch:  # zipfile replaces the separator of Windows on Windows alone
        patch.setattr(zipfile.os, "sep", "/")
        zipped(path, [name.replace("/", separator) for name in names])
    source = open_source(path)
    assert [image.name for image in source.images] == sorted(names)
    assert {image.official_split for image in source.images} == {"train", "test"}
    assert all(source.read(image) for image in source.images)


def test_a_table_in_a_zip_is_pointed_out_with_what_can_be_done(tmp_path):
    path = zipped(tmp_path / "a.zip", ["x/1.png", "x/2.png"])
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("labels.csv", "path,label\n")
    with pytest.raises(InputError, match=r"labels\.csv lists images with labels; to use it, unpack the zip and pass"):
        open_source(path)


@pytest.mark.parametrize(
    "kind", [b"BM", b"II*\0", b"GIF89a", b"PK\x03\x04", b"\x1f\x8b", b"%PDF-1.4", b"", b"\x89PN", b"text"]
)
def test_files_of_other_kinds_are_named_and_counted(tmp_path, kind):
    names = files("{}/{}.png", ["NORMAL", "PNEUMONIA"], range(3))
    source = understood(tmp_path, {**dict.fromkeys(names), "NORMAL/other": kind + b"\0" * 200})
    assert sum(source.ignored.values()) == 1
    assert len(source.images) == 6


def test_strict_makes_a_warning_an_error_and_yes_accepts_a_question(tmp_path):
    write(tmp_path, files("{}/{}/{}.png", ["a", "b"], ["NORMAL", "PNEUMONIA"], range(3)))
    with pytest.raises(InputError, match="2 places whose names are not understood"):
        open_source(tmp_path)
    assert len(open_source(tmp_path, SourceOptions(yes=True)).images) == 12
    with pytest.raises(InputError, match="12 of 12 images tell no patient"):
        open_source(tmp_path, SourceOptions(yes=True, strict=True))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_zip_with_two_different_members_of_one_name_is_refused(tmp_path):
    path, same = tmp_path / "a.zip", an_image()
    with zipfile.ZipFile(path, "w") as archive:
        for name in (*files("{}/{}.png", ["NORMAL", "PNEUMONIA"], range(4)), "NORMAL/0.png"):
            archive.writestr(name, same)
    assert len(open_source(path).images) == 8
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("NORMAL\\0.png", an_image())
    with pytest.raises(InputError, match=r"a\.zip: has two different members NORMAL/0\.png; unpack it, keep one"):
        open_source(path)
