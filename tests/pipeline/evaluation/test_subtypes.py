"""Bacteria against viruses: what is counted, what is ranked, and what is written where a model does not tell."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from pipeline.evaluation.predictions import Predictions, read_csv, write_csv
from pipeline.evaluation.scoring import calibrated, decide, score_splits
from pipeline.evaluation.subtypes import subtype_figures

KINDS = np.array(["normal", "bacteria", "bacteria", "bacteria", "virus", "virus", "unknown"])
VIRAL = np.array([0.9, 0.2, 0.6, 0.4, 0.5, 0.55, 0.9])


def table(kinds=KINDS, viral=VIRAL, prefix=""):
    names = np.array([f"{prefix}{number}" for number in range(len(kinds))])
    labels = (kinds != "normal").astype(int)
    return Predictions(names, names, kinds, labels, 0.2 + 0.6 * labels, viral=viral)


def test_kinds_are_ranked_among_all_and_named_among_those_answered_pneumonia():
    answered = np.array([True, True, True, False, True, True, True])
    found = subtype_figures(table(), answered, seed=0, resamples=200)
    assert found["images"] == {"bacteria": 3, "virus": 2, "unknown": 1}
    assert found["auroc"] == roc_auc_score([0, 0, 0, 1, 1], VIRAL[1:6]) == pytest.approx(4 / 6)
    assert 0 <= found["interval"][0] < found["auroc"] < found["interval"][1] == 1
    counts = {"bacteria": {"BACTERIA": 1, "VIRUS": 1}, "virus": {"BACTERIA": 0, "VIRUS": 2}}
    assert found["among_answers"] == counts


def test_images_of_one_kind_are_counted_and_not_ranked():
    found = subtype_figures(table(KINDS[:4], VIRAL[:4]), np.full(4, True), seed=0, resamples=100)
    assert (found["auroc"], found["interval"]) == (None, None)
    assert found["images"] == {"bacteria": 3, "virus": 0, "unknown": 0}


@pytest.mark.parametrize("kinds", [["normal", "unknown"] * 3, ["normal"] * 6])
def test_images_of_no_known_kind_are_counted_and_not_ranked(kinds):
    found = subtype_figures(table(np.array(kinds), VIRAL[:6]), np.full(6, True), seed=0, resamples=20)
    assert (found["auroc"], found["interval"]) == (None, None)
    assert found["images"] == {"bacteria": 0, "virus": 0, "unknown": kinds.count("unknown")}


def test_every_split_is_scored_and_a_model_without_it_has_no_such_figures():
    tables = {name: table(prefix=name) for name in ("validation", "test")}
    decision = decide(tables["validation"], "youden")
    assert {"subtype"} <= score_splits(tables, decision, 0, 20)["splits"]["test"].keys()
    plain = {name: table(prefix=name, viral=np.empty(0)) for name in tables}
    without = score_splits(plain, decision, 0, 20)
    assert "subtype" not in without["splits"]["test"]
    assert "subtype" not in str(without).replace("by_subtype", "")


def test_the_table_on_disk_has_the_column_only_of_a_model_that_tells(tmp_path):
    path, decision = tmp_path / "predictions.csv", decide(table(), "youden")
    write_csv(path, {"test": calibrated(table(), decision)})
    assert np.array_equal(read_csv(path)["test"].viral, VIRAL)
    assert path.read_text().splitlines()[0].endswith(",familiarity,viral")
    write_csv(path, {"test": table(viral=np.empty(0))})
    assert path.read_text().splitlines()[0].endswith(",familiarity")
    assert not read_csv(path)["test"].tells_subtypes
