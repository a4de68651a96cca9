"""What is decided on local images, and by cross-fitting over patients how good such decisions are on others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold

from export.inference.onnx_metadata import Metadata
from export.recalibration.labelled_images import Scores
from pipeline.config.guarantee import Guarantee
from pipeline.evaluation.calibration import fit_temperature_and_bias, probabilities_at
from pipeline.evaluation.doubt import Doubt, familiarity_threshold, four_answers, limits, patients_in_words
from pipeline.evaluation.intervals import Interval, intervals, percentile, weights, without_errors
from pipeline.evaluation.metrics import decisions, figures
from pipeline.evaluation.operating_point import OperatingPoint, choose_operating_point
from pipeline.evaluation.predictions import Mask, Predictions, as_written
from pipeline.networks.familiarity_levels import levels_of, share_beyond
from pneumo_tfds.program.answers import UNCERTAIN, UNSUITABLE
from pneumo_tfds.program.errors import InputError

FOLDS = 5
KIND = "local"
Figure = tuple[float | None, Interval]


@dataclass(frozen=True)
class DecisionRequest:
    """What the decisions must reach."""

    rule: str
    """Rule of the threshold, see `pipeline.config.threshold_rule.Rule.parse`."""
    guarantees: Sequence[Guarantee]
    """Guarantees to try in turn."""
    guarantee: str
    """What the user asked for: `auto`, `none` or a guarantee, which then must be shown."""
    prevalence: float


@dataclass(frozen=True)
class LocalDecision:
    """The values that a recalibrated file gets."""

    temperature: float
    bias: float
    """The probability is sigmoid(logit / temperature + bias)."""
    point: OperatingPoint
    doubt: Doubt
    levels: NDArray[np.float32] | None
    """Levels of the familiarity; None if the model has none."""

    def apply(self, table: Predictions, scores: Scores) -> Predictions:
        """Return the images with the probabilities and the familiarity that a file with these values gives."""
        return _with_values(table, scores, self.temperature, self.bias, self.levels)


@dataclass(frozen=True)
class Answered:
    """What a model answers to images."""

    table: Predictions
    called: Mask
    """`[n]`: PNEUMONIA by the threshold alone."""
    given: NDArray[np.str_] | None
    """`[n]`, one of the four answers; None if the file gives two."""


def decide_here(table: Predictions, scores: Scores, request: DecisionRequest) -> LocalDecision:
    """Decide everything on images as they are.

    Not under shift, as training does for places that it does not know: this place is known. Decided through the changes
    of `pipeline.evaluation.shifts` too, sensitivity by cross-fitting was 0.913 instead of 0.970 on 408 X-rays of
    held-out patients with another exposure and sharpness, and 0.960 before. The matrices of the familiarity stay
    those of training: they have hundreds of dimensions, and say what the network knows, not what is usual here.

    Raises:
        InputError: the threshold rule or the guarantee that was asked for cannot be had.
    """
    temperature, bias = fit_temperature_and_bias(table.labels, scores.logits)
    levels = None if scores.distances is None else levels_of(scores.distances)
    here = _with_values(table, scores, temperature, bias, levels)
    point = choose_operating_point(here.labels, here.probabilities, request.rule, f"the {KIND} images")
    refused_below = None if levels is None else familiarity_threshold([here.familiarity])
    doubt = limits(
        [here],
        point.threshold,
        request.guarantees,
        request.prevalence,
        rule=request.guarantee,
        shown_on=patients_in_words(here, KIND),
        refused_below=refused_below,
    )
    return LocalDecision(temperature, bias, point, doubt, levels)


def as_it_is(table: Predictions, metadata: Metadata) -> Answered:
    """Return what the file answered so far; `table` has its own probabilities and familiarity."""
    given = four_answers(table, metadata.limits) if metadata.four_way else None
    return Answered(table, decisions(table.probabilities, metadata.threshold), given)


def cross_fit(
    table: Predictions, scores: Scores, request: DecisionRequest, chosen: LocalDecision, seed: int
) -> tuple[Answered, int]:
    """Answer the images of each fifth of the patients by what the other four fifths decide.

    Args:
        table: the images.
        scores: of them.
        request: what was asked for.
        chosen: decided on all images.
        seed: that draws the fifths, each with about the same share of both classes.

    Returns:
        The answers, and in how many fifths the guarantee was the same as on all images: fewer patients show less.
    """
    found, called = [], np.zeros(len(table), bool)
    given = np.full(len(table), UNSUITABLE)  # sets a string dtype that holds every answer
    same, order = 0, []
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    lenient = replace(request, guarantee="auto" if request.guarantees else request.guarantee)
    for train, test in folds.split(table.labels, table.labels, table.patients):
        try:
            decision = decide_here(table.take(train), scores.take(train), lenient)
        except InputError as error:
            raise InputError(f"decided on four fifths of the patients, to answer the other fifth: {error}") from error
        view = decision.apply(table.take(test), scores.take(test))
        called[test] = decisions(view.probabilities, decision.point.threshold)
        given[test] = four_answers(view, decision.doubt)
        same += _level(decision) == _level(chosen)
        found.append(view)
        order.append(test)
    back = np.argsort(np.concatenate(order))
    columns = {name: np.concatenate([getattr(view, name) for view in found])[back] for name in vars(table)}
    return Answered(Predictions(**columns), called, given), same


def figures_of(answered: Answered, resamples: int, seed: int) -> dict[str, Figure]:
    """Compute figures and their 95 % intervals, by resampling patients.

    Returns:
        `auroc`, `brier` and `ece` of the probabilities; `sensitivity`, `specificity` and `accuracy` by the threshold;
        with four answers also `unsuitable`, `uncertain` (fractions of all images), and of the certain answers
        `certain_accuracy`, `certain_npv` and `certain_ppv`.
    """
    table, found = answered.table, dict[str, Figure]()

    def add_figures(scored: Predictions, **names: str) -> None:
        values = figures(scored.labels, scored.probabilities, 0.5)
        limits, _ = intervals(scored, 0.5, values, resamples, seed)
        found.update({name: (values[key], limits[key]) for name, key in names.items()})

    add_figures(table, auroc="auroc", brier="brier", ece="ece")
    by_threshold = table.with_probabilities(answered.called)
    add_figures(by_threshold, sensitivity="sensitivity", specificity="specificity", accuracy="accuracy")
    if answered.given is not None:
        for name in (UNSUITABLE, UNCERTAIN):
            found[name.lower()] = _share(answered.given == name, table, resamples, seed)
        certain = ~np.isin(answered.given, (UNSUITABLE, UNCERTAIN))
        if certain.any():
            answer = (answered.given[certain] == "PNEUMONIA").astype(np.float64)
            certain_ones = table.take(certain).with_probabilities(answer)
            add_figures(certain_ones, certain_accuracy="accuracy", certain_npv="npv", certain_ppv="precision")
    return found


def _level(decision: LocalDecision) -> str:
    """Return what a guarantee promises, without the patients that show it."""
    return decision.doubt.guarantee.partition(",")[0].partition(":")[0]


def _with_values(
    table: Predictions, scores: Scores, temperature: float, bias: float, levels: NDArray[np.float32] | None
) -> Predictions:
    found = table.with_probabilities(as_written(probabilities_at(scores.logits, temperature, bias)))
    if levels is None or scores.distances is None:
        return found
    return replace(found, familiarity=as_written(share_beyond(scores.distances, levels)))


def _share(mask: Mask, table: Predictions, resamples: int, seed: int) -> Figure:
    blocks = weights(table.patients, resamples, seed)
    share, patients = float(mask.mean()), len(np.unique(table.patients))
    spread = percentile(np.concatenate([block @ mask / block.sum(axis=1) for block in blocks]))
    return share, without_errors(share, patients, spread)
