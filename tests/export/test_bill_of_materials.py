"""The bill of materials: what it names, and that it is CycloneDX."""

import hashlib
import json
import shutil
from importlib.metadata import version

import onnx
import pytest

from brightness_model import write_model
from export.bill_of_materials import write_bill_of_materials
from export.inference.content_digest import sealed
from pipeline.run_folder.folder import RunFolder
from pneumo_tfds.program.errors import InputError

WEIGHTS = json.dumps({"name": "made weights", "license": "Apache-2.0", "sha256": "ab" * 32})


@pytest.fixture
def run(tmp_path):
    run = RunFolder(tmp_path)
    write_model(run.onnx, pretrained_weights=WEIGHTS, training_manifest_sha256="cd" * 32)
    run.onnx.write_bytes(sealed(onnx.load(run.onnx)))
    shutil.copy(run.onnx, run.onnx_int8)
    return run


def test_it_names_files_weights_images_and_packages_with_hashes_and_licences(run):
    bill = json.loads(write_bill_of_materials(run).read_text())
    found = {part["bom-ref"]: part for part in bill["components"]}
    digest = hashlib.sha256(run.onnx.read_bytes()).hexdigest()
    assert bill["metadata"]["component"]["hashes"] == [{"alg": "SHA-256", "content": digest}]
    assert found["model.int8.onnx"]["type"] == "machine-learning-model"
    weights = found["pretrained weights"]
    assert (weights["name"], weights["licenses"]) == ("made weights", [{"license": {"name": "Apache-2.0"}}])
    assert weights["hashes"][0]["content"] == "ab" * 32
    assert found["training images"]["hashes"][0]["content"] == "cd" * 32
    numpy = found[f"pkg:pypi/numpy@{version('numpy')}"]
    assert numpy["licenses"]
    named = [part["name"] for part in bill["components"] if part["type"] == "library"]
    assert named == sorted(set(named))
    assert {part["ref"] for part in bill["dependencies"]} == {"model.onnx", "model.int8.onnx"}
    assert run.bill_of_materials.read_text() == write_bill_of_materials(run).read_text()


def test_it_names_the_file_for_pictures_of_any_size_too(run):
    shutil.copy(run.onnx, run.onnx_any_size)
    bill = json.loads(write_bill_of_materials(run).read_text())
    assert "model.any_size.onnx" in {part["bom-ref"] for part in bill["components"]}
    assert {"ref": "model.any_size.onnx", "dependsOn": ["model.onnx"]} in bill["dependencies"]


def test_a_validator_of_cyclonedx_accepts_it(run):
    pytest.importorskip("cyclonedx", reason="needs cyclonedx-python-lib")
    pytest.importorskip("jsonschema", reason="needs cyclonedx-python-lib[json-validation]")
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(write_bill_of_materials(run).read_text()) is None


def test_a_run_that_was_not_exported_has_none(tmp_path):
    with pytest.raises(InputError, match="export the run first"):
        write_bill_of_materials(RunFolder(tmp_path))
