"""Whether a probability means what it says: expected calibration error, and the one or two numbers that mend it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit, log_expit
from scipy.special import logit as log_odds

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]

MOST_BINS = 15
"""As many as Guo et al. (2017) use."""
LEAST_IN_BIN = 20
"""Fewer images in a bin measure chance, not calibration, so small splits get fewer bins."""
LARGEST_LOGIT = 36.0
"""Where a float64 sigmoid reaches 1; a probability of exactly 0 or 1 counts as this far out."""
TEMPERATURES = (0.1, 10.0)
"""The range searched; an end of it says that the scores carry no usable probability."""


def logits(probabilities: Floats) -> Floats:
    """The log-odds of probabilities in [0, 1], float64, cut at +-36 where they are 0 or 1."""
    odds: Floats = np.clip(log_odds(np.asarray(probabilities, dtype=np.float64)), -LARGEST_LOGIT, LARGEST_LOGIT)
    return odds


def probabilities_at(scores: Floats, temperature: float, bias: float = 0.0) -> Floats:
    """sigmoid(scores / temperature + bias), float64; `scores` are logits of any shape."""
    scaled: Floats = expit(np.asarray(scores, dtype=np.float64) / temperature + bias)
    return scaled


def negative_log_likelihood(
    labels: Labels | Floats, scores: Floats, temperature: float = 1.0, bias: float = 0.0
) -> float:
    """Mean cross-entropy in nats of labels (or soft targets, 0 to 1) [n] under sigmoid(scores / temperature + bias)."""
    scaled = np.asarray(scores, dtype=np.float64) / temperature + bias
    return float(-np.mean(labels * log_expit(scaled) + (1 - labels) * log_expit(-scaled)))


def fit_temperature(labels: Labels, scores: Floats) -> float:
    """The temperature at which sigmoid(scores / T) is most likely, within `TEMPERATURES`.

    Temperature scaling is by Guo et al., On Calibration of Modern Neural Networks, ICML 2017. The targets are Platt's
    (1999): (n1 + 1) / (n1 + 2) for the n1 positives and 1 / (n0 + 2) for the negatives, because with the labels
    themselves perfectly separated scores would ask for T = 0, which is certainty. The ranking of images, and with it
    AUROC, stays as it is.

    Args:
        labels: int64 [n], 1 PNEUMONIA.
        scores: float [n], logits.
    """
    targets = _targets(labels)
    low, high = np.log(TEMPERATURES)
    best = minimize_scalar(
        lambda log_temperature: negative_log_likelihood(targets, scores, float(np.exp(log_temperature))),
        bounds=(low, high),
        method="bounded",
        options={"xatol": 1e-6},
    )
    return float(np.exp(best.x))


def fit_temperature_and_bias(labels: Labels, scores: Floats) -> tuple[float, float]:
    """The temperature and bias at which sigmoid(scores / T + bias) is most likely: Platt scaling (1999), with T over 0.

    The bias mends what a temperature cannot: a network trained with class weights, as if both classes were equally
    common, says PNEUMONIA too rarely by about the logarithm of the odds. Arguments as for `fit_temperature`.
    """
    targets = _targets(labels)

    def loss(point: Floats) -> tuple[float, Floats]:
        inverse, bias = float(np.exp(-point[0])), float(point[1])
        error = expit(scores * inverse + bias) - targets
        slopes = np.array([-np.mean(error * scores) * inverse, np.mean(error)])
        return negative_log_likelihood(targets, scores, 1 / inverse, bias), slopes

    start = np.array([np.log(fit_temperature(labels, scores)), 0.0])
    bounds = (tuple(np.log(TEMPERATURES)), (-LARGEST_LOGIT, LARGEST_LOGIT))
    best = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds)
    return float(np.exp(best.x[0])), float(best.x[1])


def bins(probabilities: Floats) -> npt.NDArray[np.int64]:
    """The bin of each probability, int64 [n], from 0: equal numbers of images in each, equal probabilities together.

    At most `MOST_BINS`, at least one, with `LEAST_IN_BIN` images or more in each (fewer where equal probabilities lie
    across an edge). Bins of equal mass estimate ECE with less bias than bins of equal width (Nguyen and O'Connor,
    EMNLP 2015; Roelofs et al., AISTATS 2022).
    """
    wanted = int(np.clip(len(probabilities) // LEAST_IN_BIN, 1, MOST_BINS))
    ordered = np.sort(probabilities)
    starts = ordered[[round(k * len(ordered) / wanted) for k in range(1, wanted)]]
    place = np.searchsorted(np.unique(starts), probabilities, side="right")
    return np.unique(place, return_inverse=True)[1].astype(np.int64)


def reliability(labels: Labels, probabilities: Floats) -> tuple[Floats, Floats, npt.NDArray[np.int64]]:
    """For each bin: the mean probability, the fraction that is PNEUMONIA, and how many images, each [bins]."""
    place = bins(probabilities)
    counts = np.bincount(place)
    said = np.bincount(place, weights=probabilities) / counts
    seen = np.bincount(place, weights=labels) / counts
    return said, seen, counts


def expected_calibration_error(labels: Labels, probabilities: Floats) -> float:
    """ECE of P(PNEUMONIA), 0 to 1: mean over images of |fraction that is PNEUMONIA - mean probability| in their bin.

    Naeini, Cooper and Hauskrecht, AAAI 2015, for the positive class, with the bins of `bins`.
    """
    said, seen, counts = reliability(labels, probabilities)
    return float(np.sum(counts * np.abs(said - seen)) / counts.sum())


def _targets(labels: Labels) -> Floats:
    positives = int(np.sum(labels == 1))
    negatives = len(labels) - positives
    return np.where(labels == 1, (positives + 1) / (positives + 2), 1 / (negatives + 2))
