"""`python -m export.recalibrate`: another place's calibration, threshold and limits in a new file."""

import hashlib
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bad_inputs_files import SIDE
from brightness_model import GREY, STEP, write_images, write_model
from export.inference.classifier import Classifier
from export.parity.comparison import ParityError
from export.recalibrate import Recalibrate, recalibrate
from export.recalibration import labelled_images
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.installed import how_to_install

ROOT = Path(__file__).parents[2]


@pytest.fixture
def local(tmp_path):
    """A model, and images of a place where all are 30 grey levels brighter."""
    model = write_model(tmp_path / "model.onnx", threshold="0.5", threshold_rule="youden (chosen on validation)")
    return model, write_images(tmp_path / "local", shift=30)


def command(model, source, out="new.onnx", **options):
    return Recalibrate(model=model, source=source, out=model.with_name(out), resamples=200, threads=1, **options)


def figures(printed):
    """The table as name to the values before and after."""
    rows = re.findall(r"^(.{24})(\S+)(?: \[.*?\])?\s+(\S+)", printed, re.MULTILINE)
    return {name.strip(): (before, after) for name, before, after in rows if re.match(r"[\d-]", before)}


def test_a_shift_is_repaired_and_the_figures_say_so(local, capsys):
    model, source = local
    recalibrate(command(model, source))
    shown = figures(capsys.readouterr().out)
    before, after = (sum(float(shown[name][place]) for name in ("sensitivity", "specificity")) for place in (0, 1))
    assert before < 1.6 < 1.7 < after
    assert float(shown["Brier score"][1]) < 0.75 * float(shown["Brier score"][0])
    assert float(shown["UNSUITABLE"][0]) > 0.05 >= float(shown["UNSUITABLE"][1])
    assert shown["AUROC"][0] == shown["AUROC"][1]


def test_the_new_file_answers_by_the_new_values(local):
    model, source = local
    recalibrate(command(model, source))
    new, old = Classifier(model.with_name("new.onnx")), Classifier(model)
    (entry,) = new.metadata.recalibrated
    levels = np.arange(40, 240, 10, dtype=np.uint8)
    pictures = np.broadcast_to(levels[:, None, None, None], (len(levels), SIDE, SIDE, 1)).copy()
    outputs, before = new.predict_batch(pictures), old.predict_batch(pictures)
    logits = (levels - GREY) / STEP / entry["temperature"] + entry["bias"]
    np.testing.assert_allclose(outputs["probability"][:, 0], 1 / (1 + np.exp(-logits)), atol=1e-5)
    crossing = levels[np.argmin(np.abs(outputs["probability"][:, 0] - 0.5))]
    assert crossing == pytest.approx(GREY + 30, abs=15), "the place is 30 levels brighter"
    assert np.ptp(outputs["familiarity"] - before["familiarity"]) > 0.1
    metadata = new.metadata
    assert metadata.version == 2
    images = {name: sum(metadata.reference[name]["counts"]) for name in ("probability", "familiarity", "brightness")}
    assert len(set(images.values())) == 1, "all are of the local images"
    assert 0 < metadata.certain_normal_below <= metadata.threshold <= metadata.certain_pneumonia_from < 1
    assert "on 100 local patients" in metadata.guarantee
    assert metadata.threshold_rule == "youden (chosen on 200 local images)"
    assert {*metadata.metrics} == {"local"}


def test_a_run_folder_stands_for_its_model(local):
    model, source = local
    recalibrate(replace(command(model, source), model=model.parent))
    assert Classifier(model.with_name("new.onnx")).metadata.recalibrated


def test_the_origin_is_kept_as_a_list_without_a_name_of_a_patient_or_file(local, capsys):
    model, source = local
    first = command(model, source)
    recalibrate(first)
    assert "these images decided the file before" not in capsys.readouterr().out
    recalibrate(command(first.out, source, "again.onnx"))
    assert "note: these images decided the file before, so its figures as it is are not" in capsys.readouterr().out
    parents = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (model, first.out)]
    again = Classifier(model.with_name("again.onnx"))
    lineage = again.metadata.recalibrated
    assert (again.metadata.parent_sha256, again.content.has_digest) == (parents[1], True)
    assert [entry["parent_sha256"] for entry in lineage] == parents
    assert (lineage[0]["source"], lineage[0]["images"], lineage[0]["patients"]) == ("labels.csv", 200, 100)
    hashes = sorted(hashlib.sha256(path.read_bytes()).hexdigest() for path in source.parent.glob("*.png"))
    assert lineage[0]["images_sha256"] == hashlib.sha256("\n".join(hashes).encode()).hexdigest()
    assert lineage[0]["temperature"] == pytest.approx(lineage[1]["temperature"]), "both are of the network's own logit"
    assert "N1-0" not in json.dumps(lineage)


@pytest.mark.parametrize("out", ["folder", "file/new.onnx"])
def test_a_place_that_cannot_be_written_is_told_before_the_images_are_read(local, tmp_path, monkeypatch, out):
    model, source = local
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    monkeypatch.setattr(labelled_images, "read_images", lambda *_: pytest.fail("the images were read"))
    with pytest.raises(InputError, match=f"cannot write {tmp_path / out}: "):
        recalibrate(replace(command(model, source), out=tmp_path / out))


def test_equal_inputs_give_equal_bytes(local):
    model, source = local
    for name in ("a.onnx", "b.onnx"):
        recalibrate(command(model, source, name))
    assert model.with_name("a.onnx").read_bytes() == model.with_name("b.onnx").read_bytes()


def test_a_file_of_version_1_gets_limits_but_no_familiarity(tmp_path, capsys):
    model = write_model(tmp_path / "model.onnx", familiar=False)
    recalibrate(command(model, write_images(tmp_path / "local")))
    metadata = Classifier(tmp_path / "new.onnx").metadata
    assert metadata.four_way
    assert metadata.familiarity_threshold is None
    printed = capsys.readouterr().out
    assert "has no familiarity, so no image will be UNSUITABLE by its looks" in printed
    assert figures(printed)["UNCERTAIN"][0] == "-", "it gave two answers"


def test_a_ranking_that_may_be_chance_is_refused_unless_forced(tmp_path, capsys):
    model, source = write_model(tmp_path / "model.onnx"), write_images(tmp_path / "local", apart=0)
    with pytest.raises(InputError, match=r"may not tell NORMAL from PNEUMONIA .* \(AUROC 0\.\d+, 95 % interval 0"):
        recalibrate(command(model, source))
    assert not (tmp_path / "new.onnx").exists()
    recalibrate(command(model, source, force=True))
    assert "written because of --force" in capsys.readouterr().out
    told = Classifier(tmp_path / "new.onnx").metadata.guarantee
    assert "made with --force although the images may not be told apart at all (AUROC 0." in told


def test_a_rule_and_a_guarantee_can_be_asked_for(local, capsys):
    model, source = local
    recalibrate(command(model, source, threshold_rule="sensitivity>=0.97", guarantee="npv>=0.8,ppv>=0.75"))
    metadata = Classifier(model.with_name("new.onnx")).metadata
    assert metadata.guarantee.startswith("NPV at least 0.8 and PPV at least 0.75 where 50 % have pneumonia")
    assert metadata.threshold_rule.startswith("sensitivity>=0.97")
    with pytest.raises(InputError, match=r"npv>=0.99,ppv>=0.99 cannot be shown on 100 local patients: the best is"):
        recalibrate(command(model, source, guarantee="npv>=0.99,ppv>=0.99"))


def test_what_cannot_be_used_is_counted(local, capsys):
    model, source = local
    pictures = sorted(source.parent.glob("*.png"))
    pictures[0].write_bytes(b"not an image")
    pictures[4].write_bytes(pictures[5].read_bytes())
    recalibrate(command(model, source))
    printed = capsys.readouterr().out
    assert re.search(rf"left out: {pictures[0].name}: .*", printed)
    assert "left out: 1 image (a copy of another image, byte for byte)" in printed
    assert Classifier(model.with_name("new.onnx")).metadata.recalibrated[0]["images"] == 198
    for path in pictures[:30]:
        path.write_bytes(b"not an image")
    with pytest.raises(InputError, match="30 of 200 images cannot be read, more than 5%"):
        recalibrate(command(model, source))


def test_bad_input(tmp_path, local):
    model, source = local
    few = write_images(tmp_path / "few", patients=5)
    with pytest.raises(InputError, match=r"5 patients of one class, too few .*; 20 of each are the least"):
        recalibrate(command(model, few))
    with pytest.raises(InputError, match=r"--out .*model.onnx is an input, which stays as it is"):
        recalibrate(command(model, source, "model.onnx"))
    with pytest.raises(
        InputError, match=r"--out .*model.onnx is an input, another name of .*model.onnx, which stays as it is"
    ):
        recalibrate(replace(command(model, source), out=source.parent / ".." / "model.onnx"))
    image = next(source.parent.glob("*.png"))
    with pytest.raises(InputError, match=r"--out .* is an input, which stays as it is"):
        recalibrate(replace(command(model, source), out=image))
    assert image.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(InputError, match=r"^--threshold-rule: the threshold rule 'best' is not one of"):
        recalibrate(command(model, source, threshold_rule="best"))
    with pytest.raises(InputError, match=r"^--guarantee: the guarantee 'all' is not one of"):
        recalibrate(command(model, source, guarantee="all"))
    other = write_model(tmp_path / "other.onnx", threshold_rule="by hand")
    with pytest.raises(InputError, match=r"^--threshold-rule: .*onnx has another one: the threshold rule 'by hand'"):
        recalibrate(command(other, source))


RUN = """
import runpy, sys
{before}
sys.argv = ["export.recalibrate", {model!r}, "--source", {source!r}, "--out", {out!r}]
try:
    runpy.run_module("export.recalibrate", run_name="__main__", alter_sys=True)
except SystemExit as left:
    code = left.code
print("imported", sorted({{"tensorflow", "keras", "tensorflow_datasets", "tf2onnx"}} & set(sys.modules)))
sys.exit(code)
"""


def start(model, source, before=""):
    program = RUN.format(before=before, model=str(model), source=str(source), out=str(model.with_name("new.onnx")))
    return subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)


def test_tensorflow_is_not_imported(local):
    ended = start(*local)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.endswith("imported []\n")


@pytest.mark.parametrize("missing", ["sklearn", "scipy", "onnx"])
def test_what_is_not_installed_is_one_line(local, missing):
    ended = start(*local, before=f"sys.modules[{missing!r}] = None")
    assert ended.returncode == 2
    assert ended.stderr == (
        f"python -m export.recalibrate: recalibration needs {missing}; {how_to_install('recalibrate')}\n"
    )


@pytest.mark.parametrize("name", ["probabilities", "familiarity"])
def test_a_file_that_answers_otherwise_than_computed_is_not_written(local, monkeypatch, name):
    model, source = local
    answered_by = labelled_images.answered_by

    def off(classifier, found, batch_size):
        """Answer as the file does, but the new one is off by a tenth."""
        given = answered_by(classifier, found, batch_size)
        return given if classifier.path == model else replace(given, **{name: 0.9 * getattr(given, name)})

    monkeypatch.setattr(labelled_images, "answered_by", off)
    with pytest.raises(
        ParityError, match=rf"new\.onnx was not written: its {name} differ by 0\.\d+ from those computed"
    ):
        recalibrate(command(model, source))
    assert [path.name for path in model.parent.iterdir() if "new" in path.name] == []
