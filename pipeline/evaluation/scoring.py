"""From predictions to the content of `metrics.json`: decide on validation, then score every split."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
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
from pipeline.evaluation.doubt import Doubt, answer_figures, four_answers
from pipeline.evaluation.intervals import LEVEL, Interval, intervals, patients_by_class, percentile
from pipeline.evaluation.metrics import PREVALENCES, by_subtype, decisions, figures, predictive_values
from pipeline.evaluation.operating_point import OperatingPoint, choose_operating_point
from pipeline.evaluation.predictions import CLASSES, POSITIVE, Floats, Predictions, as_written
from pipeline.evaluation.subtypes import subtype_figures
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.files import JSON_SHAPE_ERRORS
from pneumo_tfds.program.progress import track
from pneumo_tfds.sources.identifiers import is_unknown

CHOSEN_ON = "validation"
HELD_OUT = "held_out"
"""The split of `--hold-out` and of a fold, on which nothing is chosen."""
OTHER_IMAGES = "other images"
"""What an operating point may be chosen on as well, after training: labelled images of another source."""

OF_BOTH_CLASSES = ("average_precision", "precision", "npv", "f1")
"""Figures that mean nothing where all images are of one class, beside those that are not defined then."""

EXTERNAL = "external"
"""Name of the split of a whole other source, in an evaluation on it."""


@dataclass(frozen=True)
class Decision:
    """Everything that is decided after training: on validation, then applied to every split unchanged."""

    temperature: float
    """The logits are divided by it."""
    operating_point: OperatingPoint
    """Its threshold applies to calibrated probabilities."""
    calibration: dict[str, float]
    """Negative log-likelihood (nats) and ECE on validation, before and after calibration."""
    bias: float = 0.0
    """It is added to the divided logits; 0 for temperature scaling alone."""
    doubt: Doubt | None = None
    """What makes an answer UNCERTAIN or UNSUITABLE; None for two answers, as in runs of earlier versions."""

    @property
    def refused_below(self) -> float | None:
        """The familiarity below which an image is UNSUITABLE; None if there is none."""
        return self.doubt.familiarity_threshold if self.doubt else None

    @classmethod
    def from_json(cls, metrics: Mapping[str, Any], path: Path) -> Decision:
        """Read the decision that `metrics.json` records, to score more images with it unchanged.

        Args:
            metrics: the content of the file.
            path: of the file, for messages.

        Raises:
            InputError: the record is not complete, is out of range, or was made on a split that no decision may see.
        """
        try:
            point = OperatingPoint(**metrics["operating_point"])
            calibration = {name: value for name, value in metrics["calibration"].items() if name != "fitted_on"}
            doubt = Doubt.from_json(metrics["doubt"]) if metrics.get("doubt") else None
            decision = cls(float(metrics["temperature"]), point, calibration, float(metrics.get("bias", 0.0)), doubt)
            if not (0 <= point.threshold <= 1 and 0 < decision.temperature < np.inf and np.isfinite(decision.bias)):
                found = f"threshold {point.threshold}, temperature {decision.temperature}, bias {decision.bias}"
                raise ValueError(found)
        except JSON_SHAPE_ERRORS as error:
            broken = f"{path} lacks a full operating point or temperature ({error})"
            raise InputError(f"{broken}; evaluate the run again") from error
        if point.chosen_on not in (CHOSEN_ON, OTHER_IMAGES):
            raise InputError(f"{path} has an operating point chosen on {point.chosen_on}, not on {CHOSEN_ON}")
        return decision


def by_interest(splits: Iterable[str]) -> list[str]:
    """Return splits in the order in which a reader wants them: first those that nothing was chosen on."""
    order = (EXTERNAL, "test", HELD_OUT, CHOSEN_ON)
    return sorted(splits, key=lambda name: (order.index(name) if name in order else len(order), name))


def decide(
    validation: Predictions, rule: str, *, with_bias: bool = False, views: Predictions | None = None
) -> Decision:
    """Fit the calibration and choose the threshold. The function sees no other split than validation.

    Args:
        validation: with the network's own probabilities (temperature 1).
        rule: see `pipeline.config.threshold_rule.Rule.parse`.
        with_bias: fit a bias as well, for networks trained as if both classes were equally common.
        views: the table on which the threshold is chosen, such as the validation images seen through several changes
            (with the network's own probabilities); None for the validation images as they are. Calibration is always
            fitted on the validation images as they are.

    Raises:
        InputError: validation has one class only, or cannot satisfy the rule.
    """
    if len(np.unique(validation.labels)) < 2:
        raise InputError("the validation split has images of one class only; calibration and threshold need both")
    scores = logits(validation.probabilities)
    if with_bias:
        temperature, bias = fit_temperature_and_bias(validation.labels, scores)
    else:
        temperature, bias = fit_temperature(validation.labels, scores), 0.0
    after, seen = _calibrated(validation, temperature, bias), _calibrated(views or validation, temperature, bias)
    return Decision(
        temperature=temperature,
        bias=bias,
        operating_point=choose_operating_point(seen.labels, seen.probabilities, rule, CHOSEN_ON),
        calibration={
            "log_loss_before": negative_log_likelihood(validation.labels, scores),
            "log_loss_after": negative_log_likelihood(validation.labels, scores, temperature, bias),
            "ece_before": expected_calibration_error(validation.labels, validation.probabilities),
            "ece_after": expected_calibration_error(after.labels, after.probabilities),
        },
    )


def calibrated(table: Predictions, decision: Decision) -> Predictions:
    """Return the images with calibrated probabilities, all numbers rounded to the 9 digits of `predictions.csv`."""
    return _calibrated(table, decision.temperature, decision.bias)


def _calibrated(table: Predictions, temperature: float, bias: float) -> Predictions:
    probabilities = as_written(probabilities_at(logits(table.probabilities), temperature, bias))
    familiarity, viral = as_written(table.familiarity), as_written(table.viral)
    return replace(table, probabilities=probabilities, familiarity=familiarity, viral=viral)


def score_split(table: Predictions, threshold: float, seed: int, resamples: int) -> dict[str, Any]:
    """Compute the figures of one split at a given threshold, with their intervals.

    Returns:
        The figures of `pipeline.evaluation.metrics.figures`, `patients`, `patients_by_class` (those with an image of
        it), `patients_unknown` (images that tell no patient), `intervals` (figure to [low, high] or None), `by_subtype`
        (kind to `n`, `sensitivity`, `interval`) and `predictive_values` (for each prevalence `precision`, `npv` and
        their `intervals`).
    """
    found = figures(table.labels, table.probabilities, threshold)
    if found["auroc"] is None:
        found |= dict.fromkeys(OF_BOTH_CLASSES)
    kinds = by_subtype(table.labels, table.probabilities, table.subtypes, threshold)
    point = found | {f"sensitivity:{kind}": entry["sensitivity"] for kind, entry in kinds.items()}
    limits, values = intervals(table, threshold, point, resamples, seed)
    for kind, entry in kinds.items():
        entry["interval"] = limits.pop(f"sensitivity:{kind}")
    at_prevalences: list[dict[str, Any]] = []
    if found["sensitivity"] is not None and found["specificity"] is not None:
        at_prevalences = [_at_prevalence(prevalence, found, limits, values) for prevalence in PREVALENCES]
    return {
        **found,
        "patients": len(np.unique(table.patients)),
        "patients_by_class": patients_by_class(table.labels, table.patients),
        "patients_unknown": sum(map(is_unknown, table.patients.tolist())),
        "intervals": limits,
        "by_subtype": kinds,
        "predictive_values": at_prevalences,
    }


def _at_prevalence(
    prevalence: float, found: dict[str, Any], limits: dict[str, Interval], values: dict[str, Floats]
) -> dict[str, Any]:
    """Return both predictive values and their intervals if `prevalence` of the patients have pneumonia.

    Where sensitivity or specificity is 0 or 1, every resample agrees. Then the ends follow from the exact ends of both:
    predictive values rise with sensitivity and specificity, so the interval is rather too wide.
    """
    names = ("precision", "npv")
    points = predictive_values(np.array(found["sensitivity"]), np.array(found["specificity"]), prevalence)
    row = {name: None if np.isnan(value) else float(value) for name, value in zip(names, points, strict=True)}
    sensitivity, specificity = limits["sensitivity"], limits["specificity"]
    spans: list[Interval] = [None, None]
    if sensitivity and specificity and {found["sensitivity"], found["specificity"]} & {0.0, 1.0}:
        ends = predictive_values(np.array(sensitivity), np.array(specificity), prevalence)
        spans = [end.tolist() for end in ends]
    elif sensitivity and specificity:
        spans = [percentile(v) for v in predictive_values(values["sensitivity"], values["specificity"], prevalence)]
    known = [span if row[name] is not None else None for name, span in zip(names, spans, strict=True)]
    return {"prevalence": prevalence, **row, "intervals": dict(zip(names, known, strict=True))}


def _subtype(table: Predictions, decision: Decision, seed: int, resamples: int) -> dict[str, Any]:
    if decision.doubt:
        answered_pneumonia = four_answers(table, decision.doubt) == CLASSES[POSITIVE]
    else:
        answered_pneumonia = decisions(table.probabilities, decision.operating_point.threshold)
    return subtype_figures(table, answered_pneumonia, seed, resamples)


def score_splits(tables: Mapping[str, Predictions], decision: Decision, seed: int, resamples: int) -> dict[str, Any]:
    """Compute the content of `metrics.json`, all but its description of the data, from calibrated tables.

    Args:
        tables: split to its table of calibrated probabilities.
        decision: made on validation; recorded and applied, not changed.
        seed: of the bootstrap.
        resamples: of the bootstrap, 1 or more; 2,000 for a report.
    """
    point, doubt = decision.operating_point, decision.doubt
    return {
        "splits": {
            split: score_split(table, point.threshold, seed, resamples)
            | ({"answered": answer_figures(table, doubt)} if doubt else {})
            | ({"subtype": _subtype(table, decision, seed, resamples)} if table.tells_subtypes else {})
            for split, table in track(tables.items(), "Computing figures and intervals")
        },
        **({"doubt": asdict(doubt)} if doubt else {}),
        "operating_point": asdict(point),
        "temperature": decision.temperature,
        "bias": decision.bias,
        "calibration": {"fitted_on": CHOSEN_ON, **decision.calibration},
        "bootstrap": {"resamples": resamples, "seed": seed, "level": LEVEL, "unit": "patient", "method": "percentile"},
    }
