"""What is installed beside us: every package pinned, every file locked by its hash, every licence allowed."""

import json
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import inventory

ROOT = Path(__file__).parents[2]
LOCKS = {"train": ["train"], "serve": ["serve", "dicom"], "dev": ["dev", "serve"], "tools": ["mutants", "fuzz"]}
HASH = re.compile(r" {4}--hash=sha256:[0-9a-f]{64}( \\)?")


def required(project, extras):
    """The requirements of the project with some extras, those of the extras that they name included."""
    found = [Requirement(line) for line in project["dependencies"]]
    for extra in extras:
        for each in map(Requirement, project["optional-dependencies"][extra]):
            found += required(project, sorted(each.extras)) if each.name == "pneumo" else [each]
    return found


def test_every_dependency_is_pinned():
    """A fresh install gets the versions that were tested."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line.partition(";")[0].strip() for line in lines if line and not line.startswith("#")]
    assert len(pins) > 100
    assert [pin for pin in pins if pin.count("==") != 1] == []


@pytest.mark.parametrize("lock", LOCKS)
def test_every_file_that_is_installed_is_locked_by_its_hash(lock):
    """`pip install --require-hashes` refuses a file without one; here it is refused before it is committed."""
    file = f"requirements/{lock}.txt"
    lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if not HASH.fullmatch(line) and not re.match(r"[a-z0-9-]+(\[.*\])?==", line)] == []
    found = inventory.pinned(file)
    assert [name for name, _, hashes in found if not hashes] == []
    pins = {(name, version) for name, version, _ in inventory.pinned("constraints.txt")}
    assert {(name, version) for name, version, _ in found if name != "setuptools"} <= pins
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for each in required(project, LOCKS[lock]):
        wanted = re.sub(r"[-_.]+", "-", each.name).lower()
        versions = [version for name, version, _ in found if name == wanted]
        assert versions, f"{each}: make locks"
        assert all(map(each.specifier.contains, versions)), f"{each}: make locks"
    assert any(name == "setuptools" for name, *_ in found), "builds the project itself, where pip may not fetch it"


def test_every_licence_is_allowed():
    found = inventory.licences()
    assert len(found) > 100
    refused = {name: licence for name, licence in found.items() if not inventory.is_allowed(licence)}
    assert refused.items() <= inventory.RUN_APART.items()


@pytest.mark.parametrize(
    ("licence", "allowed"),
    [
        ("MIT", True),
        ("GPL-3.0-only", False),
        ("GPL-2.0-only OR MIT", True),
        ("MIT AND LGPL-2.1-only", False),
        ("", False),
    ],
)
def test_one_of_the_alternatives_must_be_allowed_as_a_whole(licence, allowed):
    assert inventory.is_allowed(licence) == allowed


def test_the_page_of_licences_is_right():
    """`python requirements/inventory.py licences` writes it."""
    rows = re.findall(r"^\| (.+?) \| \d+ \| (.+) \|$", inventory.PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    shown = {name: licence for licence, names in rows for name in names.split(", ")}
    found = inventory.licences()
    assert {name: shown.get(name) for name in found} == found
    assert shown.keys() <= {name for name, *_ in inventory.pinned("constraints.txt")}


def test_the_bill_of_a_release_names_every_file_that_may_be_installed():
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    found = inventory.bill()
    parts = {(part["name"], part["version"]): part for part in found["components"]}
    some = [part for part in found["components"] if len(part["externalReferences"]) < 9]  # hundreds take a minute
    assert len(some) > 10
    text = json.dumps(found | {"components": some})
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    locked = {(name, version): len(hashes) for name, version, hashes in inventory.pinned("requirements/train.txt")}
    assert {part: len(parts[part]["externalReferences"]) for part in parts} == locked
    assert all(part["licenses"] for (name, _), part in parts.items() if name == "numpy")
