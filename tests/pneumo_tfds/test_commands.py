"""The commands as people type them: exit codes, one line for what is wrong, files where they were asked for."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import cv2
import pytest

from pneumo_tfds.__main__ import BuildConfig, build
from pneumo_tfds.program.errors import InputError


def run(*arguments, code=0):
    done = subprocess.run(
        [sys.executable, "-m", "pneumo_tfds", *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stderr
    return done


def test_build_audit_show(xrays, tmp_path):
    out = run("build", "--source", xrays, "--config", "gray_32", "--data-dir", tmp_path / "d").stdout
    assert "48 images" in out
    assert "images/s" in out
    assert "3 shards" in out
    out = run("build", "--source", xrays, "--config", "gray_32", "--data-dir", tmp_path / "d").stdout
    assert "was built before from files of the same names and sizes (not read again; --overwrite" in out
    run("audit", "--source", xrays, "--json", tmp_path / "a.json", "--html", tmp_path / "a.html")
    assert json.loads((tmp_path / "a.json").read_text())["images"] == 48
    out = run("show", "--source", xrays, "--out", tmp_path / "pictures").stdout
    for path in out.split():
        assert cv2.imread(path).shape[0] > 300


def test_the_manual_folder_is_read_as_the_flags_say_and_not_built_twice(xrays, tmp_path, capsys):
    manual = shutil.copytree(xrays, tmp_path / "d/downloads/manual/chest_xray")
    for folder in [*manual.rglob("PNEUMONIA")]:
        folder.rename(folder.with_name("ILL"))
    with pytest.raises(InputError, match="--positive"):
        build(BuildConfig(config="gray_32", data_dir=tmp_path / "d"))
    told = BuildConfig(config="gray_32", data_dir=tmp_path / "d", positive=("ILL",))
    build(told)
    build(told)
    assert "was built before from files of the same names and sizes" in capsys.readouterr().out


def test_inspect_shows_what_was_understood_before_anything_is_decoded(xrays, tmp_path):
    (xrays / "train/NORMAL/broken.jpeg").write_bytes(b"no image")
    done = run("inspect", "--source", xrays, "--json", tmp_path / "i.json")
    assert "train/PNEUMONIA" in done.stdout
    found = json.loads((tmp_path / "i.json").read_text())
    assert found["labels"] == {"NORMAL": 25, "PNEUMONIA": 24}
    assert found["splits"] == {"test": 8, "train": 41}


def test_inspect_leaves_with_1_where_a_decision_is_needed_and_a_build_stops(xrays, tmp_path):
    (xrays / "train").rename(xrays / "learning")
    done = run("inspect", "--source", xrays, code=1)
    assert "needs a decision" in done.stdout
    assert "learning" in done.stdout
    build = ("build", "--source", xrays, "--config", "gray_32", "--data-dir", tmp_path / "d")
    assert "learning" in run(*build, code=2).stderr
    assert not list((tmp_path / "d").rglob("*.tfrecord*"))
    run("inspect", "--source", xrays, "--yes")


def test_inspect_leaves_with_1_where_a_class_is_missing(xrays, tmp_path):
    table = xrays / "one.csv"
    table.write_text("path,label,patient\ntrain/NORMAL/IM-0001-0001.jpeg,0,a\n")
    out = run("inspect", "--source", table, code=1).stdout
    assert "no dataset can be built" in out
    assert "no PNEUMONIA images" in out


def test_inspect_tells_what_a_build_would_refuse(xrays):
    """A test split of one class can be scored by nobody, and a source with a test split alone can be scored."""
    for path in (xrays / "test/NORMAL").iterdir():
        path.unlink()
    out = run("inspect", "--source", xrays, code=1).stdout
    assert "no dataset can be built: the test split would have no NORMAL image" in out
    run("inspect", "--source", xrays / "train")


def test_strict_stops_at_a_warning(xrays):
    (xrays / "train/healthy").mkdir()
    (xrays / "train/NORMAL/IM-0001-0001.jpeg").rename(xrays / "train/healthy/1.jpeg")
    assert "warning" in run("inspect", "--source", xrays).stdout
    assert "healthy" in run("audit", "--source", xrays, "--strict", code=2).stderr


def test_list_names_source_and_size_of_what_was_built(xrays, tmp_path):
    run("build", "--source", xrays, "--config", "gray_32", "--data-dir", tmp_path / "d")
    out = run("list", "--data-dir", tmp_path / "d").stdout
    assert "gray_32" in out
    assert f"48 images, 0.1 MiB, from {xrays}\n" in out
    xrays.rename(tmp_path / "moved")
    assert "which is gone" in run("list", "--data-dir", tmp_path / "d").stdout
    assert "no datasets" in run("list", "--data-dir", tmp_path).stdout


def test_audit_leaves_with_1_on_a_leak(xrays):
    data = (xrays / "train/NORMAL/IM-0001-0001.jpeg").read_bytes()
    (xrays / "test/NORMAL/IM-0099-0001.jpeg").write_bytes(data)
    assert "leaks: 1" in run("audit", "--source", xrays, code=1).stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("build", "--source", "missing"), "missing: no such file or folder"),
        (("build", "--source", "nothing"), "no images found"),
        (("build", "--config", "phantom_32", "--count", "5"), "ask for 60 or more"),
        (("build", "--config", "phantom_32", "--source", "nothing"), "draws its images; leave --source out"),
        (("audit", "--source", "missing"), "missing: no such file or folder"),
        (("phantoms", "--out", "x", "--count", "many"), "--count"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(arguments, says, tmp_path):
    (tmp_path / "nothing").mkdir()
    done = run(*(str(tmp_path / word) if word in ("missing", "nothing") else word for word in arguments), code=2)
    assert says in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stdout == ""


def test_phantoms(tmp_path):
    assert "60 phantoms (not medical images)" in run("phantoms", "--out", tmp_path / "p", "--count", "60").stdout
    assert len(list((tmp_path / "p").rglob("*.jpeg"))) == 60
