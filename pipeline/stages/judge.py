"""Judging a run: decide on validation, write the lock, then score every split."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

import pneumo_tfds
from pipeline.config import BuiltDataset, RunConfig
from pipeline.config.guarantee import candidates
from pipeline.data.split import Examples, MemorySplit, Split
from pipeline.evaluation.doubt import familiarity_threshold, limits
from pipeline.evaluation.evaluation_lock import write_lock
from pipeline.evaluation.predictions import DIGEST, Predictions, as_written, write_csv
from pipeline.evaluation.robustness import UNCHANGED, pooled, summary, through_changes
from pipeline.evaluation.scoring import Decision, calibrated, decide, score_splits
from pipeline.evaluation.shifts import SHIFTS, WRONG
from pipeline.networks import familiarity
from pipeline.networks.forward_pass import Answers, OutputsFn, joined
from pipeline.networks.inference_model import LOGIT, SUBTYPE, inference_model, scoring_model
from pipeline.networks.models import pretrained
from pipeline.run_folder.folder import RunFolder
from pipeline.run_folder.model_file import save_model
from pipeline.training import reference_images
from pneumo_tfds.prepared import framing_of, inspect
from pneumo_tfds.program.files import sha256_of, write_json
from pneumo_tfds.program.installed import version_of
from pneumo_tfds.program.progress import track

MAKERS = ("tensorflow", "keras", "numpy", "scikit-learn")
"""Packages whose versions are recorded."""
ORIGIN_KEYS = ("pretrained_weights", "software")
"""Keys of `made_from` in `metrics.json`."""
WRONG_REFUSED = "refused"
"""Key of the fraction of wrong images that is UNSUITABLE, by what is wrong with them, in `metrics.json`."""
WRONG_IMAGES = 256
"""Largest number of images that are made wrong to compute that fraction."""
IMAGES_A_STEP = 256  # scored between two steps of a progress bar
CUT_EVERY = 6  # batches of training images, of which one is cut too, to learn what cut images look like
ABSENT = np.empty((0, 1), np.float32)  # in place of an output that a model does not have


def judge(folder: RunFolder, config: RunConfig, network: keras.Model, splits: Mapping[str, Split]) -> None:
    """Decide on validation, write the lock, then score every split.

    Temperature and bias are fitted on validation as it is. The threshold, and what makes an answer UNCERTAIN or
    UNSUITABLE, are chosen on validation under shift too (the changes of `pipeline.evaluation.shifts`). These choices,
    the weights and the settings are locked before any image of `test` is read. Writes `model.keras`, `lock.json`,
    `robustness.json`, `predictions.csv` and, last, `metrics.json`.

    Args:
        folder: of the run; its config.json exists.
        config: the run's settings.
        network: float32, from `pipeline.networks.inference_model.committee`.
        splits: `train`, `validation`, and those to score with its threshold: `test`, if there is one, or `held_out`.
    """
    validation, settings = splits["validation"], config.evaluation
    times = 1 + len(SHIFTS) if settings.threshold_under_shift else 1
    scoring = scoring_model(network)
    predict = OutputsFn(scoring, expected=validation.count * times)
    reference = None
    if familiarity.among(scoring.output):
        background = familiarity.needs_background(config.model.model)
        reference = _reference(predict, background, splits["train"], settings.evaluation_seed)

    scored = {UNCHANGED: score(predict, validation)}
    scored |= {name: predict(images) for name, images in through_changes(validation.examples.images, settings)}
    if reference:
        reference = reference.with_levels(np.concatenate([reference.distances(view) for view in scored.values()]))
    views = {name: uncalibrated(validation.examples, answers, reference) for name, answers in scored.items()}

    def table(split: Split) -> Predictions:
        return uncalibrated(split.examples, score(predict, split), reference)

    model = partial(inference_model, network, reference=reference)
    judge_by(folder, config, views=views, splits=splits, table=table, model=model)


def judge_by(
    folder: RunFolder,
    config: RunConfig,
    *,
    views: dict[str, Predictions],
    splits: Mapping[str, Split],
    table: Callable[[Split], Predictions],
    model: Callable[..., keras.Model],
    shown_on: str | None = None,
) -> None:
    """Decide on tables of uncalibrated predictions, write the lock, then score the other splits; see `judge`.

    Args:
        folder: of the run.
        config: its settings.
        views: tables of the images to decide on, as they are and through each change, with temperature 1 and bias 0.
        splits: of the run; `validation`, or without one `train`, holds the images of `views`.
        table: returns the table of another split, likewise.
        model: returns the inference model to save, from `temperature` and `bias`.
        shown_on: what the guarantee says that it was shown on; None for the patients of validation.
    """
    # Class weights make the network believe that both classes are equally common; the bias corrects that.
    settings, with_bias = config.evaluation, config.fit.class_weights
    decision = decide(views[UNCHANGED], settings.threshold_rule, with_bias=with_bias, views=pooled(views))
    views = {name: calibrated(view, decision) for name, view in views.items()}
    familiar = not np.isnan(views[UNCHANGED].familiarity).any()
    refused_below = familiarity_threshold([view.familiarity for view in views.values()]) if familiar else None
    threshold = decision.operating_point.threshold
    doubt = limits(
        list(views.values()),
        threshold,
        candidates(settings.guarantee),
        settings.prevalence,
        rule=settings.guarantee,
        shown_on=shown_on,
        refused_below=refused_below,
    )
    decision = replace(decision, doubt=doubt)
    save_model(folder.model, model(temperature=decision.temperature, bias=decision.bias))
    write_lock(folder, decision)
    if settings.threshold_under_shift:
        write_json(folder.robustness, summary(views, threshold, doubt.familiarity_threshold))
    tables = {"validation": views[UNCHANGED]}
    for name, split in splits.items():
        if name not in ("train", "validation"):
            tables[name] = calibrated(table(split), decision)
    beside = made_from(config)
    if refused_below is not None:
        examples = splits["validation" if "validation" in splits else "train"].examples
        some = examples.take(np.arange(0, len(examples), -(-len(examples) // WRONG_IMAGES)))
        wrong = {name: MemorySplit(name, replace(some, images=change(some.images))) for name, change in WRONG.items()}
        known = {name: table(split).familiarity for name, split in wrong.items()}
        beside[WRONG_REFUSED] = {name: float(np.mean(part < refused_below)) for name, part in known.items()}
    write_scores(folder, config, tables, decision, beside)


def score(predict: OutputsFn, split: Split) -> Answers:
    """Return the outputs of a model, each `[n, ...]`, for every image of a split, with a progress bar."""
    images = split.examples.images
    parts = [images[start : start + IMAGES_A_STEP] for start in range(0, len(images), IMAGES_A_STEP)]
    return joined([predict(part) for part in track(parts, f"Scoring {split.name}")])


def predictions_of(examples: Examples, *answered: NDArray[np.float64]) -> Predictions:
    """Return a table of the images with what was `answered`: the last columns of `Predictions`, `[n]` or empty."""
    return Predictions(examples.filenames, examples.patients, examples.subtypes, examples.labels, *answered)


def answers_of(examples: Examples, answers: Answers) -> Predictions:
    """Return the table of an inference model's answers, rounded to the 9 digits of `predictions.csv`."""
    further = (_written(answers.get(name, ABSENT)) for name in (familiarity.FAMILIARITY, SUBTYPE))
    return predictions_of(examples, _written(answers["probability"]), *further)


def uncalibrated(examples: Examples, answers: Answers, reference: familiarity.Reference | None = None) -> Predictions:
    """Return the table of a scoring model's answers, with the network's own probabilities.

    In float64, because a float32 sigmoid rounds to exactly 1 above a logit of 17. The familiarity is that of
    `reference`, or what the model itself says.
    """
    probabilities, *viral = expit(answers[LOGIT].astype(np.float64)).T
    own = answers.get(familiarity.FAMILIARITY, ABSENT)[:, 0].astype(np.float64)
    known = reference.familiarity(reference.distances(answers)) if reference else own
    return predictions_of(examples, probabilities, known, *viral)


def _reference(predict: OutputsFn, background: bool, train: Split, seed: int) -> familiarity.Reference:
    """Fit what images are compared with on training images, on cut ones, and on wrong ones for a `background`."""
    batches = reference_images.reference_images(train, seed)
    count = -(-min(train.count, reference_images.LARGEST) // reference_images.BATCH)
    generator = np.random.default_rng(seed)
    known, wrong, upper, lower = [], [], [], []
    for number, batch in enumerate(track(batches, "Learning what training images look like", count)):
        known.append(predict(batch))
        if background:
            wrong.append(predict(reference_images.wrong(batch, generator)))
        if number % CUT_EVERY == 0:
            upper.append(predict(reference_images.cut(batch, generator, "upper")))
            lower.append(predict(reference_images.cut(batch, generator, "lower")))
    return familiarity.fit(joined(known), joined(wrong) if wrong else None, [joined(upper), joined(lower)])


def _written(output: NDArray[np.float32]) -> NDArray[np.float64]:
    return as_written(output[:, 0].astype(np.float64))


def write_scores(
    folder: RunFolder,
    config: RunConfig,
    tables: Mapping[str, Predictions],
    decision: Decision,
    beside: Mapping[str, Any] | None = None,
) -> None:
    """Score tables of calibrated predictions at the chosen threshold; write `predictions.csv` and `metrics.json`.

    `beside` is what else `metrics.json` says, such as of images of another source, see docs/reference/run-folder.md.
    """
    figures = score_splits(tables, decision, config.evaluation.evaluation_seed, config.evaluation.resamples)
    write_csv(folder.predictions, tables)
    scored = {"dataset": describe(config.data.built), DIGEST: sha256_of(folder.predictions)}
    write_json(folder.metrics, {**scored, **(beside or {}), **figures})


def made_from(config: RunConfig) -> dict[str, Any]:
    """Return what `metrics.json` records of the origin of the weights: what they started from, and versions."""
    versions = {name: version_of(name) for name in MAKERS}
    software = {"pneumo": pneumo_tfds.__version__, "python": platform.python_version(), **versions}
    return {"pretrained_weights": pretrained(config.model), "software": software}


def describe(dataset: BuiltDataset) -> dict[str, Any]:
    """Return what `metrics.json` records of a dataset: counts, hashes and rules, but no file, patient or folder."""
    built = inspect(dataset.folder)
    return {
        "name": f"pneumo_tfds/{dataset.name}",
        "version": dataset.version,
        "phantom": dataset.phantom,
        "framing": framing_of(dataset.folder),
        "images": built.examples,
        **{
            key: built.metadata.get(key)
            for key in ("layout", "title", "test_origin", "split_rule", "manifest_sha256", "patients")
        },
        **{key: len(built.metadata.get(key, ())) for key in ("skipped", "dropped", "byte_identical")},
    }
