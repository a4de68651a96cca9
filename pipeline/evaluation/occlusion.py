"""Occlusion check of the heat maps: cover the peak, cover other places, and compare the change of P(PNEUMONIA)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.evaluation.calibration import logits
from pipeline.evaluation.intervals import percentile, weights
from pipeline.evaluation.predictions import Floats, Images, Names, Predict
from pneumo_tfds.program.progress import track

Corners = npt.NDArray[np.int64]
"""Row and column of the upper left corner of a square in each image, [n, 2]."""
FLOAT32_EDGE = 1e-7
"""Closest to 0 or 1 that a float32 sigmoid can distinguish."""
SIDE = 0.25
"""Side of the covering square, as a fraction of the image side."""
OTHER_PLACES = 8
"""Number of random places that are covered for comparison with the peak."""


def occlusion_check(
    predict: Predict,
    images: Images,
    heatmaps: npt.NDArray[np.float32],
    patients: Names,
    resamples: int,
    seed: int = 0,
) -> dict[str, Any]:
    """Compare covering the peak of each heat map with covering other places of the image.

    The cover is a square of the image's mean grey, as in the occlusion method of Zeiler and Fergus (ECCV 2014). The
    other places are drawn at random and do not overlap the peak's square. The peak wins an image if covering it lowers
    the log-odds of P more than covering elsewhere does on average; log-odds, because a P near 1 hardly changes
    whatever is covered. The network has never seen a grey square, so a drop may partly be due to that. This holds for
    every place, which is why only the difference is interpreted.

    Args:
        predict: the model.
        images: uint8 [n, S, S, 1], one or more, all called PNEUMONIA: the check measures what such a decision rests on.
        heatmaps: float32 [n, h, w], larger where the image spoke more for PNEUMONIA.
        patients: [n], for the interval.
        resamples: of the bootstrap over patients.
        seed: of the places and the bootstrap.

    Returns:
        `images`, `side`, `drop_at_peak`, `drop_elsewhere` (means of P before minus P after, in probability), their
        `difference` with its 95 % `interval` (None if all resamples agree), `log_odds_difference` with its
        `log_odds_interval` (the same in logits), and `peak_wins`, the fraction of images that the peak wins.
    """
    size = images.shape[1]
    square = max(1, round(SIDE * size))
    peaks = _corners(heatmaps, size, square)
    generator = np.random.default_rng(seed)
    before = _with_log_odds(predict(images))
    at_peak = before - _with_log_odds(predict(_covered(images, peaks, square)))
    elsewhere = np.zeros_like(before)
    for _ in track(range(OTHER_PLACES), "Covering parts of images"):
        covered = _covered(images, _clear_of(peaks, size, square, generator), square)
        elsewhere += (before - _with_log_odds(predict(covered))) / OTHER_PLACES
    gain = at_peak - elsewhere
    blocks = [gain @ block.T / block.sum(axis=1) for block in weights(patients, resamples, seed)]
    means = np.concatenate(blocks, axis=1)
    interval, log_odds_interval = map(percentile, means) if len(np.unique(patients)) > 1 else (None, None)
    return {
        "images": len(images),
        "side": SIDE,
        "drop_at_peak": float(at_peak[0].mean()),
        "drop_elsewhere": float(elsewhere[0].mean()),
        "difference": float(gain[0].mean()),
        "interval": interval,
        "log_odds_difference": float(gain[1].mean()),
        "log_odds_interval": log_odds_interval,
        "peak_wins": float((gain[1] > 0).mean()),
    }


def _with_log_odds(probabilities: Floats) -> Floats:
    """Return probabilities and their log-odds, [2, n]; the log-odds are limited to the range of a float32 sigmoid."""
    p = np.asarray(probabilities, dtype=np.float64)
    return np.stack([p, logits(np.clip(p, FLOAT32_EDGE, 1 - FLOAT32_EDGE))])


def _corners(heatmaps: npt.NDArray[np.float32], size: int, square: int) -> Corners:
    """Return the corners of the squares around each peak, moved inside the image."""
    peak = np.stack(np.unravel_index(heatmaps.reshape(len(heatmaps), -1).argmax(axis=1), heatmaps.shape[1:]), axis=1)
    centre = (peak + 0.5) * size / np.array(heatmaps.shape[1:])
    corners: Corners = np.clip(np.round(centre - square / 2), 0, size - square).astype(np.int64)
    return corners


def _clear_of(peaks: Corners, size: int, square: int, generator: np.random.Generator) -> Corners:
    """Draw a corner for each image whose square does not overlap that of its peak."""
    corners, waiting = np.empty_like(peaks), np.arange(len(peaks))
    while len(waiting):
        corners[waiting] = generator.integers(0, size - square + 1, size=(len(waiting), 2))
        overlap = (np.abs(corners[waiting] - peaks[waiting]) < square).all(axis=1)
        waiting = waiting[overlap]
    return corners


def _covered(images: Images, corners: Corners, square: int) -> Images:
    covered = images.copy()
    for image, (row, column) in zip(covered, corners, strict=True):
        image[row : row + square, column : column + square] = round(float(image.mean()))
    return covered
