"""The verdict on a trained network: decided on validation, locked, and only then scored on every split."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from pipeline.config import BuiltDataset, RunConfig
from pipeline.data.split import Examples, Split
from pipeline.evaluation.evaluation_lock import write_lock
from pipeline.evaluation.predictions import Predictions, write_csv
from pipeline.evaluation.robustness import UNCHANGED, pooled, summary, views
from pipeline.evaluation.scoring import Decision, calibrated, decide, score_splits
from pipeline.networks.forward_pass import Scorer
from pipeline.networks.models import inference_model
from pipeline.run_folder.folder import RunFolder
from pipeline.run_folder.model_file import save_model
from pneumo_tfds.prepared import inspect
from pneumo_tfds.program.files import write_json

KEPT = ("test_origin", "split_rule", "manifest_sha256", "patients")
COUNTED = ("skipped", "dropped", "byte_identical")


def judge(folder: RunFolder, config: RunConfig, network: keras.Model, splits: Mapping[str, Split]) -> None:
    """Decide, lock and score; write `model.keras`, `lock.json`, `robustness.json`, `predictions.csv`, `metrics.json`.

    Temperature and bias come from validation as it is, the operating point from validation seen also through the
    changes of `pipeline.evaluation.shifts`. They, the weights and the settings are locked before any image of `test`
    is looked at.

    Args:
        folder: of the run; its config.json is written already.
        config: the run's settings.
        network: float32, from `pipeline.networks.models.committee`.
        splits: `validation`, and what is scored by its choice: `test`, if there is one, or `held_out`.
    """
    score = Scorer(network)

    def raw(split: Split) -> Predictions:
        return predictions_of(split.examples, score.probabilities(split.examples.images))

    validation = splits["validation"]
    tables = {UNCHANGED: raw(validation)}
    if config.evaluation.threshold_under_shift:
        tables = views(
            tables[UNCHANGED], validation.examples.images, score.probabilities, config.evaluation.evaluation_seed
        )
    # Class weights teach the network that both classes are equally common; the bias takes that back.
    rule, with_bias = config.evaluation.threshold_rule, config.fit.class_weights
    decision = decide(tables[UNCHANGED], rule, with_bias=with_bias, views=pooled(tables))
    save_model(folder.model, inference_model(network, decision.temperature, decision.bias))
    point = decision.operating_point
    write_lock(folder, decision)

    def final(table: Predictions) -> Predictions:
        return calibrated(table, decision)

    if config.evaluation.threshold_under_shift:
        write_json(folder.robustness, summary({name: final(view) for name, view in tables.items()}, point.threshold))
    scored = {"validation": final(tables[UNCHANGED])}
    scored |= {name: final(raw(split)) for name, split in splits.items() if name not in ("train", "validation")}
    write_scores(folder, config, scored, decision)


def predictions_of(examples: Examples, probabilities: NDArray[np.float64]) -> Predictions:
    """Set probabilities `[n]` beside who and what they are about."""
    return Predictions(
        filenames=examples.filenames,
        patients=examples.patients,
        subtypes=examples.subtypes,
        labels=examples.labels,
        probabilities=probabilities,
    )


def write_scores(folder: RunFolder, config: RunConfig, tables: Mapping[str, Predictions], decision: Decision) -> None:
    """Score the tables by a choice that is made; write `predictions.csv` and `metrics.json`."""
    figures = score_splits(tables, decision, config.evaluation.evaluation_seed, config.evaluation.resamples)
    write_csv(folder.predictions, tables)
    write_json(folder.metrics, {"dataset": describe(config.data.built), **figures})


def describe(dataset: BuiltDataset) -> dict[str, Any]:
    """Give what `metrics.json` says of a dataset: counts, hashes and rules, and no file, patient or folder."""
    built = inspect(dataset.folder)
    return {
        "name": f"pneumo_tfds/{dataset.name}",
        "version": dataset.version,
        "phantom": dataset.phantom,
        "images": built.examples,
        **{key: built.metadata.get(key) for key in KEPT},
        **{key: len(built.metadata.get(key, ())) for key in COUNTED},
    }
