"""Stage 2 of a run: decide on validation, write the lock, then score every split."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from pipeline.config import BuiltDataset, RunConfig
from pipeline.data.split import Examples, Split
from pipeline.evaluation.evaluation_lock import write_lock
from pipeline.evaluation.predictions import Floats, Predict, Predictions, write_csv
from pipeline.evaluation.robustness import UNCHANGED, pooled, summary
from pipeline.evaluation.robustness import views as score_views
from pipeline.evaluation.scoring import Decision, calibrated, decide, score_splits
from pipeline.evaluation.shifts import SHIFTS
from pipeline.networks.forward_pass import LogitsFn
from pipeline.networks.models import inference_model
from pipeline.run_folder.folder import RunFolder
from pipeline.run_folder.model_file import save_model
from pneumo_tfds.prepared import framing_of, inspect
from pneumo_tfds.program.files import write_json
from pneumo_tfds.program.progress import track

SHOWN = 256  # images scored between two steps of a progress bar


def judge(folder: RunFolder, config: RunConfig, network: keras.Model, splits: Mapping[str, Split]) -> None:
    """Decide on validation, write the lock, then score every split.

    Temperature and bias are fitted on validation as it is. The threshold is chosen on validation under shift too (the
    changes of `pipeline.evaluation.shifts`). These choices, the weights and the settings are locked before any image of
    `test` is read. Writes `model.keras`, `lock.json`, `robustness.json`, `predictions.csv` and, last, `metrics.json`.

    Args:
        folder: of the run; its config.json exists.
        config: the run's settings.
        network: float32, from `pipeline.networks.models.committee`.
        splits: `validation`, and those to score with its threshold: `test`, if there is one, or `held_out`.
    """
    validation = splits["validation"]
    times = 1 + len(SHIFTS) if config.evaluation.threshold_under_shift else 1
    logits = LogitsFn(network, expected=validation.count * times)

    def uncalibrated(split: Split) -> Predictions:
        return predictions_of(split.examples, score(logits.probabilities, split))

    views = {UNCHANGED: uncalibrated(validation)}
    if config.evaluation.threshold_under_shift:
        seed = config.evaluation.evaluation_seed
        views = score_views(views[UNCHANGED], validation.examples.images, logits.probabilities, seed)
    # Class weights make the network believe that both classes are equally common; the bias corrects that.
    rule, with_bias = config.evaluation.threshold_rule, config.fit.class_weights
    decision = decide(views[UNCHANGED], rule, with_bias=with_bias, views=pooled(views))
    save_model(folder.model, inference_model(network, decision.temperature, decision.bias))
    write_lock(folder, decision)
    if config.evaluation.threshold_under_shift:
        final = {name: calibrated(view, decision) for name, view in views.items()}
        write_json(folder.robustness, summary(final, decision.operating_point.threshold))
    tables = {"validation": views[UNCHANGED]}
    tables |= {name: uncalibrated(split) for name, split in splits.items() if name not in ("train", "validation")}
    tables = {name: calibrated(table, decision) for name, table in tables.items()}
    write_scores(folder, config, tables, decision)


def score(predict: Predict, split: Split) -> Floats:
    """Return P(PNEUMONIA), `[n]`, of every image of a split, with a progress bar."""
    images = split.examples.images
    parts = [images[start : start + SHOWN] for start in range(0, len(images), SHOWN)]
    return np.concatenate([predict(part) for part in track(parts, f"Scoring {split.name}")])


def predictions_of(examples: Examples, probabilities: NDArray[np.float64]) -> Predictions:
    """Return a table of the images' names, patients and labels with their probabilities `[n]`."""
    return Predictions(examples.filenames, examples.patients, examples.subtypes, examples.labels, probabilities)


def write_scores(
    folder: RunFolder,
    config: RunConfig,
    tables: Mapping[str, Predictions],
    decision: Decision,
    external: Mapping[str, Any] | None = None,
) -> None:
    """Score tables of calibrated predictions at the chosen threshold; write `predictions.csv` and `metrics.json`.

    `external` is what `metrics.json` says of images of another source, see docs/reference/run-folder.md.
    """
    figures = score_splits(tables, decision, config.evaluation.evaluation_seed, config.evaluation.resamples)
    write_csv(folder.predictions, tables)
    beside = {"external": external} if external else {}
    write_json(folder.metrics, {"dataset": describe(config.data.built), **beside, **figures})


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
