"""What a model could be reading besides lungs: how well it does with parts of the image taken away.

The lung fields are a fixed box, not a segmentation: on frontal chest X-rays in this data set's framing it holds both
lungs and the heart, and it takes some chest wall with them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pipeline.evaluation.occlusion import Predict
from pipeline.evaluation.predictions import Predictions
from pipeline.evaluation.scoring import score

Images = npt.NDArray[np.uint8]

LUNGS = (0.15, 0.85, 0.10, 0.90)
"""Top, bottom, left and right of the box, as parts of the image's side."""
BORDER = 0.10
"""Width of the border that is left, as a part of the image's side."""
MARKER_CONTRAST = 60
"""Grey levels by which a letter stands out of its surroundings."""
MARKER_AREA = 0.01
"""Largest letter, as a part of the image."""


def without_lungs(images: Images) -> Images:
    """The images with the box of the lung fields black, uint8 [n, S, S, 1]."""
    changed = images.copy()
    changed[_box(images.shape[1])] = 0
    return changed


def only_lungs(images: Images) -> Images:
    """The images with all but the box of the lung fields black."""
    changed = np.zeros_like(images)
    box = _box(images.shape[1])
    changed[box] = images[box]
    return changed


def only_border(images: Images) -> Images:
    """The images with all but a border black."""
    edge = max(1, round(BORDER * images.shape[1]))
    changed = images.copy()
    changed[:, edge:-edge, edge:-edge] = 0
    return changed


def without_markers(images: Images) -> Images:
    """The images with letters and markers painted over from around them.

    A marker is a small spot, much brighter than its surroundings, that touches the outer fifth of the image. Bright
    ends of bones may be painted over with it.
    """
    size = images.shape[1]
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (max(3, size // 12) | 1,) * 2)
    edge = size // 5
    changed = images.copy()
    for image in changed:
        tall = cv2.morphologyEx(image[..., 0], cv2.MORPH_TOPHAT, kernel) > MARKER_CONTRAST
        count, place, stats, _ = cv2.connectedComponentsWithStats(tall.astype(np.uint8), connectivity=8)
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


def exposure_features(images: Images) -> npt.NDArray[np.float64]:
    """What is known of images without looking at anatomy, float64 [n, 11].

    Mean, deviation, the 1st, 5th, 25th, 50th, 75th, 95th and 99th percentile of grey, the mean of the border, and
    sharpness (logarithm of the variance of the Laplacian).
    """
    edge = max(1, round(BORDER * images.shape[1]))
    frame = np.ones(images.shape[1:3], bool)
    frame[edge:-edge, edge:-edge] = False
    rows = []
    for image in images[..., 0]:
        sharpness = np.log1p(float(cv2.Laplacian(image, cv2.CV_64F).var()))
        parts = np.percentile(image, (1, 5, 25, 50, 75, 95, 99))
        rows.append([image.mean(), image.std(), *parts, image[frame].mean(), sharpness])
    return np.asarray(rows, dtype=np.float64)


CHANGES: tuple[tuple[str, Callable[[Images], Images]], ...] = (
    ("the whole image", lambda images: images),
    ("letters and markers painted over", without_markers),
    ("only the lung fields", only_lungs),
    ("lung fields blacked out", without_lungs),
    ("only the border", only_border),
)


def audit(
    predict: Predict,
    images: Images,
    table: Predictions,
    threshold: float,
    *,
    split: str,
    train: tuple[Images, npt.NDArray[np.int64]] | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """Score a model on images with parts taken away, and a classifier that knows exposure alone.

    What the model makes of a mutilated image is what this model reads, not all that can be read: a model trained on
    borders alone may do better on them.

    Args:
        predict: uint8 [n, S, S, 1] to P(PNEUMONIA) [n].
        images: uint8 [n, S, S, 1] of one split; validation, since choices may follow from what is found.
        table: who and what they are, row by row.
        threshold: of the operating point.
        split: its name, for the record.
        train: images and labels to fit the exposure classifier on; without them it is left out.
        resamples: of the bootstrap over patients.
        seed: of the bootstrap.

    Returns:
        `split` and `rows`, each with `name`, `auroc`, its `interval`, `sensitivity` and `specificity`, as the report
        reads them.
    """
    rows = []
    for name, change in CHANGES:
        seen = table.with_probabilities(np.clip(predict(change(images)).astype(np.float64), 0, 1))
        rows.append(_row(name, seen, threshold, resamples, seed))
    if train is not None:
        classifier = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=1000))
        classifier.fit(exposure_features(train[0]), train[1])
        said = classifier.predict_proba(exposure_features(images))[:, 1]
        rows.append(
            _row(
                "exposure and sharpness alone (logistic regression)",
                table.with_probabilities(said),
                0.5,
                resamples,
                seed,
            )
        )
    return {"split": split, "rows": rows}


def _row(name: str, table: Predictions, threshold: float, resamples: int, seed: int) -> dict[str, Any]:
    found = score(table, threshold, seed, resamples)
    kept = {figure: found[figure] for figure in ("auroc", "sensitivity", "specificity")}
    return {"name": name, **kept, "interval": found["intervals"]["auroc"]}


def _box(size: int) -> tuple[slice, slice, slice]:
    top, bottom, left, right = (round(part * size) for part in LUNGS)
    return slice(None), slice(top, bottom), slice(left, right)
