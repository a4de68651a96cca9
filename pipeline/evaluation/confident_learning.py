"""Confident learning: which labels are probably wrong, from out-of-fold probabilities.

Northcutt, Jiang and Chuang, "Confident Learning: Estimating Uncertainty in Dataset Labels", JAIR 70 (2021): the
confident joint, and pruning by noise rate. How many labels are suspected follows from the probabilities alone.
"""

from __future__ import annotations

import numpy as np

from pipeline.evaluation.predictions import CLASSES, Floats, Labels, Predictions


def confident_joint(labels: Labels, probabilities: Floats) -> Floats:
    """Estimate how many images of each label (rows) are truly of each class (columns), `[classes, classes]`.

    An image counts for a class if its probability of it, `[n, classes]`, is at least the mean over the images so
    labelled; for the more probable one if for both. Rows are scaled to the number of images of each label.
    """
    classes = range(len(CLASSES))
    means = np.array([probabilities[labels == label, label].mean() for label in classes])
    eligible = np.where(probabilities >= means, probabilities, -1.0)
    likely, confident = eligible.argmax(axis=1), eligible.max(axis=1) >= 0
    counts = np.array([[np.sum(confident & (labels == i) & (likely == j)) for j in classes] for i in classes])
    sizes = np.bincount(labels, minlength=len(CLASSES))
    return np.asarray(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1) * sizes[:, None])


def suspects(table: Predictions) -> np.ndarray:
    """Return the rows of the images whose label is probably wrong, most suspicious first.

    Of each label as many images are suspected as the confident joint says to be of the other class: those with the
    lowest probability of their label, as long as it is below one half.
    """
    both = np.stack([1 - table.probabilities, table.probabilities], axis=1)
    joint = confident_joint(table.labels, both)
    of_label = both[np.arange(len(table)), table.labels]
    found = []
    for label in range(len(CLASSES)):
        rows = np.flatnonzero(table.labels == label)
        wrong = round(float(joint[label].sum() - joint[label, label]))
        first = rows[np.argsort(of_label[rows], kind="stable")[:wrong]]
        found.append(first[of_label[first] < 0.5])
    rows = np.concatenate(found)
    return np.asarray(rows[np.argsort(of_label[rows], kind="stable")])
