"""A new decision in exported files: the metadata is that of a new export, and all else stays as it was."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import onnx
import pytest

from export.bill_of_materials import write_bill_of_materials
from export.carry_decision import with_decision
from export.export_options import ExportOptions
from export.export_run import export_run
from export.inference import golden
from export.inference.classifier import Classifier
from export.verify import opened
from pipeline.evaluation.predictions import Predictions, write_csv
from pipeline.run_folder.folder import RunFolder
from pneumo_tfds.program.errors import InputError

DOUBT = {
    "familiarity_threshold": None,
    "certain_normal_below": 0.2,
    "certain_pneumonia_from": 0.8,
    "guarantee": "NPV at least 0.9",
}


@pytest.fixture
def run(tmp_path, write_run, tiny_model, sample_images):
    """An exported run of four answers, with a float16 file."""
    run = RunFolder(write_run(tmp_path / "run", tiny_model()))
    metrics = json.loads(run.metrics.read_text())
    metrics["dataset"]["manifest_sha256"] = "0" * 64
    run.metrics.write_text(json.dumps(metrics | {"doubt": DOUBT}))
    names, probabilities = np.array([f"{n}.png" for n in range(20)]), np.linspace(0.02, 0.98, 20)
    kinds = np.where(probabilities > 0.5, "virus", "normal")
    answers = Predictions(names, names, kinds, (probabilities > 0.5).astype(int), probabilities)
    write_csv(run.predictions, {"validation": answers})
    list(export_run(run.path, ExportOptions(fp16=True, any_size=True, parity_images=8)))
    return run


@pytest.fixture
def decided(run):
    """The metrics after another decision; all examples of golden.npz are UNCERTAIN by it."""
    metrics = json.loads(run.metrics.read_text())
    metrics["operating_point"] |= {"threshold": 0.25, "rule": "sensitivity>=0.99", "chosen_on": "other images"}
    limits = {"certain_normal_below": 0.0, "certain_pneumonia_from": 1.0, "guarantee": "none"}
    return metrics | {"doubt": DOUBT | limits}


def test_the_bill_of_materials_follows_and_a_signature_that_no_longer_fits_is_told(run, decided, capsys):
    write_bill_of_materials(run)
    signature = run.onnx.with_name("model.onnx.sig")
    signature.write_text("of the file before")
    capsys.readouterr()
    contents = with_decision(run, decided)
    assert capsys.readouterr().out == (
        f"note: {signature} is of the file before, and no longer fits; sign model.onnx again\n"
    )
    for path, content in contents.items():
        path.write_bytes(content)
    assert signature.read_text() == "of the file before"
    carried = run.bill_of_materials.read_text()
    assert hashlib.sha256(run.onnx_fp16.read_bytes()).hexdigest() in carried
    assert carried == write_bill_of_materials(run).read_text()
    run.bill_of_materials.write_text('{"components": 3}')
    with pytest.raises(InputError, match=r"bom\.cdx\.json is damaged; remove it, or export again with --sbom"):
        with_decision(run, decided)


def test_a_later_export_writes_the_bill_of_materials_again_and_tells_of_the_signature(
    run, decided, sample_images, capsys
):
    write_bill_of_materials(run)
    run.onnx.with_name("model.onnx.sig").write_text("of the file before")
    run.metrics.write_text(json.dumps(decided))
    list(export_run(run.path, ExportOptions(parity_images=8)))
    assert hashlib.sha256(run.onnx.read_bytes()).hexdigest() in run.bill_of_materials.read_text()
    assert "fp16" not in run.bill_of_materials.read_text()
    assert "and no longer fits; sign model.onnx again\n" in capsys.readouterr().out


def test_the_file_is_that_of_a_new_export_byte_for_byte(run, decided, sample_images):
    before = run.onnx.read_bytes()
    contents = with_decision(run, decided)
    assert run.onnx.read_bytes() == before
    run.metrics.write_text(json.dumps(decided))
    list(export_run(run.path, ExportOptions(fp16=True, any_size=True, parity_images=8)))
    assert contents[run.onnx] == run.onnx.read_bytes()
    assert contents[run.onnx_fp16] == run.onnx_fp16.read_bytes()


def test_graphs_stay_and_the_metadata_says_the_decision(run, decided):
    contents = with_decision(run, decided)
    assert {run.onnx, run.onnx_fp16, run.golden} < set(contents)
    for path, content in contents.items():
        if path.suffix == ".onnx":
            old, new = onnx.load(path), onnx.load_from_string(content)
            assert old.graph == new.graph
            path.write_bytes(content)
            metadata, content = opened(path)
            assert content.has_digest
            assert metadata.threshold == 0.25
            assert metadata.threshold_rule == "sensitivity>=0.99 (chosen on other images)"
            assert (metadata.certain_normal_below, metadata.certain_pneumonia_from) == (0.0, 1.0)
            assert metadata.guarantee.endswith("none")
            assert metadata.reference["answers"] == {"UNCERTAIN": 20}  # by the new limits, for drift


def test_golden_examples_get_the_new_answers_and_test_themselves(run, decided):
    before = golden.read(run.golden)
    for path, content in with_decision(run, decided).items():
        path.write_bytes(content)
    after = golden.read(run.golden)
    assert set(after["decision"]) == {"UNCERTAIN"}
    assert set(before["decision"]) != {"UNCERTAIN"} or (before["probability"] < 0.8).all()
    assert np.array_equal(before["images"], after["images"])
    assert golden.self_test(Classifier(run.onnx), after) == []


def test_counts_of_changed_decisions_are_dropped(run, decided):
    parity = json.loads(with_decision(run, decided)[run.parity])
    entry = parity["files"].pop("model.any_size.onnx")
    assert entry == json.loads(run.parity.read_text())["files"]["model.any_size.onnx"], "it has no such count"
    assert set(parity["files"]) == {"model.onnx", "model.fp16.onnx"}
    for name, report in parity["files"].items():
        old = json.loads(run.parity.read_text())["files"][name]
        assert report == old | {"decision_flips": None, "answer_flips": None}


def test_a_run_that_was_not_exported_has_nothing_to_carry_into(tmp_path, write_run, tiny_model, decided):
    assert with_decision(RunFolder(write_run(tmp_path / "other", tiny_model())), decided) == {}


def test_a_damaged_file_is_one_clear_error(run, decided):
    run.onnx.write_bytes(b"not a model")
    with pytest.raises(InputError, match=r"model\.onnx.*export the run again|model\.onnx.*not one of this project"):
        with_decision(run, decided)


def test_file_of_an_earlier_version_without_familiarity_is_left_as_it_is(run, decided):
    decided["doubt"] |= {"familiarity_threshold": 0.01}
    with pytest.raises(InputError, match=r"model\.onnx is of an earlier version and has no familiarity"):
        with_decision(run, decided)
