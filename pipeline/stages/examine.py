"""Examining a run: what the answers hang on, on validation images. Nothing is chosen by it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.config import EvaluationConfig, RunConfig
from pipeline.data.split import Split
from pipeline.evaluation.occlusion import OTHER_PLACES, occlusion_check
from pipeline.evaluation.predictions import POSITIVE, Floats, Images, Labels, Predictions, read_csv
from pipeline.evaluation.shortcuts import BLACKED, CHANGES, reliance, shortcut_audit
from pipeline.evaluation.smoothness import change_of, tiny_changes
from pipeline.evaluation.swaps import KERMANY_ASPECTS, swapped
from pipeline.networks.forward_pass import OutputsFn
from pipeline.run_folder.folder import RunFolder
from pipeline.stages.original_files import OriginalFiles, original_files
from pneumo_tfds.prepared import read_metadata
from pneumo_tfds.program.files import write_json
from pneumo_tfds.program.progress import stage, track

CHECKED_IMAGES = 250
"""Validation images that are examined, in the proportion of the classes; twice as many move an AUROC by less than its
interval is wide."""
COVERED_IMAGES = 100
"""Images of those, called PNEUMONIA rightly, for the occlusion check, which asks about each ten times."""
TRAINING_IMAGES = 1000
"""Training images, in the proportion of their classes, for the classifier on exposure and sharpness alone."""
VIEWS = 11
"""Changes, swaps and tiny changes through which each checked image is seen."""


def examine(folder: RunFolder, predict: OutputsFn, splits: Mapping[str, Split], config: RunConfig) -> None:
    """Write `shortcuts.json` and `explanation.json`; add smoothness to `robustness.json`, reliance to `metrics.json`.

    Args:
        folder: of the run, with `metrics.json` and `predictions.csv`; if the latter has no validation, nothing is done.
        predict: its inference model.
        splits: of its dataset.
        config: its settings.
    """
    metrics = folder.read_json(folder.metrics)
    table = read_csv(folder.predictions, metrics).get("validation")
    if table is None or "validation" not in splits:
        return
    images, settings = splits["validation"].examples.images, config.evaluation
    with stage("Scoring validation without the lungs"):
        blacked_out = predict.probabilities(CHANGES[BLACKED](images))
    found = reliance(table, np.clip(blacked_out, 0, 1), settings.resamples, settings.evaluation_seed)
    write_json(folder.metrics, {**metrics, "reliance": found})

    chosen = stratified(table.labels, CHECKED_IMAGES, settings.evaluation_seed)
    some = _Some(images[chosen], table.take(chosen), metrics["operating_point"]["threshold"], settings)
    with stage("Reading the original files of validation"):
        files = original_files(config.data, some.table.filenames.tolist(), images.shape[1])
    write_json(folder.shortcuts, _shortcuts(some, blacked_out[chosen], files, predict, splits.get("train"), config))
    extend(folder.robustness, smoothness=_smoothness(some, files, predict))
    explanation = _explanation(some, predict)
    if explanation is not None:
        write_json(folder.explanation, explanation)


@dataclass(frozen=True)
class _Some:
    """Some validation images, which are examined more closely."""

    images: Images
    """uint8 `[n, S, S, 1]`"""
    table: Predictions
    """Their answers, as they are."""
    threshold: float
    settings: EvaluationConfig


def _shortcuts(
    some: _Some, blacked_out: Floats, files: OriginalFiles, predict: OutputsFn, train: Split | None, config: RunConfig
) -> dict[str, Any]:
    """Return the content of `shortcuts.json`; `blacked_out` are the probabilities without the lungs, [n]."""
    labels, seed = some.table.labels, some.settings.evaluation_seed
    aspects, note = _aspects(config, files.sizes, labels), files.note
    if aspects is not None and note:
        note += "; each class is stretched to the median aspect ratio of the other in the published archive"
    changes = ((name, change(some.images)) for name, change in CHANGES.items() if name != BLACKED)
    swaps = swapped(some.images, labels, seed, aspects) if len(np.unique(labels)) == 2 else ()
    changed = track(chain(changes, swaps), "Looking for shortcuts")
    answers = {name: predict.probabilities(seen) for name, seen in changed}
    learnt = train.take(stratified(train.labels, TRAINING_IMAGES, seed)) if train else None
    audit = shortcut_audit(
        some.table,
        {BLACKED: blacked_out, **answers},
        some.images,
        some.threshold,
        split="validation",
        train=(learnt.images, learnt.labels) if learnt else None,
        sizes=files.sizes,
        resamples=some.settings.resamples,
        seed=seed,
    )
    return {**audit, "sizes": note}


def _smoothness(some: _Some, files: OriginalFiles, predict: OutputsFn) -> dict[str, Any]:
    """Return what tiny changes do to the answers, and what another way to decode the files does."""
    before, seed = some.table.probabilities, some.settings.evaluation_seed
    found = {
        name: change_of(before, predict.probabilities(seen), some.threshold)
        for name, seen in track(tiny_changes(some.images, seed), "Scoring validation through tiny changes")
    }
    for name, seen in files.views.items():
        found[name] = change_of(before[files.rows], predict.probabilities(seen), some.threshold)
    return found


def _explanation(some: _Some, predict: OutputsFn) -> dict[str, Any] | None:
    """Return the content of `explanation.json`; None without a heat map, or without a PNEUMONIA that is found."""
    table, seed = some.table, some.settings.evaluation_seed
    called = np.flatnonzero((table.probabilities >= some.threshold) & (table.labels == POSITIVE))
    called = np.sort(np.random.default_rng(seed).permutation(called)[:COVERED_IMAGES])
    images, patients = some.images[called], table.patients[called]
    heatmaps = predict(images).get("heatmap") if len(called) else None
    if heatmaps is None:
        return None
    return occlusion_check(predict.probabilities, images, heatmaps, patients, some.settings.resamples, seed)


def passes(splits: Mapping[str, Split]) -> int:
    """Return about how many images `examine` asks a model about, some of them once for every change."""
    count = splits["validation"].count if "validation" in splits else 0
    return count + min(CHECKED_IMAGES, count) * VIEWS + min(COVERED_IMAGES, count) * (OTHER_PLACES + 2)


def stratified(labels: Labels, most: int, seed: int) -> Labels:
    """Return about `most` row numbers, drawn at random in the proportion of the classes, in order; all if they are few.

    A class that is there has one row or more.
    """
    if len(labels) <= most:
        return np.arange(len(labels))
    generator = np.random.default_rng(seed)
    rows = [generator.permutation(np.flatnonzero(labels == label)) for label in np.unique(labels)]
    return np.sort(np.concatenate([part[: max(1, round(most * len(part) / len(labels)))] for part in rows]))


def extend(path: Path, **entries: Any) -> None:
    """Set entries of a JSON file of the run folder, which is made if there is none; the others stay."""
    write_json(path, {**RunFolder(path.parent).read_json_if_there(path), **entries})


def _aspects(config: RunConfig, sizes: Floats, labels: Labels) -> Floats | None:
    """Return width over height of the pictures before they were squeezed, [n]; None if that is not known.

    For copies of the published archive that were squeezed before, it is the median of their class.
    """
    if config.data.framing != "squeeze":
        return None
    if np.isfinite(sizes).any():
        return sizes[:, 0] / sizes[:, 1]
    kermany = read_metadata(config.data.built.folder).get("layout") == "kermany"
    return np.array(KERMANY_ASPECTS)[labels] if kermany else None
