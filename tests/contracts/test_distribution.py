"""What `make dist` makes, installed where nothing but the base dependencies is."""

import hashlib
import importlib.metadata
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from pneumo_tfds import __version__

ROOT = Path(__file__).parents[2]
PACKAGES = ("pneumo_tfds", "pipeline", "tuning", "export", "benchmarks")
FILES = ("pyproject.toml", "README.md", "LICENSE")
DATED = {"SOURCE_DATE_EPOCH": "1700000000"}
NEEDS_TRAINING = (
    "train",
    "tuning",
    "evaluate run",
    "compare run other",
    "ladder",
    "export run",
    "benchmarks input",
    "show",
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with the source distribution, and the wheel that was made from it."""
    place = tmp_path_factory.mktemp("source")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, place / package, ignore=shutil.ignore_patterns("node_modules", "__pycache__"))
    for file in FILES:
        shutil.copy(ROOT / file, place)
    line = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(place / "dist"), str(place)]
    subprocess.run(line, capture_output=True, check=True, env=os.environ | DATED)
    return place / "dist"


@pytest.fixture(scope="module")
def clean(made, tmp_path_factory):
    """The folder `bin` of an environment in which pip installed the wheel, and its folder of packages.

    The base dependencies are links to those of this environment, which takes no network.
    """
    place = tmp_path_factory.mktemp("clean")
    venv.create(place, with_pip=False)
    (wheel,) = made.glob("*.whl")
    pip = [sys.executable, "-m", "pip", "--python", str(place)]
    subprocess.run([*pip, "install", "--no-index", "--no-deps", str(wheel)], capture_output=True, check=True)
    (packages,) = place.glob("lib/python*/site-packages")
    (metadata,) = packages.glob("pneumo-*.dist-info")
    wanted, done = needed_by(importlib.metadata.Distribution.at(metadata)), set()
    while wanted:
        name = wanted.pop()
        if name in done:
            continue
        done.add(name)
        distribution = importlib.metadata.distribution(name)
        wanted += needed_by(distribution)
        for part in {file.parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}:
            if not (packages / part).exists():
                (packages / part).symlink_to(distribution.locate_file(part))
    return place / "bin", packages


def needed_by(distribution):
    requirements = [Requirement(text) for text in distribution.requires or ()]
    return [each.name for each in requirements if each.marker is None or each.marker.evaluate({"extra": ""})]


@pytest.fixture
def pneumo(clean, tmp_path):
    def call(line):
        environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
        line = [clean[0] / "pneumo", *line.split()]
        return subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    return call


@pytest.mark.slow
def test_the_files_are_in_order_and_hold_the_packages_with_their_types(made):
    check = [sys.executable, "-m", "twine", "check", "--strict", *map(str, made.iterdir())]
    subprocess.run(check, capture_output=True, check=True)
    (wheel,) = made.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.partition("/")[0] for name in names} == {*PACKAGES, f"pneumo-{__version__}.dist-info"}
    assert {f"{package}/py.typed" for package in PACKAGES} <= set(names)
    ours = [path for package in PACKAGES for path in (ROOT / package).rglob("*") if path.is_file()]
    left_out = ("node_modules", "__pycache__")
    ours = {str(path.relative_to(ROOT)) for path in ours if not set(path.parts) & set(left_out)}
    assert ours - set(names) == set(), "a file that the wheel lacks"


def name_and_digest(path):
    return path.name, hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.slow
def test_another_build_gives_the_same_wheel(made, tmp_path):
    """In another folder, at another time: who doubts a wheel can build it again."""
    (source,) = made.glob("*.tar.gz")
    shutil.unpack_archive(source, tmp_path, filter="data")
    (place,) = tmp_path.iterdir()
    line = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path / "dist"), str(place)]
    subprocess.run(line, capture_output=True, check=True, env=os.environ | DATED)
    (first,), (second,) = made.glob("*.whl"), (tmp_path / "dist").glob("*.whl")
    assert name_and_digest(second) == name_and_digest(first)


@pytest.mark.slow
def test_an_installed_wheel_answers_and_names_the_extra_that_a_command_lacks(pneumo, tmp_path):
    assert pneumo("--version").stdout == f"pneumo {__version__}\n"
    assert pneumo("predict --help").stdout.startswith("usage: pneumo predict ")
    assert pneumo("tuning --help").returncode == pneumo("completion fish").returncode == 0
    for line in NEEDS_TRAINING:
        ended = pneumo(line)
        assert ended.returncode == 2, line
        assert ended.stderr.startswith("pneumo"), line
        assert ended.stderr.endswith("install it with: pip install 'pneumo[train]'\n"), line
        assert ended.stderr.count("\n") == 1, line
        assert ended.stdout == "", line
    assert not [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")], "nothing was begun"


@pytest.mark.slow
def test_a_distribution_that_wrote_over_a_package_is_named(pneumo, clean):
    _, packages = clean
    metadata = packages / "pipelines_for_all-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: pipelines-for-all\nVersion: 1.0\n")
    (metadata / "top_level.txt").write_text("pipeline\n")
    own = packages / "pipeline" / "__init__.py"
    before = own.read_bytes()
    own.write_text("'''Somebody else's.'''\n")
    ended = pneumo("predict model.onnx image.png")
    assert ended.returncode == 2
    assert ended.stderr == (
        f"pneumo: {own} was overwritten by pipelines-for-all; install pneumo in a virtual environment of its own\n"
    )
    own.write_bytes(before)
    assert "model.onnx" in pneumo("predict model.onnx image.png").stderr


def test_the_citation_has_what_its_format_requires_and_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= set(citation), "required by version 1.2.0 of the format"
    assert citation["cff-version"] == "1.2.0"
    assert all("name" in author or "family-names" in author for author in citation["authors"])
    assert (citation["version"], citation["license"]) == (__version__, "Apache-2.0")
