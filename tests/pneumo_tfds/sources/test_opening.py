"""What people have on disk, and what is refused."""

from __future__ import annotations

import os
import pickle
import shutil
import zipfile
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from pneumo_tfds.program.errors import InputError
from pneumo_tfds.sources import listing
from pneumo_tfds.sources.inventory import Image, Source
from pneumo_tfds.sources.listing import IMAGE_SUFFIXES
from pneumo_tfds.sources.opening import open_source, understand
from pneumo_tfds.sources.reading import FolderReader
from pneumo_tfds.sources.source_options import SourceOptions
from pneumo_tfds.splits.options import SplitOptions


def zipped(folder, path, prefix=""):
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, prefix + file.relative_to(folder).as_posix())
    return path


def test_kaggle_folder(xrays):
    source = open_source(xrays)
    assert source.kind == "folder"
    assert [image.name for image in source.images] == sorted(image.name for image in source.images)
    first = source.images[0]
    assert (first.name, first.label, first.patient) == ("test/NORMAL/IM-0001-0001.jpeg", "NORMAL", "test:IM-1")
    assert {image.official_split for image in source.images} == {"train", "test"}
    assert source.read(first) == (xrays / first.name).read_bytes()


@pytest.mark.parametrize(
    "rename",
    [
        lambda name: name.lower(),
        lambda name: name.upper().replace(".JPEG", ".JPG"),
        lambda name: "deep/er/" + name.replace("train/", "Train/"),
        lambda name: name.replace("train/", "").replace("test/", "t/"),
    ],
)
def test_letter_case_depth_and_missing_split_folders_do_not_matter(tmp_path, write_images, names, rename):
    folder = write_images(tmp_path / "source", [rename(name) for name in names(3, 2, 2)])
    images = open_source(folder).images
    assert sorted({image.label for image in images}) == ["NORMAL", "PNEUMONIA"]
    assert {image.patient for image in images} >= {"IM-1", "person1", "person5002"}
    assert {image.subtype for image in images} == {"normal", "bacteria", "virus"}


def test_second_copy_and_litter_are_ignored_and_counted(xrays):
    count = len(open_source(xrays).images)
    shutil.copytree(xrays / "train", xrays / "chest_xray" / "train")
    (xrays / "__MACOSX" / "train" / "NORMAL").mkdir(parents=True)
    (xrays / "__MACOSX" / "train" / "NORMAL" / "._IM-0001-0001.jpeg").write_bytes(b"x")
    (xrays / "train" / "NORMAL" / ".DS_Store").write_bytes(b"x")
    (xrays / "train" / "NORMAL" / "notes.txt").write_bytes(b"x")
    (xrays / "stray.jpeg").write_bytes(b"x")
    source = open_source(xrays)
    assert len(source.images) == count
    assert source.ignored == {
        "left by an operating system": 2,
        "not an image": 1,
        "in no folder of a class": 1,
        "second nested copy": 40,
    }


def test_equal_names_in_sibling_folders_are_different_images(tmp_path, write_images):
    names = [f"{place}/{label}/1.jpeg" for place in ("a", "b") for label in ("NORMAL", "PNEUMONIA")]
    folder = write_images(tmp_path / "s", names)
    assert len(open_source(folder, SourceOptions(yes=True)).images) == 4


def test_zip_is_read_as_it_lies(xrays, tmp_path):
    source = open_source(zipped(xrays, tmp_path / "archive.zip", "chest_xray/"))
    folder = open_source(xrays)
    assert source.kind == "zip"
    assert [image.patient for image in source.images] == [image.patient for image in folder.images]
    assert [source.read(image) for image in source.images] == [folder.read(image) for image in folder.images]
    again = pickle.loads(pickle.dumps(source))  # noqa: S301 (our own object, as Beam sends it)
    assert again.read(again.images[0]) == folder.read(folder.images[0])


def test_zip_with_a_second_copy(xrays, tmp_path):
    shutil.copytree(xrays / "train", xrays / "chest_xray" / "train")
    source = open_source(zipped(xrays, tmp_path / "a.zip"))
    assert source.ignored == {"second nested copy": 40}


def test_an_archive_in_an_archive_is_said_to_need_unpacking(xrays, tmp_path):
    (tmp_path / "outer").mkdir()
    zipped(xrays, tmp_path / "outer" / "inner.zip")
    with pytest.raises(InputError, match=r"inner\.zip: archives inside a source are not opened .* unpack them first"):
        understand(zipped(tmp_path / "outer", tmp_path / "outer.zip"))


@pytest.mark.parametrize(
    "name",
    ["../NORMAL/x.jpeg", "a/../../NORMAL/x.jpeg", "/NORMAL/x.jpeg", "C:\\NORMAL\\x.jpeg", "..\\NORMAL\\x.jpeg",
     "\\\\server\\share\\NORMAL\\x.jpeg", "C:NORMAL/x.jpeg"],
)  # fmt: skip
def test_zip_members_outside_are_refused(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.writestr(name, b"x")
    with pytest.raises(InputError, match=r"bad\.zip: member .* points outside .*; unpack it into an empty folder"):
        open_source(tmp_path / "bad.zip")


def test_zip_bomb_is_refused_before_it_unpacks(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("train/NORMAL/x.jpeg", bytes(20 << 20))
    with pytest.raises(InputError, match="unpacks to over 100 times its size"):
        open_source(tmp_path / "bomb.zip")


def test_zip_that_declares_too_much_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("pneumo_tfds.sources.zip_archive.MAX_FILE_BYTES", 1000)
    with zipfile.ZipFile(tmp_path / "big.zip", "w") as archive:
        archive.writestr("train/NORMAL/x.jpeg", bytes(range(256)) * 8)
    with pytest.raises(InputError, match="declares 2,048 bytes"):
        open_source(tmp_path / "big.zip")


def test_zip_that_lies_about_its_size_gives_no_more_than_declared(xrays, tmp_path):
    path = zipped(xrays, tmp_path / "liar.zip")
    source = open_source(path)
    image = source.images[0]
    data = bytearray(path.read_bytes())
    at = data.rfind(image.name.encode()) - 46 + 24  # the size in the central directory
    data[at : at + 4] = (100).to_bytes(4, "little")
    path.write_bytes(bytes(data))
    with pytest.raises(InputError, match="damaged inside"):
        open_source(path).read(image)


def test_password_protected_zip_is_refused(xrays, tmp_path):
    path = zipped(xrays, tmp_path / "locked.zip")
    data = bytearray(path.read_bytes())
    at = data.find(b"PK\x01\x02") + 8  # general purpose flags of the first member
    data[at] |= 1
    path.write_bytes(bytes(data))
    with pytest.raises(InputError, match=r"locked\.zip: is password-protected; unpack it"):
        open_source(path)


def test_damaged_zip(xrays, tmp_path):
    path = zipped(xrays, tmp_path / "half.zip")
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(InputError, match=r"half\.zip: cannot be read as a zip"):
        open_source(path)


def test_damaged_member_is_named(xrays, tmp_path):
    path = zipped(xrays, tmp_path / "a.zip")
    source = open_source(path)
    data = bytearray(path.read_bytes())
    at = data.find(source.images[0].name.encode()) + 200
    data[at : at + 50] = bytes(50)
    path.write_bytes(bytes(data))
    with pytest.raises(InputError, match=f"{source.images[0].name}: damaged inside"):
        source.read(source.images[0])


def test_links_and_odd_names(xrays, tmp_path, write_images):
    outside = write_images(tmp_path / "elsewhere", ["Röntgen bild (1).jpeg", "胸部 X線.jpeg"], seed=5)
    (xrays / "train" / "PNEUMONIA" / "verknüpft").symlink_to(outside)
    (xrays / "train" / "NORMAL" / "link.jpeg").symlink_to(outside / "胸部 X線.jpeg")
    (xrays / "train" / "round").symlink_to(xrays)
    (xrays / "train" / "NORMAL" / "broken.jpeg").symlink_to(tmp_path / "nowhere")
    source = open_source(xrays, SourceOptions(yes=True))  # the folder inside PNEUMONIA is asked about
    names = {image.name for image in source.images}
    assert "train/PNEUMONIA/verknüpft/Röntgen bild (1).jpeg" in names
    assert "train/NORMAL/link.jpeg" in names
    assert len(names) == 48 + 3
    assert source.ignored == {"a broken link, or no ordinary file": 1, "a link to a folder that is read already": 1}
    assert all(source.read(image) for image in source.images)
    assert not any("links to folders" in text or "link to folders" in text for text in source.survey.questions)


@pytest.mark.parametrize(
    ("link", "target", "role"),
    [
        ("train/PNEUMONIA/images", "train/NORMAL/images", "class"),
        ("train/PNEUMONIA/a", "train/NORMAL", "class"),
        ("train/A_normal", "train/PNEUMONIA", ""),
        ("train/NORMAL/0", "test/NORMAL", "split"),
        ("val", "test", "split"),
        ("a", "train", ""),
        ("train/a", "train", ""),
        ("train/NORMAL/images/z", "train/NORMAL/images", ""),
    ],
)
@pytest.mark.parametrize("backwards", [False, True])
def test_a_link_never_takes_the_place_of_the_folder_it_leads_to(
    tmp_path, write_images, monkeypatch, link, target, role, backwards
):
    folder = write_images(
        tmp_path / "s",
        [
            f"{split}/{label}/{inner}{split[0]}{n}.jpeg"
            for split in ("train", "test")
            for label, inner in (("NORMAL", "images/"), ("PNEUMONIA", ""))
            for n in range(3)
        ],
    )
    before = {image.name: (image.label, image.official_split) for image in understand(folder).images}
    (folder / link).symlink_to(folder / target)
    scan = os.scandir

    @contextmanager
    def scandir(path):
        with scan(path) as entries:
            yield sorted(entries, key=lambda entry: (entry.is_symlink(), entry.name), reverse=backwards)

    monkeypatch.setattr(listing.os, "scandir", scandir)
    source = understand(folder)
    assert {image.name: (image.label, image.official_split) for image in source.images} == before
    assert source.ignored == {"a link to a folder that is read already": 1}
    asked = [text for text in source.survey.questions if "read already" in text]
    assert len(asked) == bool(role)
    assert not role or f"another {role}, the first {link}, which leads to {target}; --yes" in asked[0]


def test_a_folder_outside_that_two_links_lead_to_is_read_by_the_first_name_and_asked_about(tmp_path, write_images):
    folder = write_images(tmp_path / "s", ["NORMAL/1.jpeg", "PNEUMONIA/2.jpeg"])
    outside = write_images(tmp_path / "elsewhere", ["3.jpeg"], seed=3)
    for label in ("PNEUMONIA", "NORMAL"):
        (folder / label / "images").symlink_to(outside)
    source = understand(folder)
    assert [image.name for image in source.images] == ["NORMAL/1.jpeg", "NORMAL/images/3.jpeg", "PNEUMONIA/2.jpeg"]
    assert any("another class, the first PNEUMONIA/images" in text for text in source.survey.questions)


def test_csv(xrays, tmp_path):
    table = xrays / "mine.csv"
    table.write_text(
        "Path,Label,Patient\ntrain/NORMAL/IM-0001-0001.jpeg,normal,anna\ntrain/NORMAL/IM-0002-0001.jpeg,Normal,anna\n"
        "train/PNEUMONIA/person1_bacteria_1.jpeg,PNEUMONIA,\n",
        encoding="utf-8-sig",
    )
    source = open_source(table)
    assert [(image.label, image.patient, image.subtype) for image in source.images] == [
        ("NORMAL", "anna", "normal"),
        ("NORMAL", "anna", "normal"),
        ("PNEUMONIA", "person1", "bacteria"),
    ]
    assert source.read(source.images[2]) == (xrays / "train/PNEUMONIA/person1_bacteria_1.jpeg").read_bytes()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("scan,kind\n", r"needs a first line with the columns path,label"),
        (
            "path,label\ntrain/NORMAL/IM-0001-0001.jpeg,sick\n",
            "unknown label 'sick'; the column label holds sick",
        ),
        (
            "path,label\ntrain/NORMAL/IM-0001-0001.jpeg,0\nnot/there.jpeg,1\n",
            "line 3: there is no file .*not/there.jpeg",
        ),
        ("path,label\ntrain/NORMAL/IM-0001-0001.jpeg,0\ntrain/NORMAL/IM-0001-0001.jpeg,1\n", "listed twice"),
        ("path,label,split\ntrain/NORMAL/IM-0001-0001.jpeg,0,exam\n", "line 2: unknown split 'exam'"),
        ("path,label\n", "no images found"),
        ("path,label\ntrain/NORMAL/IM-0001-0001.jpeg,0\n", "1 NORMAL image but no PNEUMONIA images"),
    ],
)
def test_csv_mistakes_name_the_line(xrays, text, says):
    (xrays / "bad.csv").write_text(text)
    with pytest.raises(InputError, match=says):
        open_source(xrays / "bad.csv")


def test_missing_empty_one_class_and_other_files(tmp_path, write_images, names):
    (tmp_path / "empty").mkdir()
    (tmp_path / "words.txt").write_text("hello")
    write_images(tmp_path / "normal_only", names(3, 0, 0))
    write_images(tmp_path / "no_labels", ["a/1.jpeg", "b/2.jpeg"])
    for name, says in (
        ("missing", "no such file or folder"),
        ("empty", "no images found"),
        ("words.txt", "neither a folder nor a zip nor a CSV"),
        ("normal_only", "3 NORMAL images but no PNEUMONIA images; add a PNEUMONIA folder beside it"),
        ("no_labels", r"no folders NORMAL and PNEUMONIA side by side; the images are in a \(1 image\), b \(1 image\)"),
    ):
        with pytest.raises(InputError, match=says) as caught:
            open_source(tmp_path / name)
        assert str(caught.value).startswith(str(tmp_path / name))


def test_fingerprint_is_the_one_of_datasets_built_before():
    """Computed by the first version: the folders of built datasets are named by it."""
    images = (
        Image("train/NORMAL/IM-0001-0001.jpeg", "NORMAL", "IM-1", "normal", "train", 1234, -1),
        Image("train/PNEUMONIA/person1_virus_1.jpeg", "PNEUMONIA", "person1", "virus", "train", 99, 7),
    )
    folder = Source("/anywhere", "folder", images, FolderReader(Path("/anywhere")))
    assert folder.fingerprint(SplitOptions().as_text()) == "a0ecea51611c"
    assert folder.fingerprint(SplitOptions(0.25, 0.3).as_text()) == "5ea95fd4cbe2"
    phantoms = replace(folder, where="phantoms(count=60, seed=0, drawing=1)", kind="phantom")
    assert phantoms.fingerprint(SplitOptions(0.2).as_text()) == "66d4e06718f0"


def test_fingerprint_follows_content_and_options(xrays, picture, jpeg):
    before = open_source(xrays).fingerprint("a")
    assert open_source(xrays).fingerprint("a") == before
    assert open_source(xrays).fingerprint("b") != before
    (xrays / "train/NORMAL/IM-0099-0001.jpeg").write_bytes(jpeg(picture(77)))
    assert open_source(xrays).fingerprint("a") != before


@pytest.mark.parametrize("suffix", sorted(IMAGE_SUFFIXES))
def test_every_suffix_that_prediction_reads_is_read(tmp_path, suffix):
    for label in ("NORMAL", "PNEUMONIA"):
        (tmp_path / label).mkdir()
        (tmp_path / label / f"1{suffix.upper()}").write_bytes(b"x")
    assert [image.name for image in open_source(tmp_path).images] == [
        f"{n}/1{suffix.upper()}" for n in ("NORMAL", "PNEUMONIA")
    ]


def test_folders_of_classes_that_are_links_within_the_source_are_named(tmp_path):
    for folder in ("healthy", "ill"):
        (tmp_path / "raw" / folder).mkdir(parents=True)
        (tmp_path / "raw" / folder / "1.png").write_bytes(folder.encode())
    (tmp_path / "NORMAL").symlink_to(tmp_path / "raw" / "healthy")
    with pytest.raises(InputError, match="links are not read beside the folders that they lead to: NORMAL to raw/heal"):
        understand(tmp_path)
