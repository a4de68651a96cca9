"""Figures as text: what is below 1 is never rounded up to it, and what was not measured is a dash."""

import numpy as np

from pipeline.evaluation.predictions import Predictions
from pipeline.evaluation.scoring import score_split
from pipeline.ladder import _mean_and_spread
from pipeline.report.report_tables import classification_rows, headline, number, percent
from pipeline.report.terminal import figure_rows


def table(normal, pneumonia):
    """Images of patients of their own, with these probabilities."""
    scores = np.array([*normal, *pneumonia])
    labels = np.repeat([0, 1], [len(normal), len(pneumonia)])
    names = np.arange(len(scores)).astype(str)
    return Predictions(names, names, np.where(labels, "virus", "normal"), labels, scores)


def test_a_figure_below_one_is_not_rounded_up_to_it():
    assert [percent(value) for value in (0.9999, 1.0, 0.999, None)] == [">99.9 %", "100.0 %", "99.9 %", "–"]
    assert [percent(value, 0) for value in (0.996, 1.0)] == [">99 %", "100 %"]
    assert number(0.9996) == ">0.999"
    found = table([0.1] * 30, [0.9] * 1999 + [0.1])
    metrics = {"splits": {"test": score_split(found, 0.5, 0, 100)}}
    said = headline(metrics, "test").replace("\u00a0", " ")
    assert "finds >99.9 % (95 % interval 99.9 to 100.0) of pneumonias" in said
    cells = {row[0]: row[1] for row in figure_rows(metrics)}
    assert cells["sensitivity"].startswith(">0.999  [0.999, 1.000]")
    assert cells["accuracy"].startswith(">0.999")


def test_a_report_of_one_class_has_its_recall_alone():
    normal, pneumonia = classification_rows(table([], [0.9, 0.9, 0.2]), 0.5)[::-1]
    assert pneumonia == {"name": "PNEUMONIA", "precision": None, "recall": 2 / 3, "f1_score": None, "support": 3.0}
    assert normal == {"name": "NORMAL", "precision": None, "recall": None, "f1_score": None, "support": 0.0}


def test_an_average_of_what_is_undefined_is_undefined():
    pneumonia, normal, *averages = classification_rows(table([0.1, 0.2], [0.3, 0.4]), 0.5)  # none is called PNEUMONIA
    assert (pneumonia["precision"], pneumonia["recall"]) == (None, 0.0)
    assert (normal["precision"], normal["recall"]) == (0.5, 1.0)
    assert [row["name"] for row in averages] == ["macro avg", "weighted avg"]
    assert [(row["precision"], row["recall"]) for row in averages] == [(None, 0.5), (None, 0.5)]


def test_a_figure_that_a_seed_lacks_is_a_dash_in_the_ladder():
    assert _mean_and_spread([0.5, None]) == "–"
    assert _mean_and_spread([0.5, 0.7]) == "0.600 ± 0.141"
    assert _mean_and_spread([]) == ""
