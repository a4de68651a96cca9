"""Confident learning finds wrong labels, and no more of them than the probabilities say."""

import numpy as np
import pytest

from pipeline.evaluation.confident_learning import confident_joint, suspects
from pipeline.evaluation.predictions import Predictions


def table(labels, probabilities):
    names = np.array([f"{row}" for row in range(len(labels))])
    return Predictions(names, names, names, np.asarray(labels), np.asarray(probabilities, dtype=float))


def noisy(count=1000, share=0.03, shift=3.0):
    """Well separated images with a share of wrong labels; returns the table and the rows that are wrong."""
    generator = np.random.default_rng(0)
    truth = np.arange(count) % 3 > 0
    wrong = generator.choice(count, round(share * count), replace=False)
    labels = truth.astype(int)
    labels[wrong] = 1 - labels[wrong]
    return table(labels, 1 / (1 + np.exp(-generator.normal(np.where(truth, shift, -shift), 1.0)))), set(wrong.tolist())


def test_most_of_the_wrong_labels_are_found_and_few_others():
    found, wrong = noisy()
    rows = suspects(found).tolist()
    assert len(set(rows) & wrong) >= 0.9 * len(wrong)
    assert len(set(rows) & wrong) >= 0.9 * len(rows)


def test_of_right_labels_none_is_suspected_where_the_classes_are_apart():
    found, _ = noisy(share=0.0, shift=6.0)
    assert suspects(found).tolist() == []


def test_the_most_suspicious_comes_first():
    found, _ = noisy()
    rows = suspects(found)
    of_label = np.where(found.labels == 1, found.probabilities, 1 - found.probabilities)[rows]
    assert len(rows) > 2
    assert (np.diff(of_label) >= 0).all()
    assert of_label.max() < 0.5


def test_confident_joint_is_that_of_the_paper_on_a_small_example():
    """Means are 0.75 of NORMAL and 0.6 of PNEUMONIA: rows 0 to 2 and 3 to 5."""
    labels = np.array([0, 0, 0, 1, 1, 1])
    p = np.array([0.05, 0.05, 0.65, 0.9, 0.8, 0.1])
    joint = confident_joint(labels, np.stack([1 - p, p], axis=1))
    assert joint == pytest.approx(np.array([[2.0, 1.0], [1.0, 2.0]]))
