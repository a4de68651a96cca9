"""Doubt: which images a model refuses, and between which probabilities it says that it does not know.

Both are decided on validation, as it is and through every change of `pipeline.evaluation.shifts`, together with the
threshold. docs/explanation/doubt.md explains the four answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, rel_entr
from scipy.special import logit as log_odds

from pipeline.config.guarantee import Guarantee
from pipeline.evaluation.metrics import figures
from pipeline.evaluation.predictions import CLASSES, POSITIVE, Floats, Mask, Predictions
from pneumo_tfds.program.answers import UNCERTAIN, UNSUITABLE, Limits
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.wording import counted
from pneumo_tfds.sources.identifiers import is_unknown

MOST_REFUSED, MOST_REFUSED_CHANGED = 0.015, 0.04
"""Largest fractions of the validation images that may be refused: as they are, and through each change. Below the 2 and
5 % that are aimed at for other patients, because the threshold is chosen on these images."""
CONFIDENCE = 0.95
"""Confidence of each of the two guarantees."""
ERRORS_SHARE = 0.8
"""Part of the remaining 5 % that is spent on the bound of the errors; the rest is for that of the right answers."""
NO_BETTER_THAN_GUESSING = 0.5
"""A predictive value at which an answer says nothing."""
LIMITS = tuple(round(float(value), 5) for value in expit(np.arange(-9, 9.01, 0.05)))
"""Probabilities that can be a limit, fixed beforehand and ascending."""


@dataclass(frozen=True, kw_only=True)
class Doubt(Limits):
    """What makes an answer one of four, as `metrics.json` and the exported file have it."""

    guarantee: str
    """What holds for certain answers, in words, and what shows it."""

    @property
    def guaranteed(self) -> bool:
        """Whether anything is guaranteed of certain answers."""
        return not self.guarantee.startswith("none")

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Doubt:
        """Read what `metrics.json` records; raises ValueError or TypeError if it is incomplete or out of range."""
        if missing := {field.name for field in fields(cls)} - value.keys():
            raise TypeError(f"no {min(missing)}")
        return cls(**value)


def familiarity_threshold(views: Sequence[Floats]) -> float:
    """Return the largest familiarity below which at most the allowed part of each view lies.

    That is `MOST_REFUSED` of the first view and `MOST_REFUSED_CHANGED` of each other.

    Args:
        views: familiarity `[n]` of the validation images as they are, then through each change.
    """
    allowed = [MOST_REFUSED, *[MOST_REFUSED_CHANGED] * (len(views) - 1)]
    return min(float(np.sort(view)[int(part * len(view))]) for view, part in zip(views, allowed, strict=True))


def limits(
    views: Sequence[Predictions],
    threshold: float,
    wanted: Sequence[Guarantee],
    prevalence: float,
    *,
    rule: str = "auto",
    shown_on: str | None = None,
    refused_below: float | None = None,
) -> Doubt:
    """Choose the limits of certain answers, one on either side of the threshold.

    A limit is acceptable if the guarantee holds at it with 95 % confidence, by upper and lower bounds for the mean of
    [0, 1]-valued numbers, one for each patient: the fraction of the patient's images and views on the wrong, or the
    right, side of it. Patients are independent, their images are not. An image that is refused is on neither side.
    Limits are tried from the strictest on until one fails after one has held. (A fixed sequence needs no correction:
    Angelopoulos et al. 2021, "Learn then Test". That theorem stops at the first failure, while here the strictest
    limits may fail, because hardly anybody gets an answer there. docs/explanation/doubt.md says what that costs.)

    Where `auto` finds no guarantee that can be shown, each limit is where its bound is highest; and nothing is answered
    NORMAL, or PNEUMONIA, where that bound is not above one half.

    Args:
        views: the images, calibrated, as they are and through each change, if any; row i is the same image.
        threshold: of the operating point. No limit lies on its other side: NORMAL stays below it, PNEUMONIA above. Nor
            does one lie on the other side of one half, be it of the probability as it is or as it is at `prevalence`.
        wanted: guarantees to try in turn; the first that can be had is taken.
        prevalence: fraction of the patients who have pneumonia where the model is used; over 0 and below 1.
        rule: what the user asked for: `none` gives the threshold for both limits, `auto` does without a guarantee
            rather than fail.
        shown_on: what the guarantee says that it was shown on; None for the patients of validation.
        refused_below: the familiarity below which an image is UNSUITABLE and gets no answer; None if none is.

    Returns:
        The limits, `refused_below` among them, and the guarantee in words.

    Raises:
        InputError: the guarantee that was asked for cannot be shown by these images. The message names the best.
    """
    if rule == "none":
        return Doubt(threshold, threshold, refused_below, guarantee="none: none was asked for")
    through = f" through {len(views)} views" if len(views) > 1 else ""
    evidence = f"on {shown_on or patients_in_words(views[0], 'validation')}{through}"
    sides = _Sides(views, prevalence, threshold, refused_below)
    for guarantee in wanted:
        low, high = sides.lower(guarantee.npv), sides.upper(guarantee.ppv)
        if low is not None and high is not None:
            confidence = f"each with {100 * CONFIDENCE:.0f} % confidence"
            of_answers = f"NPV at least {guarantee.npv:g} and PPV at least {guarantee.ppv:g}"
            said = f"{of_answers} where {100 * prevalence:g} % have pneumonia, {confidence}, {evidence}"
            return Doubt(low, high, refused_below, guarantee=said)
    low, high, best = sides.best()
    if rule != "auto":
        raise InputError(f"--guarantee {rule} cannot be shown {evidence}: the best is {best}; {_remedy(best)}")
    least = f"NPV {wanted[-1].npv:g} and PPV {wanted[-1].ppv:g} are the least that count"
    said = f"none: the best that can be shown {evidence} is NPV {best.npv:g} and PPV {best.ppv:g}; {least}"
    if silent := [name for name, unused in zip(CLASSES, (low == 0.0, high == 1.0), strict=True) if unused]:
        said += f"; what is no better than guessing is not answered, so no image is {' or '.join(silent)}"
    return Doubt(low, high, refused_below, guarantee=said)


def _remedy(best: Guarantee) -> str:
    """Return what to do if no more than `best` can be shown."""
    can_be_asked_for = min(best.npv, best.ppv) > NO_BETTER_THAN_GUESSING
    return "ask for less" if can_be_asked_for else "decide on more patients, or ask for none"


def patients_in_words(table: Predictions, kind: str) -> str:
    """Return how many patients of a kind a table has, such as `471 validation patients`, or that they are unknown."""
    unknown = sum(map(is_unknown, table.patients.tolist()))
    patients = counted(len(np.unique(table.patients)) - unknown, f"{kind} patient".strip())
    if not unknown:
        return patients
    images = f"{counted(unknown, 'image')} of unknown patients, each counted as one"
    return images if unknown == len(table) else f"{patients} and {images}"


class _Sides:
    """For each possible limit, bounds of what lies on either side of it.

    A predictive value is of all certain answers together. Where these are many and easy, a limit by it alone would
    slide into images of which most are of the other kind; so no NORMAL lies above `most`, and no PNEUMONIA below
    `least`.
    """

    def __init__(
        self, views: Sequence[Predictions], prevalence: float, threshold: float, refused_below: float | None
    ) -> None:
        labels, patients = views[0].labels, views[0].patients
        half = float(expit(log_odds(np.mean(labels == POSITIVE)) - log_odds(prevalence)))  # is one half at `prevalence`
        self.most, self.least = min(threshold, 0.5, half), max(threshold, 0.5, half)
        probabilities = np.stack([view.probabilities for view in views], axis=1)
        given = np.ones(probabilities.shape, bool)
        if refused_below is not None:
            given = ~(np.stack([view.familiarity for view in views], axis=1) < refused_below)  # NaN is not refused
        self.cuts = np.asarray(LIMITS)
        below, above, counts = list[Floats](), list[Floats](), list[int]()
        for label in (1 - POSITIVE, POSITIVE):
            rows = labels == label
            _, owner = np.unique(patients[rows], return_inverse=True)
            images = np.bincount(owner)
            under = probabilities[rows, :, None] < self.cuts
            for side, sides in ((under, below), (~under, above)):
                of_images = np.mean(side & given[rows, :, None], axis=1)
                sides.append(np.mean([np.bincount(owner, column) / images for column in of_images.T], axis=1))
            counts.append(len(images))
        self.npv = _predictive_values(below, counts, 1 - prevalence)
        self.ppv = _predictive_values(above[::-1], counts[::-1], prevalence)

    def lower(self, npv: float) -> float | None:
        """Return the largest limit, at most `most`, below which NORMAL answers reach `npv`, or None."""
        limit = _last(LIMITS, self.npv >= npv, self.cuts <= self.most)
        return None if limit is None else min(limit, self.most)

    def upper(self, ppv: float) -> float | None:
        """Return the smallest limit, at least `least`, from which PNEUMONIA answers reach `ppv`, or None."""
        limit = _last(LIMITS[::-1], (self.ppv >= ppv)[::-1], (self.cuts >= self.least)[::-1])
        return None if limit is None else max(limit, self.least)

    def best(self) -> tuple[float, float, Guarantee]:
        """Return the limits at which the predictive values that can be shown are largest, and these, rounded down."""
        low, npv = _largest(self.npv, self.cuts, self.cuts <= self.most)
        high, ppv = _largest(self.ppv[::-1], self.cuts[::-1], (self.cuts >= self.least)[::-1])
        shown = Guarantee(np.floor(1000 * npv) / 1000, np.floor(1000 * ppv) / 1000)
        low = min(low, self.most) if npv > NO_BETTER_THAN_GUESSING else 0.0
        high = max(high, self.least) if ppv > NO_BETTER_THAN_GUESSING else 1.0
        return low, high, shown


def _predictive_values(answered: Sequence[Floats], counts: Sequence[int], share: float) -> Floats:
    """Return a lower bound of the predictive value of an answer, at each limit.

    Args:
        answered: of those for whom the answer is right, and of the others, the fraction who get it, at each limit.
        counts: patients of both.
        share: fraction of the patients for whom it is right.
    """
    (right, wrong), risk = counts, 1 - CONFIDENCE
    hits = np.array([1 - upper_bound(1 - rate, right, (1 - ERRORS_SHARE) * risk) for rate in answered[0]]) * share
    misses = np.array([upper_bound(rate, wrong, ERRORS_SHARE * risk) for rate in answered[1]]) * (1 - share)
    values: Floats = hits / (hits + misses)
    return values


def _last(limits: Sequence[float], holds: Mask, allowed: Mask) -> float | None:
    """Return the last limit of the first stretch that holds, or None if it has no limit that is allowed.

    The allowed limits are the first ones. Where the stretch goes on beyond them, so does the limit.
    """
    rows = np.flatnonzero(holds)
    if not len(rows) or not allowed[rows[0]]:
        return None
    fails = np.flatnonzero(~holds[rows[0] :])
    return float(limits[rows[0] + fails[0] - 1] if len(fails) else limits[-1])


def _largest(values: Floats, limits: Floats, allowed: Mask) -> tuple[float, float]:
    """Return the first allowed limit with the largest value, and the value; without one, the first limit, and 0."""
    if not allowed.any():
        return float(limits[0]), 0.0
    row = int(np.argmax(np.where(allowed, values, -1.0)))
    return float(limits[row]), float(values[row])


def upper_bound(mean: float, count: int, risk: float) -> float:
    """Return an upper confidence bound of the mean of independent numbers in [0, 1] (Hoeffding 1963, Theorem 1).

    It is the largest m with `count` * KL(mean, m) <= log(1 / risk). Where mean is 0 it equals the exact binomial bound.

    Args:
        mean: of the numbers that were seen, 0 to 1.
        count: how many there are, at least 1.
        risk: probability that the bound is too low, over 0 and below 1.
    """

    def excess(m: float) -> float:
        divergence = rel_entr(mean, m) + rel_entr(1 - mean, 1 - m)
        return float(count * divergence + np.log(risk))

    nearly_one = 1 - 1e-12
    return 1.0 if mean >= nearly_one or excess(nearly_one) < 0 else float(brentq(excess, max(mean, 1e-12), nearly_one))


def four_answers(table: Predictions, limits: Limits) -> np.ndarray:
    """Return the answer to each image, NORMAL, PNEUMONIA, UNCERTAIN or UNSUITABLE: str `[n]`."""
    certain = [table.probabilities < limits.certain_normal_below, table.probabilities >= limits.certain_pneumonia_from]
    found = np.select(certain, CLASSES, UNCERTAIN)
    if limits.familiarity_threshold is not None:
        found = np.where(table.familiarity < limits.familiarity_threshold, UNSUITABLE, found)  # False for NaN
    return found


def answer_figures(table: Predictions, limits: Limits) -> dict[str, Any]:
    """Count the four answers to each class, and compute figures of the images that got a certain one.

    Returns:
        `answers` (answer to counts by label), `share` of the images that were answered, and of these `accuracy`,
        `sensitivity`, `specificity`, `ppv` and `npv`, None where undefined.
    """
    given = four_answers(table, limits)
    counts = {
        answer: {label: int(np.sum(table.labels[given == answer] == value)) for value, label in enumerate(CLASSES)}
        for answer in (*CLASSES, UNCERTAIN, UNSUITABLE)
    }
    certain = np.isin(given, CLASSES)
    of_certain = dict.fromkeys(("accuracy", "sensitivity", "specificity", "precision", "npv"))
    if certain.any():
        found = figures(table.labels[certain], (given[certain] == CLASSES[POSITIVE]).astype(np.float64), 0.5)
        of_certain = {name: found[name] for name in of_certain}
    of_certain["ppv"] = of_certain.pop("precision")
    return {"answers": counts, "share": float(certain.mean()), **of_certain}
