"""Shortcut audit: figures with parts of the image removed, to find out what a model reads besides lungs.

The lung fields are a fixed box, not a segmentation. On frontal chest X-rays in this data set's framing it contains both
lungs and the heart, and some of the chest wall.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pipeline.evaluation.predictions import Floats, Images, Labels, Mask, Predict, Predictions
from pipeline.evaluation.scoring import score_split
from pneumo_tfds.program.progress import track

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


CHANGES: dict[str, Callable[[Images], Images]] = {
    "the whole image": lambda images: images,
    "letters and markers painted over": without_markers,
    "only the lung fields": lambda images: images * _lungs(images.shape[1]),
    "lung fields blacked out": lambda images: images * ~_lungs(images.shape[1]),
    "only the border": lambda images: images * _border(images.shape[1]),
}
"""Each change of images uint8 [n, S, S, 1], by the name of its row in the report."""
EXPOSURE = "exposure and sharpness alone (logistic regression)"
"""The row of the classifier that knows exposure alone."""
WITHOUT_LUNGS = ("lung fields blacked out", "only the border", EXPOSURE)
"""The rows whose figures do not come from the lungs."""


def shortcut_audit(
    predict: Predict,
    images: Images,
    table: Predictions,
    threshold: float,
    *,
    split: str,
    train: tuple[Images, Labels] | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """Score a model on images with parts removed, and a classifier that knows exposure alone.

    The figures on such an image say what this model reads, not all that can be read: a model trained on borders alone
    may do better on them.

    Args:
        predict: a function from uint8 [n, S, S, 1] to P(PNEUMONIA) [n].
        images: uint8 [n, S, S, 1] of one split; validation, because decisions may follow from the result.
        table: the predictions on them, row by row.
        threshold: of the operating point.
        split: its name, for the record.
        train: images and labels to fit the exposure classifier on; without them it is left out.
        resamples: of the bootstrap over patients.
        seed: of the bootstrap.

    Returns:
        `split`, `images` (their number) and `rows`, each with `name`, `auroc`, its `interval`, `sensitivity` and
        `specificity`.
    """
    tables = {
        name: (table.with_probabilities(np.clip(predict(change(images)).astype(np.float64), 0, 1)), threshold)
        for name, change in track(CHANGES.items(), "Looking for shortcuts")
    }
    if train is not None:
        classifier = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=1000))
        classifier.fit(exposure_features(train[0]), train[1])
        by_exposure = classifier.predict_proba(exposure_features(images))[:, 1]
        tables[EXPOSURE] = table.with_probabilities(by_exposure), 0.5
    rows = []
    for name, (changed, cut) in tables.items():
        figures = score_split(changed, cut, seed, resamples)
        kept = {figure: figures[figure] for figure in ("auroc", "sensitivity", "specificity")}
        rows.append({"name": name, **kept, "interval": figures["intervals"]["auroc"]})
    return {"split": split, "images": len(images), "rows": rows}


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
