"""Metadata of an exported file: reading, writing, and files with other metadata."""

import json
from dataclasses import replace

import pytest

from export.inference.onnx_metadata import KEYS, WHERE_ABSENT, Metadata, ModelFileError, metadata_of_run
from pneumo_tfds.program.answers import Limits
from pneumo_tfds.program.errors import InputError

METADATA = Metadata(
    image_size=48,
    threshold=0.37,
    threshold_rule="youden (chosen on validation)",
    dataset="gray_48",
    dataset_version="1.0.0",
    metrics={"test": {"auroc": 0.9}},
)


FOUR_WAY = replace(
    METADATA,
    version=2,
    certain_normal_below=0.08,
    certain_pneumonia_from=0.93,
    familiarity_threshold=0.011,
    guarantee="NPV at least 0.95",
    training_manifest_sha256="ab" * 32,
    pretrained_weights={"name": "made", "license": "Apache-2.0", "sha256": "12" * 32},
    parent_sha256="ef" * 32,
    made_with="pneumo 0.1.0",
    recalibrated=({"parent_sha256": "cd" * 32, "source": "here", "images": 300},),
    reference={"answers": {"NORMAL": 2}, "probability": {"edges": [0.5], "counts": [1, 1]}},
    golden_tolerance={"probability": 0.02, "familiarity": 0.01},
    subtypes=("BACTERIA", "VIRUS"),
)


def test_round_trip_keeps_everything():
    assert set(METADATA.to_props()) == {key for key in KEYS if key not in WHERE_ABSENT} | {"framing"}
    assert tuple(FOUR_WAY.to_props()) == KEYS
    for metadata in (METADATA, FOUR_WAY, replace(FOUR_WAY, familiarity_threshold=None)):
        assert Metadata.from_props(metadata.to_props(), "m.onnx") == metadata


def test_a_file_without_limits_decides_by_its_threshold():
    assert (METADATA.four_way, METADATA.limits) == (False, Limits(0.37, 0.37))
    assert (FOUR_WAY.four_way, FOUR_WAY.limits) == (True, Limits(0.08, 0.93, 0.011))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"certain_normal_below": "0.94"}, "the limits 0.94 and 0.93, not in order in 0 to 1"),
        ({"certain_pneumonia_from": "1.5"}, "the limits 0.08 and 1.5, not"),
        ({"certain_normal_below": "nan"}, "the limits nan and 0.93, not"),
        ({"certain_pneumonia_from": "inf"}, "the limits 0.08 and inf, not"),
        ({"certain_normal_below": ""}, "one limit of an answer without the other"),
        ({"certain_normal_below": "", "certain_pneumonia_from": ""}, "one limit of an answer without the other"),
        ({"familiarity_threshold": "-1"}, "the familiarity threshold -1.0, not one in 0 to 1"),
        ({"familiarity_threshold": "nan"}, "the familiarity threshold nan, not one in 0 to 1"),
        ({"familiarity_threshold": "low"}, "unreadable metadata familiarity_threshold"),
    ],
)
def test_damaged_limits_are_named(change, reason):
    with pytest.raises(ModelFileError, match=f"m.onnx has {reason}"):
        Metadata.from_props({**FOUR_WAY.to_props(), **change}, "m.onnx")


DOUBTED = {
    "dataset": {"name": "gray_48", "version": "1.0.0", "manifest_sha256": "ab" * 32},
    "operating_point": {"threshold": 0.25, "rule": "youden", "chosen_on": "validation"},
    "splits": {},
    "doubt": {
        "familiarity_threshold": 0.011,
        "certain_normal_below": 0.08,
        "certain_pneumonia_from": 0.93,
        "guarantee": "NPV at least 0.95",
    },
}


@pytest.mark.parametrize("familiarity", [0.011, None])
def test_what_a_run_says_of_doubt_is_carried_over(familiarity):
    doubt = {**DOUBTED["doubt"], "familiarity_threshold": familiarity}
    found = metadata_of_run({**DOUBTED, "doubt": doubt}, 48, "runs/x")
    assert (found.version, found.limits) == (2, Limits(0.08, 0.93, familiarity))
    assert (found.guarantee, found.training_manifest_sha256) == ("NPV at least 0.95", "ab" * 32)
    assert ("familiarity_threshold" in found.to_props()) is (familiarity is not None)


@pytest.mark.parametrize(
    "change", [{"certain_normal_below": 0.94}, {"certain_normal_below": None}, {"familiarity_threshold": 2}]
)
def test_a_run_with_limits_out_of_order_is_damaged(change):
    with pytest.raises(InputError, match=r"runs/x/metrics.json is damaged"):
        metadata_of_run({**DOUBTED, "doubt": {**DOUBTED["doubt"], **change}}, 48, "runs/x")


def test_pneumonia_is_the_second_class():
    assert json.loads(METADATA.to_props()["classes"]) == ["NORMAL", "PNEUMONIA"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"version": "3"}, "version 3, newer than the 2"),
        ({"version": "two"}, "not a number"),
        ({"threshold": "1.5"}, "not one in 0 to 1"),
        ({"threshold": "nan"}, "not one in 0 to 1"),
        ({"threshold": "high"}, "unreadable metadata threshold"),
        ({"image_size": "0"}, "damaged metadata"),
        ({"metrics": "{"}, "unreadable metadata metrics"),
        ({"reference": "[3]"}, "unreadable metadata reference"),
        ({"recalibrated": "3"}, "unreadable metadata recalibrated"),
        ({"recalibrated": "[3]"}, "unreadable metadata recalibrated"),
        ({"framing": "stretch"}, "framing stretch, unknown here; update the program"),
        ({"classes": '["CAT", "DOG"]'}, "has the classes"),
    ],
)
def test_damaged_values_are_named(change, reason):
    with pytest.raises(ModelFileError, match=reason):
        Metadata.from_props({**METADATA.to_props(), **change}, "m.onnx")


def test_a_file_that_names_no_framing_is_squeeze():
    props = METADATA.to_props()
    del props["framing"]
    assert Metadata.from_props(props, "m.onnx").framing == "squeeze"


@pytest.mark.parametrize("key", [key for key in KEYS if key not in WHERE_ABSENT])
def test_each_missing_key_is_named(key):
    props = METADATA.to_props()
    del props[key]
    with pytest.raises(ModelFileError, match=f"m.onnx lacks the metadata {key};"):
        Metadata.from_props(props, "m.onnx")


def test_a_newer_file_is_called_newer_even_if_keys_are_missing():
    with pytest.raises(ModelFileError, match="newer"):
        Metadata.from_props({"version": "9"}, "m.onnx")


def test_file_of_another_project():
    with pytest.raises(ModelFileError, match="not one of this project"):
        Metadata.from_props({"author": "someone"}, "m.onnx")


def test_metadata_of_a_run_keeps_single_finite_numbers_only():
    metrics = {
        "dataset": {"name": "gray_48", "version": "1.0.0"},
        "operating_point": {"threshold": 0.25, "rule": "youden", "chosen_on": "validation"},
        "splits": {"test": {"auroc": 0.9, "npv": None, "confusion_matrix": {"tn": 3}, "intervals": [0, 1]}},
    }
    found = metadata_of_run(metrics, 48, "runs/x")
    assert (found.threshold, found.threshold_rule) == (0.25, "youden (chosen on validation)")
    assert found.metrics == {"test": {"auroc": 0.9}}
    assert (found.dataset, found.dataset_version) == ("gray_48", "1.0.0")
    assert (found.framing, found.version) == ("squeeze", 1)  # older programs read it rightly


@pytest.mark.parametrize(
    ("known", "says"),
    [
        ({"layout": "kermany", "title": "Kermany"}, "research only; paediatric; one hospital"),
        (
            {"layout": "own", "title": "Clinic\nX"},
            "research only; for people like those of its training data alone (ClinicX)",
        ),
        ({"layout": "folders", "title": "f"}, "research only; for people like those of its training data alone"),
        ({}, "research only; for people like those of its training data alone"),
        ({"phantom": True, "layout": ""}, "research only; trained on drawn phantoms, not on X-rays"),
    ],
)
def test_the_intended_use_says_what_is_known_of_the_training_data(known, says):
    point = {"threshold": 0.25, "rule": "youden", "chosen_on": "validation"}
    metrics = {"dataset": {"name": "d", "version": "1", **known}, "operating_point": point, "splits": {}}
    found = metadata_of_run(metrics, 48, "runs/x")
    assert found.intended_use == says
    assert found.paediatric == (known.get("layout") == "kermany")


def test_older_programs_refuse_a_file_whose_framing_they_would_not_obey():
    metrics = {
        "dataset": {"name": "gray_48_pad", "version": "1.0.0", "framing": "pad"},
        "operating_point": {"threshold": 0.25, "rule": "youden", "chosen_on": "validation"},
        "splits": {},
    }
    found = metadata_of_run(metrics, 48, "runs/x")
    assert (found.framing, found.version) == ("pad", 2)
    assert Metadata.from_props(found.to_props(), "m.onnx") == found


@pytest.mark.parametrize("metrics", [{}, {"operating_point": {"threshold": None, "rule": "youden"}}])
def test_run_without_operating_point(metrics):
    with pytest.raises(InputError, match="no operating point"):
        metadata_of_run(metrics, 48, "runs/x")
