"""The page about this machine: what it shows, what it hides, and that it needs none of what may be missing."""

import json
import os
import platform
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from pipeline import doctor
from pneumo_tfds.program.installed import how_to_install

ROOT = Path(__file__).parents[2]
WITHOUT = """
import runpy, sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {missing}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())
sys.argv = ["doctor", {arguments}]
runpy.run_module("pipeline.doctor", run_name="__main__", alter_sys=True)
"""
TRAINING = {"tensorflow", "keras", "wrapt", "psutil", "pydantic", "sklearn", "scipy", "tensorflow_datasets"}


@pytest.fixture
def page(tmp_path):
    """Run the command in a folder of its own; return what it prints. No module is missing, unless it is named."""

    def run(*arguments, missing=frozenset(), **variables):
        program = WITHOUT.format(missing=set(missing) | {"none"}, arguments=", ".join(map(repr, arguments)))
        environment = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"}
        environment |= {"PYTHONPATH": str(ROOT)} | variables
        ended = subprocess.run(
            [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    return run


@pytest.mark.slow
def test_the_page_and_the_json_have_every_section_and_what_was_chosen(page, tmp_path):
    text = page("--json", "found.json")
    found = json.loads((tmp_path / "found.json").read_text())
    assert list(found) == list(doctor.SECTIONS)
    for section, facts in found.items():
        assert f"\n{section}\n" in text
        assert all(f"  {label:<22} {fact}\n" in text for label, fact in facts.items())
    assert found["Machine"]["Python"].startswith(platform.python_version())
    assert found["Folders"]["file locks in it"] == "work"
    measured = {label for label in found["TensorFlow"] if label.startswith("measured: ")}
    assert set(found["TensorFlow"]) - measured == {"oneDNN", "threads", "GPUs", "--precision auto"}
    assert "XLA, on " in found["TensorFlow"]["--precision auto"]
    assert found["Variables"]["KERAS_BACKEND"] == "tensorflow (set by pneumo)"


def test_what_is_missing_is_named_with_the_command_that_brings_it(page):
    text = page(missing=TRAINING | {"pydicom", "gdcm"})
    assert "TensorFlow             cannot be imported" in text
    assert how_to_install("train") in text
    assert f"MISSING pydicom, gdcm, for reading DICOM files; {how_to_install('dicom')}" in text


def test_variables_are_shown_with_who_set_them_and_no_others(page):
    given = {"KERAS_BACKEND": "jax", "OMP_NUM_THREADS": "3", "TF_VAR_password": "terraform", "TF_CONFIG": "10.9.8.7"}
    text = page(missing=TRAINING, **given)
    assert "KERAS_BACKEND          tensorflow (set by pneumo; yours was jax)" in text
    assert "OMP_NUM_THREADS        3 (yours)" in text
    assert "TF_CONFIG              not shown, as it names hosts (yours)" in text
    assert "terraform" not in text
    assert "10.9.8.7" not in text


def test_neither_user_nor_host_is_named(page, tmp_path):
    home, host = tmp_path / "home" / "alice", platform.node()
    variables = {"HOME": str(home), "USER": "alice", "TFDS_DATA_DIR": f"/scratch/alice/{host}/data"}
    text = page(missing=TRAINING, XDG_CACHE_HOME=str(home / "cache"), **variables)
    assert f"~{os.sep}cache" in text
    assert "/scratch/USER/HOST/data" in text
    assert "alice" not in text
    assert not host or f"/{host}" not in text


def test_a_folder_without_locks_is_shown(monkeypatch):
    def refuse(descriptor, *, blocking=True):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("filelock.lock_descriptor", refuse)
    assert doctor._folders()["file locks in it"].startswith("NONE (Function not implemented)")


def test_the_extras_are_those_of_the_project():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(doctor.OPTIONAL) == set(extras) - {"dev", "docs", "fuzz", "mutants"}
    assert all(modules for _, modules in doctor.OPTIONAL.values())
