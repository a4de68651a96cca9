"""Bootstrap intervals against one-resample-at-a-time computations and known sampling errors."""

from __future__ import annotations

import time

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from pipeline.intervals import intervals, percentile, ranking_figures, replicates, roc_band, weights, without_errors
from pipeline.metrics import by_subtype, figures
from pipeline.predictions import Predictions

THRESHOLD = 0.5


def make(n=200, images_per_patient=1, seed=0, digits=2):
    """Ties on purpose (rounded scores); images of one patient share label, kind and most of their score."""
    generator = np.random.default_rng(seed)
    patients = np.repeat(np.arange(-(-n // images_per_patient)), images_per_patient)[:n]
    labels = (generator.random(patients.max() + 1) < 0.7).astype(int)[patients]
    kinds = np.where(generator.random(patients.max() + 1)[patients] < 0.5, "bacteria", "virus")
    shared = generator.normal(size=patients.max() + 1)[patients]
    scores = 1 / (1 + np.exp(-(1.5 * labels - 0.5 + shared + 0.05 * generator.normal(size=n))))
    names = np.array([f"{i}.jpeg" for i in range(n)])
    return Predictions(
        names, patients.astype(str), np.where(labels == 1, kinds, "normal"), labels, np.round(scores, digits)
    )


def test_each_resample_has_the_figures_of_the_images_it_drew():
    """The vectorised figures are those of a table in which each image is written as often as it was drawn."""
    table = make(images_per_patient=3)
    values = replicates(table, THRESHOLD, 8, seed=5)
    (block,) = weights(table.patients, 8, seed=5)
    for k, times in enumerate(block.astype(int)):
        rows = np.repeat(np.arange(len(table)), times)
        labels, scores = table.labels[rows], table.probabilities[rows]
        expected = figures(labels, scores, THRESHOLD)
        for name in values:
            if ":" in name:
                kind = name.partition(":")[2]
                want = by_subtype(labels, scores, table.subtypes[rows], THRESHOLD)[kind]["sensitivity"]
            elif name == "ece":  # its bins stay those of the split
                continue
            else:
                want = expected[name]
            assert values[name][k] == pytest.approx(want), name


def test_ranking_figures_are_scikit_learns_with_weights():
    table = make()
    block = np.random.default_rng(0).integers(0, 4, size=(5, len(table))).astype(float)
    auroc, average = ranking_figures(table.labels, table.probabilities, block)
    for k, w in enumerate(block):
        assert auroc[k] == pytest.approx(roc_auc_score(table.labels, table.probabilities, sample_weight=w))
        assert average[k] == pytest.approx(average_precision_score(table.labels, table.probabilities, sample_weight=w))


def test_ece_with_every_image_once_is_the_figure_itself():
    table = make()
    block_ece = replicates(table, THRESHOLD, 400, seed=0)["ece"]
    low, high = percentile(block_ece)
    assert low < figures(table.labels, table.probabilities, THRESHOLD)["ece"] < high


def test_patients_are_resampled_whole():
    table = make(images_per_patient=4)
    (block,) = weights(table.patients, 50, seed=1)
    by_patient = block.reshape(50, -1, 4)
    assert (by_patient == by_patient[:, :, :1]).all()
    assert (by_patient[:, :, 0].sum(axis=1) == 50).all()  # as many patients as there are, each time
    assert len(np.unique(block)) > 2


def test_intervals_widen_when_images_are_of_few_patients():
    """400 near-copies of 40 patients know less than 400 patients; an image bootstrap would not see it."""
    table = make(400, images_per_patient=10, digits=6)
    alone = Predictions(table.filenames, table.filenames, table.subtypes, table.labels, table.probabilities)
    point = figures(table.labels, table.probabilities, THRESHOLD)
    widths = [np.diff(intervals(t, THRESHOLD, point, 500, seed=0)[0]["accuracy"])[0] for t in (table, alone)]
    assert widths[0] > 2 * widths[1]


def test_an_accuracys_interval_is_its_binomial_standard_error():
    table = make(1000)
    found = figures(table.labels, table.probabilities, THRESHOLD)
    low, high = intervals(table, THRESHOLD, found, 2000, seed=0)[0]["accuracy"]
    error = np.sqrt(found["accuracy"] * (1 - found["accuracy"]) / 1000)
    assert (high - low) / (2 * 1.96 * error) == pytest.approx(1.0, abs=0.1)
    assert low < found["accuracy"] < high


def test_the_seed_decides_the_intervals():
    table = make()
    point = figures(table.labels, table.probabilities, THRESHOLD)
    first, again, other = (intervals(table, THRESHOLD, point, 200, seed)[0] for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_a_split_without_errors_does_not_claim_certainty():
    """30 patients without an error: the bootstrap says [1, 1]; the exact lower end is 0.025^(1/30)."""
    labels = np.repeat([0, 1], 30)
    names = np.array([f"{i}" for i in range(60)])
    table = Predictions(names, names, np.where(labels == 1, "virus", "normal"), labels, labels * 0.8 + 0.1)
    point = figures(labels, table.probabilities, THRESHOLD)
    found, _ = intervals(table, THRESHOLD, point | {"sensitivity:virus": 1.0}, 100, seed=0)
    assert found["sensitivity"] == pytest.approx([0.025 ** (1 / 30), 1.0])
    assert found["sensitivity:virus"] == found["sensitivity"]
    assert found["accuracy"] == pytest.approx([0.025 ** (1 / 60), 1.0])
    assert without_errors(0.0, 30, [0.0, 0.0]) == pytest.approx([0.0, 1 - 0.025 ** (1 / 30)])
    assert without_errors(0.5, 30, [0.4, 0.6]) == [0.4, 0.6]


def test_one_class_gives_none_where_nothing_is_defined():
    names = np.array(["a", "b", "c"])
    table = Predictions(names, names, np.array(["normal"] * 3), np.zeros(3, int), np.array([0.1, 0.2, 0.8]))
    found, _ = intervals(table, THRESHOLD, figures(table.labels, table.probabilities, THRESHOLD), 50, seed=0)
    assert found["auroc"] is None
    assert found["sensitivity"] is None
    assert found["specificity"] is not None


def test_the_roc_band_holds_the_curve():
    table = make(digits=6)
    grid = np.linspace(0, 1, 21)
    low, high = roc_band(table, grid, 300, seed=0)
    false_alarms, hits, _ = roc_curve(table.labels, table.probabilities)
    curve = np.interp(grid, false_alarms, hits)
    assert (low <= curve + 1e-9).all()
    assert (curve <= high + 1e-9).all()
    assert (high - low).max() > 0.02
    assert (np.diff(low) >= -1e-9).all()


def test_two_thousand_resamples_of_a_thousand_images_are_quick():
    table = make(1000, images_per_patient=2, digits=6)
    start = time.perf_counter()
    replicates(table, THRESHOLD, 2000, seed=0)
    assert time.perf_counter() - start < 5.0  # 0.2 s on one core; sklearn 2,000 times over takes 10
