"""Bootstrap intervals against one-resample-at-a-time computations and known sampling errors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from pipeline.evaluation.calibration import assign_bins
from pipeline.evaluation.intervals import (
    at_least_wilson,
    intervals,
    percentile,
    ranking_figures,
    replicates,
    roc_band,
    weights,
    without_errors,
)
from pipeline.evaluation.metrics import by_subtype, decisions, figures
from pipeline.evaluation.predictions import Predictions

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
            elif name == "ece":  # its assign_bins stay those of the split
                place = assign_bins(table.probabilities)[rows]
                want = sum(abs((scores - labels)[place == i].sum()) for i in np.unique(place)) / len(rows)
            else:
                want = expected[name]
            assert values[name][k] == pytest.approx(want), name


@pytest.mark.filterwarnings("error")
def test_a_figure_that_a_resample_does_not_define_is_nan_there():
    """Five patients: some resamples lack a class, a kind, or anything called PNEUMONIA."""
    names = np.array(list("abcde"))
    kinds = np.array(["normal", "normal", "virus", "bacteria", "virus"])
    table = Predictions(names, names, kinds, np.array([0, 0, 1, 1, 1]), np.array([0.2, 0.6, 0.4, 0.7, 0.3]))
    values = replicates(table, THRESHOLD, 150, seed=0)
    seen = set()
    for k, times in enumerate(np.concatenate(list(weights(table.patients, 150, seed=0))).astype(int)):
        rows = np.repeat(np.arange(5), times)
        labels, scores, some = table.labels[rows], table.probabilities[rows], table.subtypes[rows]
        expected = figures(labels, scores, THRESHOLD)
        found = by_subtype(labels, scores, some, THRESHOLD)
        expected |= {f"sensitivity:{kind}": found.get(kind, {}).get("sensitivity") for kind in ("virus", "bacteria")}
        for name in set(values) - {"ece"}:
            if expected[name] is None:
                seen.add(name)
                assert np.isnan(values[name][k]), name
            else:
                assert values[name][k] == pytest.approx(expected[name]), name
    undefined = {
        "auroc",
        "average_precision",
        "sensitivity",
        "specificity",
        "balanced_accuracy",
        "precision",
        "npv",
        "f1",
    }
    assert seen == {*undefined, "sensitivity:virus", "sensitivity:bacteria"}
    assert {len(sample) for sample in values.values()} == {150}


@pytest.mark.filterwarnings("error")
def test_ranking_figures_of_weights_without_a_class_are_nan():
    table = make(20)
    block = np.stack([table.labels == 1, table.labels == 0, np.ones(20)]).astype(float)
    auroc, average = ranking_figures(table.labels, table.probabilities, block)
    assert np.isnan(auroc).tolist() == [True, True, False]
    assert np.isnan(average).tolist() == [False, True, False]
    assert average[0] == 1.0


def test_resamples_come_in_blocks_and_differ():
    patients = np.array(list("ccaabbb"))
    blocks = list(weights(patients, 250, seed=4))
    assert [block.shape for block in blocks] == [(100, 7), (100, 7), (50, 7)]
    every = np.concatenate(blocks)
    by_patient = every[:, [2, 4, 0]]
    assert (by_patient.sum(axis=1) == 3).all()
    np.testing.assert_array_equal(every, by_patient[:, [2, 2, 0, 0, 1, 1, 1]])
    np.testing.assert_allclose(by_patient.mean(axis=0), 1, atol=0.15)
    assert not (blocks[0] == blocks[1]).all()
    assert blocks[0].dtype == np.float64


def test_percentiles_are_the_middle_95_percent_of_what_is_defined():
    values = np.concatenate([np.arange(1001.0), np.full(500, np.nan)])
    assert percentile(np.random.default_rng(0).permutation(values)) == pytest.approx([25, 975])
    assert percentile(np.full(3, np.nan)) is None
    assert percentile(np.array([np.nan, 0.25, 0.25])) is None  # they agree, which is no certainty


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


def test_what_rests_on_one_patient_has_no_interval_but_the_exact_one():
    """Three images of the one PNEUMONIA patient: resamples of others cannot tell how the next one would differ."""
    labels = np.repeat([0, 1], [60, 3])
    names, patients = np.arange(63).astype(str), np.array([*map(str, range(60)), *["ill"] * 3])
    scores = np.concatenate([np.linspace(0, 0.6, 60), [0.4, 0.7, 0.8]])
    table = Predictions(names, patients, np.where(labels, "virus", "normal"), labels, scores)

    def limits(threshold):
        found = figures(labels, scores, threshold)
        point = found | {"sensitivity:virus": found["sensitivity"]}
        return intervals(table, threshold, point, 100, seed=0)[0]

    found = limits(0.5)
    without = {name for name, interval in found.items() if interval is None}
    assert without == {*("auroc", "average_precision", "balanced_accuracy", "f1", "sensitivity", "sensitivity:virus")}
    assert found["specificity"][0] < found["specificity"][1]
    found = limits(0.3)
    assert found["sensitivity"] == found["sensitivity:virus"] == pytest.approx([0.025, 1.0])


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
    assert found["auroc"] == found["sensitivity"]
    assert found["average_precision"] is None
    edge = 0.025 ** (1 / 30)
    assert found["balanced_accuracy"] == pytest.approx([edge, 1.0])
    assert found["f1"] == pytest.approx([2 * edge / (edge + (1 - edge) + 1), 1.0])  # at half the images PNEUMONIA
    assert without_errors(0.0, 30, [0.0, 0.0]) == pytest.approx([0.0, 1 - 0.025 ** (1 / 30)])
    assert without_errors(0.5, 30, [0.4, 0.6]) == [0.4, 0.6]
    assert without_errors(1.0, 0, [1.0, 1.0]) == [1.0, 1.0]
    assert without_errors(1.0, 1, None) == pytest.approx([0.025, 1.0])
    assert without_errors(None, 5, None) is None


@pytest.mark.parametrize("right", [True, False])
def test_each_proportion_counts_the_patients_it_is_about(right):
    """Two images a patient: 6 bacteria, 14 virus and 30 normal patients, all called rightly, or all wrongly."""
    kinds = np.repeat(["bacteria", "virus", "normal"], [12, 28, 60])
    labels = (kinds != "normal").astype(int)
    names, patients = np.array([f"{i}" for i in range(100)]), np.array([f"{i // 2}" for i in range(100)])
    table = Predictions(names, patients, kinds, labels, np.where(labels == right, 0.9, 0.1))
    point = figures(labels, table.probabilities, THRESHOLD)
    point |= dict.fromkeys(("sensitivity:bacteria", "sensitivity:virus"), point["sensitivity"])
    found, _ = intervals(table, THRESHOLD, point, 50, seed=0)
    called = 20 if right else 30  # patients who have an image that is called PNEUMONIA
    among = {"accuracy": 50, "sensitivity": 20, "specificity": 30, "precision": called, "npv": 50 - called}
    for name, patients in (among | {"sensitivity:bacteria": 6, "sensitivity:virus": 14}).items():
        edge = 0.025 ** (1 / patients)
        assert found[name] == pytest.approx([edge, 1.0] if right else [0.0, 1 - edge]), name
    edge = 0.025 ** (1 / 20)  # of the smaller class: 20 pairs that share no patient
    assert found["auroc"] == pytest.approx([edge, 1.0] if right else [0.0, 1 - edge])


@pytest.mark.parametrize("threshold", [0.0, 2.0])
def test_figures_of_one_answer_to_all_are_not_certain(threshold):
    """10 + 10 patients, all called one class: balanced accuracy is 0.5 in every resample, and known only roughly."""
    labels = np.repeat([0, 1], 10)
    names = np.arange(20).astype(str)
    scores = np.random.default_rng(0).random(20)
    table = Predictions(names, names, np.where(labels, "virus", "normal"), labels, scores)
    point = figures(labels, scores, threshold)
    found, _ = intervals(table, threshold, point, 200, seed=0)
    assert point["balanced_accuracy"] == 0.5
    edge = 0.025 ** (1 / 10)
    assert found["balanced_accuracy"] == pytest.approx([edge / 2, 1 - edge / 2])
    low, high = found["f1"]
    assert low <= point["f1"] <= high
    assert high - low > 0.1
    assert all(ends is None or ends[0] < ends[1] for ends in found.values())


def test_an_interval_is_widened_to_wilsons_and_never_narrowed():
    for right in (3, 11):
        exact = binomtest(right, 12).proportion_ci(method="wilson")
        assert at_least_wilson(right / 12, 12, [0.5, 0.5]) == pytest.approx([min(exact.low, 0.5), max(exact.high, 0.5)])
    assert at_least_wilson(0.9, 12, [0.1, 1.0]) == [0.1, 1.0]


def test_precision_without_false_alarms_counts_the_patients_called():
    """Three of eight pneumonias found and no false alarm: precision is 1 among three patients."""
    names = np.array([f"{i}" for i in range(14)])
    labels = np.repeat([1, 0], [8, 6])
    table = Predictions(names, names, np.where(labels, "virus", "normal"), labels, np.repeat([0.9, 0.1], [3, 11]))
    assert decisions(table.probabilities, THRESHOLD).sum() == 3
    found, _ = intervals(table, THRESHOLD, figures(labels, table.probabilities, THRESHOLD), 200, seed=0)
    assert found["precision"] == pytest.approx([0.025 ** (1 / 3), 1.0])
    assert 0 < found["sensitivity"][0] < 3 / 8 < found["sensitivity"][1] < 1


def test_a_figure_that_is_not_given_has_no_interval():
    found, _ = intervals(make(), THRESHOLD, {"accuracy": 0.8}, 50, seed=0)
    assert found.pop("accuracy") is not None
    assert len(found) > 10
    assert all(value is None for value in found.values())


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


def curves_by_hand(table, grid, resamples, seed):
    """Each resample's curve by itself, where it has both classes."""
    for times in np.concatenate(list(weights(table.patients, resamples, seed))).astype(int):
        rows = np.repeat(np.arange(len(table)), times)
        if len(np.unique(table.labels[rows])) == 2:
            scores = table.probabilities[rows]
            false_alarms, hits, _ = roc_curve(table.labels[rows], scores, drop_intermediate=False)
            yield np.interp(grid, false_alarms, hits)


@pytest.mark.parametrize("lowest", ["NORMAL", "PNEUMONIA"])
def test_the_roc_band_is_of_scikit_learns_curves(lowest):
    table = make(80, images_per_patient=2)
    if lowest == "PNEUMONIA":
        table = replace(table, probabilities=1 - table.probabilities)
    grid = np.array([0.001, 0.013, 0.09, 0.171, 0.31, 0.53, 0.77, 0.999])
    curves = list(curves_by_hand(table, grid, 130, seed=2))
    np.testing.assert_allclose(roc_band(table, grid, 130, seed=2), np.percentile(curves, [2.5, 97.5], axis=0))


@pytest.mark.parametrize("ends", [0, 1])
def test_a_resample_without_both_classes_is_left_out_of_the_roc_band(ends):
    names = np.array(list("abcdef"))
    labels = np.array([0, 1, 1, 1, 1, 0]) ^ ends  # images of one class have the highest score and the lowest
    kinds = np.where(labels, "virus", "normal")
    table = Predictions(names, np.array(list("aabbcd")), kinds, labels, np.array([0.8, 0.7, 0.6, 0.4, 0.4, 0.1]))
    grid = np.array([0.05, 0.31, 0.77])
    curves = list(curves_by_hand(table, grid, 130, seed=2))
    assert 0 < len(curves) < 130
    np.testing.assert_allclose(roc_band(table, grid, 130, seed=2), np.percentile(curves, [2.5, 97.5], axis=0))
