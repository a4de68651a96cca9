"""Calibration: expected calibration error (ECE), temperature scaling and Platt scaling.

scikit-learn's `CalibratedClassifierCV` fits the same numbers (a test compares them), but inside an estimator; here
they are two plain floats, because they become layers of the exported network.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit, log_expit
from scipy.special import logit as log_odds

from pipeline.evaluation.predictions import Floats, Labels

MOST_BINS = 15
"""Number of bins in Guo et al. (2017)."""
LEAST_IN_BIN = 20
"""Images. With fewer, a bin measures chance rather than calibration. Small splits therefore get fewer bins."""
LARGEST_LOGIT = 36.0
"""Where a float64 sigmoid reaches 1; a probability of exactly 0 or 1 counts as this far out."""
TEMPERATURES = (0.1, 10.0)
"""The range searched. A result at either end means that the scores carry no usable probability."""


def logits(probabilities: Floats) -> Floats:
    """Return the log-odds of probabilities in [0, 1] as float64, clipped to +-36."""
    odds: Floats = np.clip(log_odds(np.asarray(probabilities, dtype=np.float64)), -LARGEST_LOGIT, LARGEST_LOGIT)
    return odds


def probabilities_at(scores: Floats, temperature: float, bias: float = 0.0) -> Floats:
    """Return sigmoid(scores / temperature + bias) as float64; `scores` are logits of any shape."""
    scaled: Floats = expit(np.asarray(scores, dtype=np.float64) / temperature + bias)
    return scaled


def negative_log_likelihood(
    labels: Labels | Floats, scores: Floats, temperature: float = 1.0, bias: float = 0.0
) -> float:
    """Return the mean cross-entropy in nats of labels (or soft targets, 0 to 1) [n] under `probabilities_at`."""
    scaled = np.asarray(scores, dtype=np.float64) / temperature + bias
    return float(-np.mean(labels * log_expit(scaled) + (1 - labels) * log_expit(-scaled)))


def fit_temperature(labels: Labels, scores: Floats) -> float:
    """Fit the temperature T, within `TEMPERATURES`, that makes sigmoid(scores / T) most likely; scores are logits [n].

    Temperature scaling is by Guo et al., On Calibration of Modern Neural Networks, ICML 2017. The targets are Platt's
    (1999): (n1 + 1) / (n1 + 2) for the n1 positives and 1 / (n0 + 2) for the n0 negatives. With the labels themselves
    as targets, perfectly separated scores would get T = 0, which is certainty. The ranking of images, and with it
    AUROC, does not change.
    """
    targets = _platt_targets(labels)
    best = minimize_scalar(
        lambda log_temperature: negative_log_likelihood(targets, scores, float(np.exp(log_temperature))),
        bounds=tuple(np.log(TEMPERATURES)),
        method="bounded",
        options={"xatol": 1e-6},
    )
    return float(np.exp(best.x))


def fit_temperature_and_bias(labels: Labels, scores: Floats) -> tuple[float, float]:
    """Fit the temperature T > 0 and the bias that make sigmoid(scores / T + bias) most likely: Platt scaling (1999).

    The bias corrects what a temperature cannot. A network trained with class weights learns that both classes are
    equally common, so its log-odds of PNEUMONIA are off by about the logarithm of the odds.
    """
    targets = _platt_targets(labels)

    def loss(point: Floats) -> tuple[float, Floats]:
        inverse, bias = float(np.exp(-point[0])), float(point[1])
        error = expit(scores * inverse + bias) - targets
        gradient = np.array([-np.mean(error * scores) * inverse, np.mean(error)])
        return negative_log_likelihood(targets, scores, 1 / inverse, bias), gradient

    start = np.array([np.log(fit_temperature(labels, scores)), 0.0])
    bounds = (tuple(np.log(TEMPERATURES)), (-LARGEST_LOGIT, LARGEST_LOGIT))
    best = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds)
    return float(np.exp(best.x[0])), float(best.x[1])


def assign_bins(probabilities: Floats) -> npt.NDArray[np.int64]:
    """Return the bin of each probability, int64 [n] from 0, with equally many images in each bin.

    There are 1 to `MOST_BINS` bins of at least `LEAST_IN_BIN` images. Equal probabilities share a bin, so a bin may
    have fewer images where they lie across an edge. Bins of equal mass estimate ECE with less bias than bins of equal
    width (Nguyen and O'Connor, EMNLP 2015; Roelofs et al., AISTATS 2022).
    """
    bins = int(np.clip(len(probabilities) // LEAST_IN_BIN, 1, MOST_BINS))
    ordered = np.sort(probabilities)
    starts = ordered[[round(k * len(ordered) / bins) for k in range(1, bins)]]
    bin_of = np.searchsorted(np.unique(starts), probabilities, side="right")
    return np.unique(bin_of, return_inverse=True)[1].astype(np.int64)


def reliability(labels: Labels, probabilities: Floats) -> tuple[Floats, Floats, npt.NDArray[np.int64]]:
    """Return the mean probability, the fraction that is PNEUMONIA and the number of images of each bin, each [bins]."""
    bin_of = assign_bins(probabilities)
    counts = np.bincount(bin_of)
    predicted, observed = (np.bincount(bin_of, weights=values) / counts for values in (probabilities, labels))
    return predicted, observed, counts


def expected_calibration_error(labels: Labels, probabilities: Floats) -> float:
    """Return the ECE of P(PNEUMONIA), 0 to 1.

    This is the mean over images of |fraction that is PNEUMONIA - mean probability| of their bin (Naeini, Cooper and
    Hauskrecht, AAAI 2015, for the positive class), with the bins of `assign_bins`.
    """
    predicted, observed, counts = reliability(labels, probabilities)
    return float(np.sum(counts * np.abs(predicted - observed)) / counts.sum())


def _platt_targets(labels: Labels) -> Floats:
    positives = int(np.sum(labels == 1))
    negatives = len(labels) - positives
    return np.where(labels == 1, (positives + 1) / (positives + 2), 1 / (negatives + 2))
