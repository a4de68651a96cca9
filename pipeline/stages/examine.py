"""Stage 3 of a run: what the answers hang on, on validation images. Nothing is chosen by it."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.config import RunConfig
from pipeline.data.split import Split
from pipeline.evaluation.occlusion import OTHER_PLACES, occlusion_check
from pipeline.evaluation.predictions import POSITIVE, Floats, Labels, read_csv
from pipeline.evaluation.shortcuts import BLACKED, CHANGES, reliance, shortcut_audit
from pipeline.evaluation.smoothness import change_of, tiny_changes
from pipeline.evaluation.swaps import KERMANY_ASPECTS, swapped
from pipeline.networks.forward_pass import OutputsFn
from pipeline.run_folder.folder import RunFolder
from pipeline.stages.original_files import original_files
from pneumo_tfds.prepared import read_metadata
from pneumo_tfds.program.files import write_json
from pneumo_tfds.program.progress import stage, track

CHECKED_IMAGES = 250
"""Of validation, in the proportion of its classes; twice as many move an AUROC by less than its interval is wide."""
COVERED_IMAGES = 100
"""Of those that are called PNEUMONIA rightly, for the occlusion check, which asks about each ten times."""
TRAINING_IMAGES = 1000
"""That the classifier on exposure and sharpness alone learns from, in the proportion of their classes."""
VIEWS = 11
"""Changes, swaps and tiny changes through which each checked image is seen."""


def examine(folder: RunFolder, ask: OutputsFn, splits: Mapping[str, Split], config: RunConfig) -> None:
    """Write `shortcuts.json` and `explanation.json`; add smoothness to `robustness.json`, reliance to `metrics.json`.

    Args:
        folder: of the run, with `metrics.json` and `predictions.csv`; if the latter has no validation, nothing is done.
        ask: its inference model.
        splits: of its dataset.
        config: its settings.
    """
    metrics = folder.read_json(folder.metrics)
    table = read_csv(folder.predictions, metrics).get("validation")
    if table is None or "validation" not in splits:
        return
    seed, resamples = config.evaluation.evaluation_seed, config.evaluation.resamples
    threshold, images = metrics["operating_point"]["threshold"], splits["validation"].examples.images
    with stage("Scoring validation without the lungs"):
        blacked_out = ask.probabilities(CHANGES[BLACKED](images))
    found = reliance(table, np.clip(blacked_out, 0, 1), resamples, seed)
    write_json(folder.metrics, {**metrics, "reliance": found})

    chosen = stratified(table.labels, CHECKED_IMAGES, seed)
    images, some = images[chosen], table.take(chosen)
    with stage("Reading the original files of validation"):
        files = original_files(config.data, some.filenames.tolist(), images.shape[1])
    aspects, note = _aspects(config, files.sizes, some.labels), files.note
    if aspects is not None and note:
        note += "; each class is stretched to the median aspect ratio of the other in the published archive"
    parts = ((name, change(images)) for name, change in CHANGES.items() if name != BLACKED)
    swaps = swapped(images, some.labels, seed, aspects) if len(np.unique(some.labels)) == 2 else ()
    changed = track(chain(parts, swaps), "Looking for shortcuts")
    answers = {name: ask.probabilities(seen) for name, seen in changed}
    train = splits.get("train")
    learnt = train.take(stratified(train.labels, TRAINING_IMAGES, seed)) if train else None
    audit = shortcut_audit(
        some,
        {BLACKED: blacked_out[chosen], **answers},
        images,
        threshold,
        split="validation",
        train=(learnt.images, learnt.labels) if learnt else None,
        sizes=files.sizes,
        resamples=resamples,
        seed=seed,
    )
    write_json(folder.shortcuts, {**audit, "sizes": note})

    smoothness = {
        name: change_of(some.probabilities, ask.probabilities(seen), threshold)
        for name, seen in track(tiny_changes(images, seed), "Scoring validation through tiny changes")
    }
    for name, seen in files.views.items():
        smoothness[name] = change_of(some.probabilities[files.rows], ask.probabilities(seen), threshold)
    extend(folder.robustness, smoothness=smoothness)

    called = np.flatnonzero((some.probabilities >= threshold) & (some.labels == POSITIVE))
    called = np.sort(np.random.default_rng(seed).permutation(called)[:COVERED_IMAGES])
    heatmaps = ask(images[called]).get("heatmap") if len(called) else None
    if heatmaps is not None:
        checked = occlusion_check(ask.probabilities, images[called], heatmaps, some.patients[called], resamples, seed)
        write_json(folder.explanation, checked)


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
