"""The Croissant metadata beside a built dataset, by the format's own validator."""

import json
import re

import pytest

from pneumo_tfds.phantoms.phantom_source import phantom_source
from pneumo_tfds.prepared import build
from pneumo_tfds.program.files import sha256_of
from pneumo_tfds.sources.opening import open_source
from pneumo_tfds.writing.croissant import CC_BY, croissant

mlcroissant = pytest.importorskip("mlcroissant", reason="needs mlcroissant (the dev extra)")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    return build(phantom_source(60), "phantom_32", tmp_path_factory.mktemp("data")).folder


def test_the_validator_finds_no_error_and_reads_splits_and_features(drawn):
    dataset = mlcroissant.Dataset(jsonld=drawn / "croissant.json")
    assert not dataset.metadata.ctx.issues.errors
    splits = {split["name"] for split in json.loads((drawn / "dataset_info.json").read_text())["splits"]}
    assert {records.name for records in dataset.metadata.record_sets} == splits == {"train", "validation", "test"}
    features = set(json.loads((drawn / "features.json").read_text())["featuresDict"]["features"])
    for records in dataset.metadata.record_sets:
        assert {field.name for field in records.fields} == features


def test_every_file_of_records_is_there_with_its_digest_and_size(drawn):
    listed = json.loads((drawn / "croissant.json").read_text())["distribution"]
    files = {each["name"]: each for each in listed if each["@type"] == "cr:FileObject"}
    assert set(files) == {path.name for path in drawn.glob("*.tfrecord*")}
    for name, described in files.items():
        assert described["sha256"] == sha256_of(drawn / name)
        assert described["contentSize"] == f"{(drawn / name).stat().st_size} B"
    includes = [each["includes"] for each in listed if each["@type"] == "cr:FileSet"]
    assert sorted(path.name for pattern in includes for path in drawn.glob(pattern)) == sorted(files)


def test_licence_and_citation_are_those_of_the_published_archive_and_of_no_other_source(drawn, xrays, tmp_path):
    archive = json.loads((build(open_source(xrays), "gray_32", tmp_path).folder / "croissant.json").read_text())
    assert archive["license"] == CC_BY
    assert "10.17632/rscbjbr9sj" in archive["citeAs"]
    assert re.match(
        r"48 images labelled NORMAL or PNEUMONIA: frontal chest X-rays, from Paediatric", archive["description"]
    )
    (tmp_path / "own").mkdir()
    for label, letter in (("NORMAL", "a"), ("PNEUMONIA", "b")):
        (tmp_path / "own" / label).mkdir()
        for place, path in enumerate(sorted((xrays / "train" / label).iterdir())):
            (tmp_path / "own" / label / f"{letter}{place}.jpeg").write_bytes(path.read_bytes())
    own = json.loads(
        (build(open_source(tmp_path / "own"), "gray_32", tmp_path / "d").folder / "croissant.json").read_text()
    )
    assert "that of the source" in own["license"]
    assert "citeAs" not in own
    assert "not medical" in json.loads((drawn / "croissant.json").read_text())["description"]


def test_phantoms_in_files_are_called_drawn():
    metadata = {"source_kind": "folder", "layout": "phantoms", "title": "Phantoms", "framing": "squeeze"}
    card = croissant("gray_32", "1.1.0", "tfrecord", metadata | {"split_rule": "by patient"}, {})
    assert "drawn, not medical ones" in card["description"]
    assert "Apache" in card["license"] or "apache" in card["license"]
