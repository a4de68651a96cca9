"""Building to disk: once, apart, whole, and the same bytes however it is done."""

from __future__ import annotations

import errno
import filecmp
import json
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from image_files import dicom
from pneumo_tfds import prepared
from pneumo_tfds.prepared import BuildOptions, build, framing_of, inspect, prepare, read_manifest, read_metadata
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.sources.opening import open_source
from pneumo_tfds.writing.build_summary import summary


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_a_dark_image_is_kept_and_pointed_out(xrays, tmp_path, picture):
    cv2.imwrite(str(xrays / "train/NORMAL/IM-0077-0001.png"), picture(1) // 16)
    built = build(open_source(xrays), "gray_64", tmp_path / "d")
    assert list(built.metadata["unusual"]) == ["train/NORMAL/IM-0077-0001.png"]
    assert sum(built.examples.values()) == 49
    assert any("IM-0077-0001.png: unusually dark" in line for line in summary(built))


def test_what_was_not_believed_of_a_file_is_pointed_out_by_the_build(xrays, tmp_path, picture):
    pytest.importorskip("pydicom")
    stored = np.rint(cv2.normalize(picture(5).astype(np.float32), None, 0, 4095, cv2.NORM_MINMAX)).astype(np.uint16)
    window = {"Modality": "DX", "WindowCenter": 20, "WindowWidth": 40}
    (xrays / "train/NORMAL/IM-0078-0001.dcm").write_bytes(dicom(stored, **window))
    cv2.imwrite(str(xrays / "train/NORMAL/IM-0079-0001.png"), picture(6) // 64 * 64)
    built = build(open_source(xrays), "gray_16", tmp_path / "d")  # too small to look for near-identical images
    found = built.metadata["unusual"]
    assert list(found) == ["train/NORMAL/IM-0078-0001.dcm", "train/NORMAL/IM-0079-0001.png"]
    assert "in the file's own window" in found["train/NORMAL/IM-0078-0001.dcm"]
    assert found["train/NORMAL/IM-0079-0001.png"] == "only 4 different grey levels"


def test_prepare_builds_once(xrays, tmp_path, monkeypatch):
    folder = prepare(xrays, 32, tmp_path)
    assert folder.parts[-3:] == ("pneumo_tfds", "gray_32", "1.1.0")
    monkeypatch.setattr(prepared, "build", None)
    assert prepare(xrays, 32, tmp_path) == folder


def test_what_another_process_finishes_meanwhile_is_found_and_not_replaced(xrays, tmp_path, monkeypatch):
    source, real = open_source(xrays), prepared.is_built
    made = []

    def not_yet(folder):
        if not made:
            made.append(None)
            build(source, "gray_32", tmp_path)  # as the other process
            return False
        return real(folder)

    monkeypatch.setattr(prepared, "is_built", not_yet)
    monkeypatch.setattr(prepared, "_replaced", None)
    assert build(source, "gray_32", tmp_path).folder == tmp_path / "pneumo_tfds/gray_32/1.1.0"


def test_a_user_whom_the_system_does_not_know_can_build(xrays, tmp_path, monkeypatch):
    """As in containers that run under a number."""

    def unknown(number):
        raise KeyError(f"uid not found: {number}")

    monkeypatch.setattr("pwd.getpwuid", unknown)
    monkeypatch.setattr("grp.getgrgid", unknown)
    assert read_metadata(prepare(xrays, 32, tmp_path))


def test_without_a_home_folder_data_dir_is_asked_for(monkeypatch):
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    with pytest.raises(InputError, match="no home folder to keep datasets in; give a folder by --data-dir"):
        prepared.default_data_dir()


def test_prepare_keeps_sources_fractions_and_sizes_apart(xrays, tmp_path, write_images, names):
    other = write_images(tmp_path / "other", names(12, 6, 6), seed=3)
    folders = {
        prepare(xrays, 32, tmp_path / "d"),
        prepare(other, 32, tmp_path / "d"),
        prepare(xrays, 32, tmp_path / "d", 0.4),
        prepare(xrays, 48, tmp_path / "d"),
        prepare(None, 32, tmp_path / "d", phantoms=60),
    }
    assert len(folders) == 5
    assert {read_metadata(folder)["test_origin"] for folder in folders} == {"official", "carved"}


def test_every_framing_has_a_folder_of_its_own_and_is_found_again(xrays, tmp_path, monkeypatch):
    folders = {framing: prepare(xrays, 32, tmp_path, framing=framing) for framing in ("squeeze", "crop", "pad")}
    names = {framing: folder.parts[-2] for framing, folder in folders.items()}
    assert names == {"squeeze": "gray_32", "crop": "gray_32_crop", "pad": "gray_32_pad"}
    assert {framing: framing_of(folder) for framing, folder in folders.items()} == dict(zip(names, names, strict=True))
    assert len({read_metadata(folder)["fingerprint"] for folder in folders.values()}) == 1
    monkeypatch.setattr(prepared, "build", None)
    for framing, folder in folders.items():
        assert prepare(xrays, 32, tmp_path, framing=framing) == folder


def test_a_dataset_from_before_there_was_a_choice_is_squeeze_and_is_found(xrays, tmp_path, monkeypatch):
    folder = prepare(xrays, 32, tmp_path)
    metadata = read_metadata(folder)
    assert metadata.pop("framing") == "squeeze"
    (folder / "metadata.json").write_text(json.dumps(metadata))
    monkeypatch.setattr(prepared, "build", None)
    assert prepare(xrays, 32, tmp_path) == folder
    assert framing_of(folder) == "squeeze"


def test_a_framing_of_a_newer_program_is_refused(tmp_path):
    (tmp_path / "metadata.json").write_text('{"framing": "warp"}')
    with pytest.raises(InputError, match=r"metadata\.json: 'warp' is not one of the framings .*; update the program"):
        framing_of(tmp_path)


def test_a_dataset_has_the_splits_that_a_table_gives_and_no_other(tmp_path, write_images):
    names = [f"{label}/{i}.jpeg" for label in ("NORMAL", "PNEUMONIA") for i in range(4)]
    folder = write_images(tmp_path / "s", names)
    rows = [f"{name},{name.split('/')[0]},p{i},{'val' if i % 4 == 0 else 'train'}" for i, name in enumerate(names)]
    (folder / "folds.csv").write_text("\n".join(["path,label,patient,split", *rows]) + "\n")
    built = inspect(prepare(folder / "folds.csv", 32, tmp_path / "d"))
    assert built.examples == {"train": 6, "validation": 2}
    assert built.metadata["test_origin"] == "none"
    assert "there is no test split" in built.metadata["split_rule"]


def test_a_whole_source_is_one_split_apart_from_its_divided_dataset(xrays, tmp_path):
    divided, whole = prepare(xrays, 32, tmp_path), prepare(xrays, 32, tmp_path, whole=True)
    assert divided != whole
    assert inspect(whole).examples == {"test": 48}
    assert set(read_manifest(whole)) == {image.name for image in open_source(xrays).images}


@pytest.mark.parametrize("text", ["no digest  a.jpeg\n", f"{'0' * 64} a.jpeg\n", None])
def test_a_manifest_that_is_damaged_or_gone_is_one_line(tmp_path, text):
    if text:
        (tmp_path / "manifest.sha256").write_text(text)
    with pytest.raises(InputError, match=r"manifest\.sha256.*build the dataset again"):
        read_manifest(tmp_path)


def test_prepare_finds_what_the_command_built(xrays, tmp_path):
    built = build(open_source(xrays), "gray_32", tmp_path)
    assert prepare(xrays, 32, tmp_path) == built.folder


def test_returning_a_built_dataset_imports_no_tensorflow(xrays, tmp_path):
    folder = prepare(xrays, 32, tmp_path)
    program = (
        "import sys; from pneumo_tfds.prepared import prepare;"
        f"assert str(prepare({str(xrays)!r}, 32, {str(tmp_path)!r})) == {str(folder)!r};"
        "assert not {'tensorflow', 'tensorflow_datasets'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_same_bytes_from_one_thread_and_many(xrays, tmp_path):
    one = build(open_source(xrays), "gray_40", tmp_path / "one", options=BuildOptions(workers=1))
    many = build(open_source(xrays), "gray_40", tmp_path / "many", options=BuildOptions(workers=7))
    assert files(one.folder) == files(many.folder)


def test_manifest_checks_with_sha256sum(xrays, tmp_path):
    built = build(open_source(xrays), "gray_32", tmp_path)
    manifest = (built.folder / "manifest.sha256").read_text()
    assert [line[66:] for line in manifest.splitlines()] == [image.name for image in open_source(xrays).images]


def test_unreadable_images_are_counted_named_and_skipped(tmp_path, write_images, names):
    folder = write_images(tmp_path / "s", names(40, 20, 20))
    (folder / "train/NORMAL/IM-0003-0001.jpeg").write_bytes(b"")
    (folder / "train/PNEUMONIA/person2_bacteria_2.jpeg").write_bytes(b"no jpeg")
    built = build(open_source(folder), "gray_32", tmp_path / "d")
    assert sum(built.examples.values()) == 78
    skipped = built.metadata["skipped"]
    assert sorted(skipped) == ["train/NORMAL/IM-0003-0001.jpeg", "train/PNEUMONIA/person2_bacteria_2.jpeg"]
    assert "the file is empty" in skipped["train/NORMAL/IM-0003-0001.jpeg"]
    assert "not a JPEG, PNG or DICOM" in skipped["train/PNEUMONIA/person2_bacteria_2.jpeg"]


def test_too_many_unreadable_images_are_an_error_and_leave_nothing(tmp_path, write_images, names):
    folder = write_images(tmp_path / "s", names(40, 20, 20))
    for index in range(1, 7):
        (folder / f"train/NORMAL/IM-{index:04d}-0001.jpeg").write_bytes(b"")
    with pytest.raises(InputError, match=r"5 of 80 images cannot be read, more than 5%.* file is empty"):
        build(open_source(folder), "gray_32", tmp_path / "d")
    assert [path.name for path in (tmp_path / "d/pneumo_tfds/gray_32").iterdir()] == [".1.1.0.lock"]


def test_a_build_leaves_the_callers_logging_as_it_was(xrays, tmp_path):
    logger = logging.getLogger("absl")
    before = logger.level
    logger.setLevel(logging.DEBUG)
    try:
        build(open_source(xrays), "gray_32", tmp_path)
        assert logger.level == logging.DEBUG
    finally:
        logger.setLevel(before)


def test_identical_images_with_different_labels_stop_the_build(xrays, tmp_path):
    data = (xrays / "train/NORMAL/IM-0001-0001.jpeg").read_bytes()
    (xrays / "train/PNEUMONIA/person77_virus_1.jpeg").write_bytes(data)
    with pytest.raises(InputError, match="are the same image with different labels"):
        build(open_source(xrays), "gray_32", tmp_path)


def test_another_source_is_refused_and_overwrites_only_when_told(xrays, tmp_path, write_images, names):
    first = build(open_source(xrays), "gray_32", tmp_path / "d")
    other = open_source(write_images(tmp_path / "other", names(12, 6, 6), seed=9))
    with pytest.raises(InputError, match=f"holds gray_32 built from {xrays}; pass --overwrite"):
        build(other, "gray_32", tmp_path / "d")
    assert build(open_source(xrays), "gray_32", tmp_path / "d").seconds == 0
    second = build(other, "gray_32", tmp_path / "d", options=BuildOptions(overwrite=True))
    assert second.folder == first.folder
    assert second.metadata["source"] == str(tmp_path / "other")
    assert sorted(path.name for path in first.folder.parent.iterdir()) == [".1.1.0.lock", "1.1.0"]


def test_a_failing_overwrite_leaves_the_old_dataset(xrays, tmp_path, write_images, names):
    first = build(open_source(xrays), "gray_32", tmp_path / "d")
    before = files(first.folder)
    bad = write_images(tmp_path / "bad", names(12, 6, 6), seed=9)
    for path in bad.rglob("*.jpeg"):
        path.write_bytes(b"")
    with pytest.raises(InputError, match="cannot be read"):
        build(open_source(bad), "gray_32", tmp_path / "d", options=BuildOptions(overwrite=True))
    assert files(first.folder) == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_one_line_and_leaves_the_old_dataset(xrays, tmp_path, monkeypatch):
    from pneumo_tfds.writing import shard_files

    first = build(open_source(xrays), "gray_32", tmp_path / "d")
    before = files(first.folder)
    real = shard_files._write
    monkeypatch.setattr(shard_files, "_write", lambda path, *rest: real("/dev/full", *rest))
    with pytest.raises(InputError, match=r"cannot write .*No space left on device; make room"):
        build(open_source(xrays), "gray_32", tmp_path / "d", options=BuildOptions(overwrite=True))
    assert files(first.folder) == before
    assert inspect(first.folder).examples == first.examples


def test_an_overwrite_that_fails_at_its_last_step_puts_the_old_dataset_back(xrays, tmp_path, monkeypatch):
    first = build(open_source(xrays), "gray_32", tmp_path / "d")
    before, rename = files(first.folder), Path.rename

    def refuse(path, target):
        if Path(target) == first.folder and path.name == "1.1.0":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(InputError, match=r"cannot write .*No space left on device; make room"):
        build(open_source(xrays), "gray_32", tmp_path / "d", options=BuildOptions(overwrite=True))
    assert files(first.folder) == before
    assert sorted(path.name for path in first.folder.parent.iterdir()) == [".1.1.0.lock", "1.1.0"]


@pytest.mark.parametrize("denied", [("mkdir",), ("mkdir", "stat")], ids=["read-only", "closed"])
def test_an_unwritable_folder_is_one_line(xrays, tmp_path, monkeypatch, denied):
    """By way of the system calls, because root, as whom tests run in containers, may write anywhere."""
    source, closed = open_source(xrays), tmp_path / "closed"

    def refusing(call):
        def maybe(path, *rest, **options):
            if isinstance(path, str | os.PathLike) and closed in (Path(path), *Path(path).parents):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
            return call(path, *rest, **options)

        return maybe

    for name in denied:
        monkeypatch.setattr(os, name, refusing(getattr(os, name)))
    with pytest.raises(InputError, match=r"cannot write .*: Permission denied; .*choose another"):
        build(source, "gray_32", closed)


def test_a_file_in_the_way_is_one_line(xrays, tmp_path):
    (tmp_path / "d").write_text("a file")
    with pytest.raises(InputError, match="cannot write"):
        build(open_source(xrays), "gray_32", tmp_path / "d")


def test_litter_of_a_killed_build_is_cleared(xrays, tmp_path):
    litter = tmp_path / "d/pneumo_tfds/gray_32/incomplete.ABCDEF_1.1.0"
    litter.mkdir(parents=True)
    (litter / "pneumo_tfds-train.tfrecord-00000-of-00001").write_bytes(b"half")
    build(open_source(xrays), "gray_32", tmp_path / "d")
    assert not litter.exists()


def test_without_a_source_the_manual_folder_is_used_and_its_absence_explained(xrays, tmp_path):
    with pytest.raises(InputError, match=r"no X-rays in TFDS's manual folder.*pass --source PATH"):
        build(None, "gray_32", tmp_path / "d")
    manual = tmp_path / "d/downloads/manual"
    manual.mkdir(parents=True)
    (manual / "chest_xray").symlink_to(xrays)
    assert sum(build(None, "gray_32", tmp_path / "d").examples.values()) == 48


def test_beam_without_the_extra_says_what_to_install(xrays, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "apache_beam.options.pipeline_options", None)
    with pytest.raises(InputError, match=r"pip install '.*\[beam\]'"):
        build(open_source(xrays), "gray_32", tmp_path, options=BuildOptions(beam_runner="DirectRunner"))


SEVERAL = ("direct_num_workers=3", "direct_running_mode=multi_processing")


@pytest.mark.parametrize("options", [(), pytest.param(SEVERAL, marks=pytest.mark.slow)], ids=["threads", "processes"])
@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_beam_writes_the_same_bytes(xrays, tmp_path, kind, options):
    pytest.importorskip("apache_beam", reason="needs the beam extra")
    (xrays / "train/NORMAL/IM-0003-0001.jpeg").write_bytes(b"no jpeg")  # notes come from the workers too
    source = xrays
    if kind == "zip":
        source = Path(shutil.make_archive(str(tmp_path / "xrays"), "zip", xrays))
    here = build(open_source(source), "gray_32", tmp_path / "here")
    options = BuildOptions(beam_runner="DirectRunner", beam_options=options)
    beam = build(open_source(source), "gray_32", tmp_path / "beam", options=options)
    assert filecmp.dircmp(here.folder, beam.folder).diff_files == []
    assert files(here.folder) == files(beam.folder)
    assert list(beam.metadata["skipped"]) == ["train/NORMAL/IM-0003-0001.jpeg"]


def test_metadata_is_json_without_tfds(xrays, tmp_path):
    built = build(open_source(xrays), "gray_32", tmp_path)
    assert json.loads((built.folder / "metadata.json").read_text()) == built.metadata
    assert built.shards == 3
    assert built.seconds > 0
