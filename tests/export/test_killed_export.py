"""A killed export leaves the old files or the new ones; repeated, it writes what an undisturbed export writes."""

from __future__ import annotations

import json
import shutil

import cv2
import pytest

import killing

SIDE = 48
OLD, NEW = 4, 3  # seeds of the weights


@pytest.fixture(scope="module")
def dataset(tmp_path_factory, pictures):
    """A small dataset that a command in another process can read."""
    from pneumo_tfds.prepared import prepare

    place = tmp_path_factory.mktemp("killed")
    for number, picture in enumerate(pictures(60, 96)):
        kind = f"PNEUMONIA/person{number}_bacteria_{number}" if number % 2 else f"NORMAL/IM-{number:04d}-0001"
        path = place / "source" / "train" / f"{kind}.jpeg"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), picture)
    return prepare(place / "source", SIDE, place / "data")


@pytest.fixture
def make_run(dataset, write_run, tiny_model):
    """Write a run folder, by default with the new weights, whose dataset is on disk."""

    def make(folder, seed=NEW):
        write_run(folder, tiny_model(seed=seed))
        (folder / "config.json").write_text(json.dumps({"data": {"dataset": str(dataset), "image_size": SIDE}}))
        return folder

    return make


@pytest.mark.slow
def test_an_export_killed_before_its_file_has_a_name_can_be_repeated_with_the_same_bytes(make_run, exported, tmp_path):
    run = make_run(tmp_path / "run")
    (run / "model.onnx").write_bytes(b"old")
    line, log = ("export", run, "--threads", "1"), tmp_path / "log"
    process = killing.begin(line, log)
    for write in killing.watch(process, run):
        if write and write.name == ".model.partial.onnx":
            assert killing.kill(process)
            break
    assert (run / "model.onnx").read_bytes() == b"old"
    killing.finish(line, log)
    assert list(run.glob(".*partial*")) == []
    assert (run / "model.onnx").read_bytes() == (exported / "model.onnx").read_bytes(), "of another process and folder"


def stage(name):
    """Name the part of the job that writes a file."""
    plain = name.replace(".partial", "").removeprefix(".")
    return {"start": "start", "export.lock": "start", "parity.json": "parity"}.get(plain, plain)


@pytest.mark.long
def test_twenty_kills_of_an_export_of_all_variants_over_an_older_one(make_run, sample_images, tmp_path):
    from export.export_options import ExportOptions
    from export.export_run import export_run

    variants = {"model.fp16.onnx", "model.int8.onnx"}

    older = make_run(tmp_path / "older", OLD)
    list(export_run(older, ExportOptions(threads=1)))
    for name in variants:
        shutil.copyfile(older / "model.onnx", older / name)
    for name in ("model.keras", "config.json", "metrics.json"):
        (older / name).unlink()

    def place(life):
        return shutil.copytree(older, make_run(tmp_path / f"life{life}"), dirs_exist_ok=True)

    def line(folder):
        return "export", folder, "--fp16", "--int8", "--calibration-images", "16", "--threads", "1"

    def files(folder):
        return {name: path.read_bytes() for name, path in killing.contents(folder).items() if name != "model.keras"}

    run = place("-undisturbed")
    begun = files(run)
    writes = killing.watched(line(run), run, tmp_path / "undisturbed.log")
    whole = files(run)
    assert whole.keys() == begun.keys()
    assert {name for name in begun if whole[name] == begun[name]} == {"metrics.json", "config.json"}

    def old_or_new(folder):
        found = files(folder)
        assert whole.keys() - found.keys() <= variants, "a variant of older weights goes before the new one comes"
        for name, content in found.items():
            if name != "parity.json":  # which says of each file whether it was compared yet
                assert content in (begun[name], whole[name]), name
        assert all(killing.whole(path) for path in killing.contents(folder).values())

    def the_same(folder):
        assert files(folder) == whole
        assert list(folder.glob(".*partial*")) == []

    needed = frozenset({"start", "parity", "model.onnx", "model.int8.onnx"})
    killed = killing.again_and_again(
        line, place, writes, 20, stage=stage, needed=needed, after_kill=old_or_new, at_end=the_same
    )
    print(f"export: {killed}")
    assert killed.stages.total() >= 20
