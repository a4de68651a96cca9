"""Shortcut audit: figures with parts of the image removed, to find out what a model reads besides lungs.

The lung fields are a fixed box, not a segmentation. On frontal chest X-rays in this data set's framing it contains both
lungs and the heart, and some of the chest wall. A box is the same for both classes, so that its outline tells nothing;
the outline of lungs that are found in the image would.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import cv2
import numpy as np
from scipy.stats import rankdata
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pipeline.evaluation.intervals import fewest_patients, percentile, ranking_figures, weights
from pipeline.evaluation.predictions import Floats, Images, Labels, Mask, Predictions
from pipeline.evaluation.scoring import score_split

LUNGS = (0.15, 0.85, 0.10, 0.90)
"""Top, bottom, left and right of the box, as fractions of the image side."""
BORDER = 0.10
"""Width of the border that is kept, as a fraction of the image side."""
MARKER_CONTRAST = 60
"""Grey levels by which a letter is brighter than its surroundings."""
MARKER_AREA = 0.01
"""Area of the largest letter, as a fraction of the image."""


def without_markers(images: Images) -> Images:
    """Return the images with letters and markers inpainted from their surroundings.

    A marker is a small spot, much brighter than its surroundings, that touches the outer fifth of the image. Bright
    ends of bones may be painted over as well.
    """
    size = images.shape[1]
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (max(3, size // 12) | 1,) * 2)
    edge = size // 5
    changed = images.copy()
    for image in changed:
        bright = cv2.morphologyEx(image[..., 0], cv2.MORPH_TOPHAT, kernel) > MARKER_CONTRAST
        count, place, stats, _ = cv2.connectedComponentsWithStats(bright.astype(np.uint8), connectivity=8)
        mask = np.zeros((size, size), np.uint8)
        for spot in range(1, count):
            left, top, width, height, area = (int(value) for value in stats[spot])
            outside = min(left, top) < edge or max(left + width, top + height) > size - edge
            if outside and 4 <= area <= MARKER_AREA * size * size:
                mask[place == spot] = 255
        if mask.any():
            mask = cv2.dilate(mask, np.ones((3, 3), np.uint8), iterations=max(1, size // 112))
            image[..., 0] = cv2.inpaint(image[..., 0], mask, 3, cv2.INPAINT_TELEA)
    return changed


def exposure_features(images: Images) -> Floats:
    """Compute features of images that know nothing of anatomy, float64 [n, 11].

    Mean, deviation, the 1st, 5th, 25th, 50th, 75th, 95th and 99th percentile of grey, the mean of the border, and
    sharpness (logarithm of the variance of the Laplacian).
    """
    border = _border(images.shape[1])[..., 0]
    rows = []
    for image in images[..., 0]:
        sharpness = np.log1p(float(cv2.Laplacian(image, cv2.CV_64F).var()))
        percentiles = np.percentile(image, (1, 5, 25, 50, 75, 95, 99))
        rows.append([image.mean(), image.std(), *percentiles, image[border].mean(), sharpness])
    return np.asarray(rows, dtype=np.float64)


WHOLE = "the whole image"
BLACKED = "lung fields blacked out"
CHANGES: dict[str, Callable[[Images], Images]] = {
    "letters and markers painted over": without_markers,
    "only the lung fields": lambda images: images * _lungs(images.shape[1]),
    BLACKED: lambda images: images * ~_lungs(images.shape[1]),
    "only the border": lambda images: images * _border(images.shape[1]),
}
"""Each change of images uint8 [n, S, S, 1], by the name of its row in the report."""
EXPOSURE = "exposure and sharpness alone (logistic regression)"
"""The row of the classifier that knows exposure alone."""
SIZES: dict[str, Callable[[Floats], Floats]] = {
    "width / height of the file alone": lambda sizes: sizes[:, 0] / sizes[:, 1],
    "width x height of the file alone": lambda sizes: sizes[:, 0] * sizes[:, 1],
}
"""What ranks images by nothing but the width and height [n, 2] of their files."""
WITHOUT_LUNGS = (BLACKED, "only the border", EXPOSURE, *SIZES)
"""The rows whose figures do not come from the lungs."""


def shortcut_audit(
    table: Predictions,
    answers: Mapping[str, Floats],
    images: Images,
    threshold: float,
    *,
    split: str,
    train: tuple[Images, Labels] | None = None,
    sizes: Floats | None = None,
    resamples: int,
    seed: int = 0,
) -> dict[str, Any]:
    """Score a model on images with parts removed or swapped, and classifiers that know exposure or size alone.

    The figures on such an image say what this model reads, not all that can be read: a model trained on borders alone
    may do better on them.

    Args:
        table: the predictions for images of one split; validation, because decisions may follow from the result.
        answers: P(PNEUMONIA) [n] of the same images through each change, by its name.
        images: uint8 [n, S, S, 1], as they are.
        threshold: of the operating point.
        split: its name, for the record.
        train: images and labels to fit the exposure classifier on; without images of both classes it is left out.
        sizes: width and height of the files [n, 2], NaN where they are not known. An AUROC is 0.5 or more: whether
            larger means PNEUMONIA is taken from these images.
        resamples: of the bootstrap over patients.
        seed: of the bootstrap.

    Returns:
        `split`, `images` (their number) and `rows`, each with `name`, `auroc`, its `interval`, `sensitivity` and
        `specificity`.
    """
    tables = {WHOLE: table, **{name: table.with_probabilities(np.clip(p, 0, 1)) for name, p in answers.items()}}
    if train is not None and len(np.unique(train[1])) == 2:
        classifier = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=1000))
        classifier.fit(exposure_features(train[0]), train[1])
        tables[EXPOSURE] = table.with_probabilities(classifier.predict_proba(exposure_features(images))[:, 1])
    sizes = np.full((len(table), 2), np.nan) if sizes is None else sizes
    known = np.flatnonzero(np.isfinite(sizes).all(axis=1))
    if len(np.unique(table.labels[known])) == 2:
        some = table.take(known)
        for name, measure in SIZES.items():
            larger, smaller = (rankdata(sign * measure(sizes[known])) / len(some) for sign in (1, -1))
            better = max(larger, smaller, key=lambda ranks: float(ranks[some.labels == 1].mean()))
            tables[name] = some.with_probabilities(better)
    rows = []
    for name, changed in tables.items():
        figures = score_split(changed, 0.5 if name == EXPOSURE else threshold, seed, resamples)
        at_threshold = () if name in SIZES else ("sensitivity", "specificity")
        kept = {figure: figures[figure] for figure in ("auroc", *at_threshold)}
        rows.append(
            {"name": name, "sensitivity": None, "specificity": None, **kept, "interval": figures["intervals"]["auroc"]}
        )
    return {"split": split, "images": len(table), "rows": rows}


def reliance(table: Predictions, blacked_out: Floats, resamples: int, seed: int) -> dict[str, Any]:
    """Compute how much of a model's ranking is left without the lungs: its reliance on what is not lungs.

    It is (AUROC with the lung fields blacked out - 0.5) / (AUROC - 0.5), a ratio of two Gini coefficients: 0 if nothing
    is left, 1 if everything is, below 0 if the ranking is turned round. Blacking out the lungs to see what else tells
    the classes apart is the test of Maguolo and Nanni (Information Fusion 76, 2021); the ratio is ours. A high figure
    proves a shortcut. A low one does not prove that there is none: a model may fail on black boxes for other reasons.

    Args:
        table: the predictions for the images as they are.
        blacked_out: P(PNEUMONIA) [n] of the same images with the lung fields blacked out.
        resamples: of the bootstrap over patients, paired: the same patients with and without lungs.
        seed: of the bootstrap.

    Returns:
        `images`, `auroc`, `auroc_without_lungs`, `left` (the ratio; None if the AUROC is no better than chance) and its
        95 % `interval` (None if `left` is, or a class is of one patient).
    """
    values = []
    for block in (np.ones((1, len(table))), *weights(table.patients, resamples, seed)):
        values.append([ranking_figures(table.labels, p, block)[0] for p in (table.probabilities, blacked_out)])
    whole, without = np.concatenate(values, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        left = np.where(whole > 0.5, (without - 0.5) / (whole - 0.5), np.nan)
    fewest = fewest_patients(table.labels, table.patients)
    return {
        "images": len(table),
        "auroc": float(whole[0]),
        "auroc_without_lungs": float(without[0]),
        "left": None if np.isnan(left[0]) else float(left[0]),
        "interval": None if np.isnan(left[0]) or fewest < 2 else percentile(left[1:]),
    }


def _lungs(size: int) -> Mask:
    """Return True inside the box of the lung fields, [size, size, 1]."""
    top, bottom, left, right = (round(part * size) for part in LUNGS)
    box = np.zeros((size, size, 1), bool)
    box[top:bottom, left:right] = True
    return box


def _border(size: int) -> Mask:
    """Return True on the border, [size, size, 1]."""
    edge = max(1, round(BORDER * size))
    border = np.ones((size, size, 1), bool)
    border[edge:-edge, edge:-edge] = False
    return border
