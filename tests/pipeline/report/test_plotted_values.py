"""What the plots of a run say: which figure is in which cell, at which point and under which class."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from pipeline.evaluation.predictions import Predictions
from pipeline.evaluation.scoring import score_split
from pipeline.report import plot_style, plots, xray_grids

LABELS = np.repeat([0, 1], [40, 70])
PROBABILITIES = np.repeat([0.11, 0.91, 0.11, 0.91], [30, 10, 10, 60])
SPECIFICITY, SENSITIVITY = 3 / 4, 6 / 7


@pytest.fixture
def axes(monkeypatch):
    """The axes that were drawn on, with everything on them."""
    seen = []

    @contextmanager
    def canvas(*size, **named):
        with plot_style.canvas(*size, **named) as drawn:
            yield drawn
            seen.extend(np.ravel(drawn))

    monkeypatch.setattr(plots, "canvas", canvas)
    monkeypatch.setattr(xray_grids, "canvas", canvas)
    return seen


@pytest.fixture
def table():
    names = np.array([f"{number}" for number in range(len(LABELS))])
    return Predictions(names, names, np.where(LABELS == 1, "virus", "normal"), LABELS, PROBABILITIES)


def points(axis):
    """Where round markers stand on an axis."""
    return [tuple(line.get_xydata()[0]) for line in axis.lines if line.get_marker() == "o"]


def test_each_count_of_a_confusion_matrix_is_in_the_cell_of_its_label_and_decision(axes, tmp_path):
    plots.confusion_matrix(tmp_path / "c.png", {"tn": 90, "fp": 10, "fn": 40, "tp": 1160}, "title")
    (axis,) = axes
    decisions, labels = ([tick.get_text() for tick in side.get_ticklabels()] for side in (axis.xaxis, axis.yaxis))
    said = {}
    for text in axis.texts:
        column, row = text.get_position()
        said.setdefault((labels[round(row)], decisions[round(column)]), []).append(text.get_text())
    assert said == {
        ("NORMAL", "NORMAL"): ["90", "cleared, 90.0 %"],
        ("NORMAL", "PNEUMONIA"): ["10", "false alarms, 10.0 %"],
        ("PNEUMONIA", "NORMAL"): ["40", "missed, 3.3 %"],
        ("PNEUMONIA", "PNEUMONIA"): ["1,160", "found, 96.7 %"],
    }
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("Decision of the model", "Label")
    np.testing.assert_allclose(axis.images[0].get_array(), [[0.9, 0.1], [1 / 30, 29 / 30]])


def test_the_operating_point_is_at_one_minus_specificity_and_sensitivity(axes, table, tmp_path):
    figures = score_split(table, 0.5, 0, 20)
    plots.roc(tmp_path / "r.png", table, {**figures, "auroc": 0.95}, "title", 20)
    (axis,) = axes
    expected = pytest.approx((1 - SPECIFICITY, SENSITIVITY))
    assert [points(each) for each in (axis, *axis.child_axes)] == [[expected], [expected]]
    curve = next(line for line in axis.lines if line.get_label().startswith("AUROC"))
    assert [expected] == [tuple(place) for place in curve.get_xydata()[1:-1]]


def test_the_operating_point_is_at_sensitivity_and_precision(axes, table, tmp_path):
    plots.precision_recall(tmp_path / "p.png", table, score_split(table, 0.5, 0, 20), "title")
    (axis,) = axes
    assert points(axis) == [pytest.approx((SENSITIVITY, 6 / 7))]


def test_calibration_is_the_fraction_of_pneumonia_at_each_probability(axes, table, tmp_path):
    plots.calibration(tmp_path / "c.png", table, score_split(table, 0.5, 0, 20), "title")
    axis, below = axes
    line, _, (bars,) = axis.containers[0].lines
    np.testing.assert_allclose(line.get_xydata(), [(0.11, 1 / 4), (0.91, 6 / 7)])
    for (low, high), observed in zip([bar[:, 1] for bar in bars.get_segments()], (1 / 4, 6 / 7), strict=True):
        assert 0 <= low < observed < high <= 1
    assert axis.get_ylabel() == "Fraction that is PNEUMONIA"
    counts = {round(bar.get_x(), 3): bar.get_height() for bar in below.patches if bar.get_height()}
    assert counts == {0.1: 40, 0.9: 70}


def test_each_histogram_is_of_the_class_that_it_names(axes, table, tmp_path):
    plots.scores(tmp_path / "s.png", table, 0.4, "title")
    (axis,) = axes
    heights = {
        shape.get_label(): {round(x, 3): y for x, y in shape.get_xy() if y > 0 and round(x, 3) in (0.1, 0.9)}
        for shape in axis.patches
    }
    assert heights == {"NORMAL (40)": {0.1: 30, 0.9: 10}, "PNEUMONIA (70)": {0.1: 10, 0.9: 60}}
    colours = [shape.get_edgecolor()[:3] for shape in axis.patches]
    assert colours == [pytest.approx(to_rgb(colour)) for colour in plot_style.BY_CLASS]
    assert [line.get_xdata()[0] for line in axis.lines] == [0.4]


@pytest.mark.parametrize(("images", "scale"), [(199, "linear"), (200, "log")])
def test_counts_of_few_images_are_not_drawn_as_logarithms(axes, tmp_path, images, scale):
    labels = np.arange(images) % 2
    names = np.array([str(number) for number in range(images)])
    found = Predictions(names, names, names, labels, np.linspace(0, 1, images))
    plots.scores(tmp_path / "s.png", found, 0.4, "title")
    assert axes[0].get_yscale() == scale
    assert ("log" in axes[0].get_ylabel()) == (scale == "log")


def test_example_x_rays_stand_under_their_class(axes, tmp_path):
    labels = np.array([1, 0, 1, 0, 1])
    images = np.stack([np.full((8, 8, 1), number, np.uint8) for number in range(5)])
    xray_grids.examples(tmp_path / "e.png", images, labels)
    rows = np.reshape(axes, (2, xray_grids.COLUMNS))
    shown = {
        row[0].get_title("left"): [int(axis.images[0].get_array()[0, 0]) for axis in row if axis.images] for row in rows
    }
    assert shown == {"NORMAL": [1, 3], "PNEUMONIA": [0, 2, 4]}
