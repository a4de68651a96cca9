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


@pytest.mark.parametrize(
    ("command", "output"),
    [
        ("inspect", "chest_xray/train/NORMAL/IM-0001-0001.jpeg"),
        ("inspect", "own.toml"),
        ("inspect", "chest_xray/t.csv"),
        ("audit", "link"),
    ],
)
def test_a_file_of_the_source_is_no_output(xrays, tmp_path, command, output):
    (tmp_path / "own.toml").write_text('name = "own"\ntitle = "own"\n')
    (tmp_path / "link").symlink_to("chest_xray/test/NORMAL/IM-0001-0001.jpeg")
    (xrays / "t.csv").write_text("patient,age\n1,2\n")
    before = (tmp_path / output).read_bytes()
    arguments = ("--source", xrays, "--yes", "--layout", tmp_path / "own.toml", "--json", tmp_path / output)
    assert "stays as it is; name another file" in run(command, *arguments, code=2).stderr
    assert (tmp_path / output).read_bytes() == before


def test_a_table_or_a_zip_that_is_read_is_no_output(xrays, tmp_path):
    (xrays / "t.csv").write_text(
        "path,label\n"
        + "".join(f"{path.relative_to(xrays)},{path.parent.name}\n" for path in sorted(xrays.rglob("*.jpeg")))
    )
    archive = shutil.make_archive(str(tmp_path / "z"), "zip", xrays)
    for source in (xrays / "t.csv", archive):
        assert (
            "is an input, which stays as it is" in run("inspect", "--source", source, "--json", source, code=2).stderr
        )


def test_a_report_beside_the_images_may_be_replaced(xrays):
    for _ in range(2):
        run("inspect", "--source", xrays, "--json", xrays / "inspect.json")


@pytest.mark.parametrize("source", ["chest_xray", "."])
def test_pictures_of_a_source_are_not_drawn_into_it(xrays, tmp_path, monkeypatch, source):
    monkeypatch.chdir(xrays if source == "." else tmp_path)
    out = () if source == "." else ("--out", "chest_xray/NORMAL")
    says = run("show", "--source", source, *out, code=2).stderr
    assert f"{'show-chest_xray' if source == '.' else 'chest_xray/NORMAL'} lies in {source}, of which" in says
    assert not [*xrays.rglob("examples.png")]


def test_standard_output_in_a_file_is_not_replaced_by_a_report(xrays, tmp_path):
    with (tmp_path / "printed").open("wb") as printed:
        command = [sys.executable, "-m", "pneumo_tfds", "inspect", "--source", xrays, "--json", tmp_path / "printed"]
        done = subprocess.run(command, stdout=printed, stderr=subprocess.PIPE, check=False)
    assert (done.returncode, b"standard output goes there; name another file" in done.stderr) == (2, True)


def test_a_folder_is_no_report(xrays, tmp_path):
    says = run("inspect", "--source", xrays, "--json", ".", code=2).stderr
    assert "cannot write .: it is a folder; name a file" in says


def test_a_file_holds_no_list_of_datasets(tmp_path):
    (tmp_path / "file").write_text("")
    says = run("list", "--data-dir", tmp_path / "file", code=2).stderr
    assert "file is no folder; pass the root folder of datasets" in says
