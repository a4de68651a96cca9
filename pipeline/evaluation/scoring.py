"""From predictions to the content of `metrics.json`: choose on validation, then score every split by that choice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.evaluation.calibration import (
    expected_calibration_error,
    fit_temperature,
    fit_temperature_and_bias,
    logits,
    negative_log_likelihood,
    probabilities_at,
)
from pipeline.evaluation.intervals import LEVEL, intervals, predictive_intervals
from pipeline.evaluation.metrics import PREVALENCES, by_subtype, figures, predictive_values
from pipeline.evaluation.operating_point import OperatingPoint, choose
from pipeline.evaluation.predictions import Predictions, as_written
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.files import JSON_SHAPE_ERRORS

CHOSEN_ON = "validation"


@dataclass(frozen=True)
class Choice:
    """All that is decided after training: decided from validation, then applied to every split unchanged."""

    temperature: float
    """What the logits are divided by."""
    operating_point: OperatingPoint
    """Its threshold is for probabilities after the temperature."""
    calibration: dict[str, float]
    """Negative log-likelihood (nats) and ECE on validation before and after."""
    bias: float = 0.0
    """What is added to the logits after that; 0 for temperature scaling alone."""


def decide(validation: Predictions, rule: str, *, with_bias: bool = False, views: Predictions | None = None) -> Choice:
    """Fit the temperature (and bias, if wanted) and choose the threshold. No other split can be seen from here.

    Args:
        validation: with the network's own probabilities (temperature 1).
        rule: see `pipeline.evaluation.operating_point.Rule.parse`.
        with_bias: fit a bias as well, for networks trained as if both classes were equally common.
        views: what the threshold is chosen on, such as the validation images seen through several changes (with the
            network's own probabilities); the validation images as they are if None. Calibration is always for these.

    Raises:
        InputError: validation has one class, or cannot satisfy the rule.
    """
    if len(np.unique(validation.labels)) < 2:
        raise InputError("the validation split has images of one class only; calibration and threshold need both")
    scores = logits(validation.probabilities)
    if with_bias:
        temperature, bias = fit_temperature_and_bias(validation.labels, scores)
    else:
        temperature, bias = fit_temperature(validation.labels, scores), 0.0
    after = as_written(probabilities_at(scores, temperature, bias))
    seen = validation if views is None else views
    seen_after = as_written(probabilities_at(logits(seen.probabilities), temperature, bias))
    return Choice(
        temperature=temperature,
        bias=bias,
        operating_point=choose(seen.labels, seen_after, rule, CHOSEN_ON),
        calibration={
            "log_loss_before": negative_log_likelihood(validation.labels, scores),
            "log_loss_after": negative_log_likelihood(validation.labels, scores, temperature, bias),
            "ece_before": expected_calibration_error(validation.labels, validation.probabilities),
            "ece_after": expected_calibration_error(validation.labels, after),
        },
    )


def choice_from_json(metrics: Mapping[str, Any]) -> Choice:
    """The choice that `metrics.json` records, to score more images with it unchanged.

    Raises:
        InputError: the record is not one of ours, or is of a choice made on another split than validation.
    """
    try:
        point = OperatingPoint(**metrics["operating_point"])
        calibration = {name: value for name, value in metrics["calibration"].items() if name != "fitted_on"}
        choice = Choice(float(metrics["temperature"]), point, calibration, float(metrics.get("bias", 0.0)))
        if not (0 <= point.threshold <= 1 and 0 < choice.temperature < np.inf and np.isfinite(choice.bias)):
            raise ValueError(f"threshold {point.threshold}, temperature {choice.temperature}, bias {choice.bias}")
    except JSON_SHAPE_ERRORS as error:
        raise InputError(
            f"metrics.json lacks a full operating point or temperature ({error}); evaluate again"
        ) from error
    if point.chosen_on != CHOSEN_ON:
        raise InputError(f"metrics.json has an operating point chosen on {point.chosen_on}, not on {CHOSEN_ON}")
    return choice


def calibrated(table: Predictions, temperature: float, bias: float = 0.0) -> Predictions:
    """The same images with sigmoid(logit / temperature + bias), to the 9 digits that `predictions.csv` has."""
    return table.with_probabilities(as_written(probabilities_at(logits(table.probabilities), temperature, bias)))


def score(table: Predictions, threshold: float, seed: int, resamples: int) -> dict[str, Any]:
    """The figures of one split at a threshold that is given, their intervals, and what hangs on them.

    Returns:
        The figures of `pipeline.evaluation.metrics.figures`, `patients`, `intervals` (figure to [low, high] or None),
        `by_subtype` (kind to `n`, `sensitivity`, `interval`) and `predictive_values` (for each prevalence `precision`,
        `npv` and their `intervals`).
    """
    found = figures(table.labels, table.probabilities, threshold)
    kinds = by_subtype(table.labels, table.probabilities, table.subtypes, threshold)
    point = found | {f"sensitivity:{kind}": entry["sensitivity"] for kind, entry in kinds.items()}
    limits, values = intervals(table, threshold, point, resamples, seed)
    for kind, entry in kinds.items():
        entry["interval"] = limits.pop(f"sensitivity:{kind}")
    elsewhere = []
    if found["sensitivity"] is not None and found["specificity"] is not None:
        both = np.array(found["sensitivity"]), np.array(found["specificity"])
        for prevalence in PREVALENCES:
            precision, npv = (
                None if np.isnan(value) else float(value) for value in predictive_values(*both, prevalence)
            )
            limit = dict(zip(("precision", "npv"), predictive_intervals(values, prevalence), strict=True))
            elsewhere.append({"prevalence": prevalence, "precision": precision, "npv": npv, "intervals": limit})
    return {
        **found,
        "patients": len(np.unique(table.patients)),
        "intervals": limits,
        "by_subtype": kinds,
        "predictive_values": elsewhere,
    }


def score_splits(tables: Mapping[str, Predictions], choice: Choice, seed: int, resamples: int) -> dict[str, Any]:
    """The content of `metrics.json` for tables whose probabilities already have the temperature in them.

    `pipeline.evaluate` uses it to score a saved model with the choice it was saved with.
    """
    if resamples < 1:
        raise InputError(f"the number of bootstrap resamples must be 1 or more, not {resamples}")
    point = choice.operating_point
    return {
        "splits": {split: score(table, point.threshold, seed, resamples) for split, table in tables.items()},
        "operating_point": point.as_json(),
        "temperature": choice.temperature,
        "bias": choice.bias,
        "calibration": {"fitted_on": CHOSEN_ON, **choice.calibration},
        "bootstrap": {"resamples": resamples, "seed": seed, "level": LEVEL, "unit": "patient", "method": "percentile"},
    }


def evaluate_splits(
    predictions: Mapping[str, Predictions], rule: str, seed: int, resamples: int, *, with_bias: bool = False
) -> dict[str, Any]:
    """Decide on `validation`, then score every split: the content of `metrics.json`, all but what it says of the data.

    Args:
        predictions: split to its table, with the network's own probabilities (temperature 1).
        rule: see `pipeline.evaluation.operating_point.Rule.parse`.
        seed: of the bootstrap.
        resamples: of the bootstrap; 2,000 for a report.
        with_bias: see `decide`.

    Raises:
        InputError: there is no validation split, or it cannot satisfy the rule.
    """
    if CHOSEN_ON not in predictions:
        raise InputError(
            f"the operating point is chosen on validation, but there are predictions only for {list(predictions)}"
        )
    choice = decide(predictions[CHOSEN_ON], rule, with_bias=with_bias)
    tables = {split: calibrated(table, choice.temperature, choice.bias) for split, table in predictions.items()}
    return score_splits(tables, choice, seed, resamples)
