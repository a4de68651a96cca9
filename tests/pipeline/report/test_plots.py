"""Plots: each is drawn from plain arrays, is a whole PNG, and leaves matplotlib's settings as they were."""

from __future__ import annotations

import subprocess
import sys

import cv2
import matplotlib
import numpy as np
import pytest

from pipeline.evaluation.metrics import most_confident_errors
from pipeline.evaluation.predictions import Predictions
from pipeline.evaluation.scoring import score_split
from pipeline.report import plots, xray_grids
from pipeline.report.report_tables import error_rows, number, span
from pipeline.run_folder.history import Epoch


def table(n=60, one_class=False):
    generator = np.random.default_rng(0)
    labels = np.ones(n, int) if one_class else (np.arange(n) % 3 > 0).astype(int)
    scores = 1 / (1 + np.exp(-generator.normal(2 * labels - 1, 1.5)))
    names = np.array([f"{i}" for i in range(n)])
    return Predictions(names, names, np.where(labels == 1, "virus", "normal"), labels, scores)


def looks_drawn(path):
    image = cv2.imread(str(path))
    return image is not None and image.shape[0] > 300 and image.std() > 5


ROW = {"row": 14, "label": "NORMAL", "called": "PNEUMONIA", "probability": "0.812"}
EPOCHS = [Epoch(1, 0.5, 1e-3, 0.6, 0.8, 0.7, 9.0, 50.0, 0.1), Epoch(2, 0.3, 5e-4, 0.5, 0.9, 0.8, 9.0, 50.0, 0.1)]


def test_a_split_gets_all_its_plots_and_matplotlib_keeps_its_settings(tmp_path):
    before = dict(matplotlib.rcParams)
    split = table()
    plots.draw_split(tmp_path, "test", split, score_split(split, 0.5, 0, 50), 0.5, 50)
    kinds = ("calibration", "confusion_matrix", "precision_recall", "roc", "scores")
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{kind}_test.png" for kind in kinds]
    assert all(looks_drawn(path) for path in tmp_path.iterdir())
    assert dict(matplotlib.rcParams) == before


def test_a_strong_models_roc_curve_has_its_corner_enlarged(tmp_path):
    split = table()
    strong = split.with_probabilities(np.clip(0.8 * split.labels + 0.3 * split.probabilities, 0, 1))
    for name, which in (("weak", split), ("strong", strong)):
        plots.roc(tmp_path / f"{name}.png", which, score_split(which, 0.5, 0, 50), "ROC", 50)
    weak_ink, strong_ink = (
        np.sum(cv2.imread(str(tmp_path / f"{name}.png"))[250:500, 420:800] < 100) for name in ("weak", "strong")
    )
    assert strong_ink > weak_ink + 500


def test_a_split_of_one_class_gets_the_plots_that_make_sense(tmp_path):
    split = table(one_class=True)
    plots.draw_split(tmp_path, "test", split, score_split(split, 0.5, 0, 20), 0.5, 20)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["confusion_matrix_test.png", "scores_test.png"]


@pytest.mark.parametrize("epochs", [EPOCHS, EPOCHS[:1]])
def test_training_curves_take_any_number_of_epochs(tmp_path, epochs):
    plots.training_curves(tmp_path / "t.png", epochs)
    assert looks_drawn(tmp_path / "t.png")


def test_images_by_split_and_kind(tmp_path):
    counts = {
        "train": {"normal": 30, "bacteria": 50, "virus": 20},
        "test": plots.count_kinds(table().labels, table().subtypes),
    }
    assert counts["test"] == {"normal": 20, "virus": 40}
    plots.class_distribution(tmp_path / "c.png", counts)
    assert looks_drawn(tmp_path / "c.png")


def test_grids_of_x_rays(tmp_path):
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (7, 32, 32, 1), dtype=np.uint8)
    xray_grids.examples(tmp_path / "e.png", images, np.array([0, 0, 1, 1, 1, 1, 1]))
    heatmaps = generator.normal(size=(7, 4, 4)).astype(np.float32)
    xray_grids.errors(tmp_path / "m.png", images, heatmaps, [ROW] * 7)
    xray_grids.errors(tmp_path / "n.png", images[:1], None, [ROW])
    assert all(looks_drawn(tmp_path / f"{name}.png") for name in "emn")


def test_a_heat_map_is_orange_for_pneumonia_and_blue_against():
    left_for_right_against = np.array([[3.0, -3.0]], np.float32).repeat(2, axis=0)
    red, _, blue, opacity = np.moveaxis(xray_grids.heatmap_colours(left_for_right_against, 3.0, 32), -1, 0)
    assert (red[:, :8] > blue[:, :8] + 0.5).all()
    assert (blue[:, -8:] > red[:, -8:] + 0.5).all()
    assert (opacity[:, :8] == xray_grids.MOST_OPAQUE).all()
    assert not xray_grids.heatmap_colours(np.zeros((2, 2), np.float32), 3.0, 32)[..., 3].any()  # it hides nothing


def test_the_most_confident_errors_are_of_both_kinds():
    labels = np.array([1, 1, 1, 0, 0, 0, 0, 0])
    scores = np.array([0.4, 0.1, 0.9, 0.6, 0.95, 0.8, 0.2, 0.7])
    assert most_confident_errors(labels, scores, 0.5, 4).tolist() == [1, 0, 4, 5]
    assert most_confident_errors(labels, scores, 0.5, 3).tolist() == [1, 0, 4]
    assert most_confident_errors(labels, scores, 0.5, 99).tolist() == [1, 0, 4, 5, 7, 3]
    assert most_confident_errors(labels[2:3], scores[2:3], 0.5, 4).tolist() == []


def test_errors_name_a_row_and_no_file_unless_asked_to():
    tables = {"validation": table(10), "test": table()}
    (row,) = error_rows(tables, "test", np.array([3]))
    assert (row["row"], row["label"], row["called"]) == (14, "NORMAL", "PNEUMONIA")
    assert row["probability"].startswith("0.")
    assert "file" not in row
    assert error_rows(tables, "test", np.array([3]), files=True)[0]["file"] == "3"


def test_figures_for_people_never_round_up_to_certainty():
    assert (number(0.9996), number(1.0), number(0.9), number(None)) == (">0.999", "1.000", "0.900", "\u2013")
    assert (span([0.9, 0.99999]), span(None)) == ("0.900 to >0.999", "")


def test_tables_need_no_matplotlib():
    code = "import sys; from pipeline.report import report_tables; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def test_plotting_needs_neither_pyplot_nor_a_display():
    code = "import sys; from pipeline.report import plots, xray_grids; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
