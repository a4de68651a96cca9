"""The advice how to install an extra."""

import sys

import pytest

from pneumo_tfds.program.installed import how_to_install, record

METADATA = "Metadata-Version: 2.1\nName: pneumo\nVersion: 0.1.0\n"
CLONE = ("clone/pneumo.egg-info", {"PKG-INFO": METADATA})
INSTALLED = ("packages/pneumo-0.1.0.dist-info", {"METADATA": METADATA, "RECORD": "pneumo_tfds/__init__.py,,\n"})


@pytest.fixture
def advice(tmp_path, monkeypatch):
    """Return the advice where only these folders of metadata can be found, in this order."""

    def ask(*folders):
        for folder, files in folders:
            (tmp_path / folder).mkdir(parents=True)
            for name, text in files.items():
                (tmp_path / folder / name).write_text(text)
        monkeypatch.setattr(sys, "path", [str((tmp_path / folder).parent) for folder, _ in folders])
        record.cache_clear()
        return how_to_install("dicom")

    yield ask
    record.cache_clear()


def test_an_installed_project_is_asked_for_by_name(advice):
    assert advice(INSTALLED) == "install it with: pip install 'pneumo[dicom]'"


def test_metadata_that_a_clone_holds_does_not_hide_the_installation(advice):
    assert advice(CLONE, INSTALLED) == "install it with: pip install 'pneumo[dicom]'"


@pytest.mark.parametrize("folders", [(CLONE,), ()])
def test_a_clone_that_is_not_installed_is_named(advice, folders):
    assert advice(*folders) == "install it in the clone with: pip install '.[dicom]'"
