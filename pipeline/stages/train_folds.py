"""Cross-validation, `--folds`: a run in each fold, what they answer out of fold, and the committee of their models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from functools import partial

import keras
import numpy as np

from pipeline.config import RunConfig
from pipeline.data.fold_splits import few_in_validation, rows_of_fold, splits_of_fold
from pipeline.data.group_holdout import splits_of
from pipeline.data.split import Split
from pipeline.evaluation.doubt import patients_in_words
from pipeline.evaluation.fold_figures import fold_figures
from pipeline.evaluation.predictions import Images, Predictions, read_csv, write_csv
from pipeline.evaluation.robustness import UNCHANGED, through_changes
from pipeline.evaluation.scoring import Decision
from pipeline.evaluation.shifts import SHIFTS
from pipeline.networks.forward_pass import OutputsFn, joined
from pipeline.networks.inference_model import calibrated_committee, inference_model, scoring_model
from pipeline.run_folder.folder import RunFolder
from pipeline.run_folder.model_file import load_model
from pipeline.stages.also_judge import also_judge
from pipeline.stages.fit_and_judge import fit_and_judge
from pipeline.stages.illustrate import illustrate
from pipeline.stages.judge import judge_by, score, uncalibrated
from pipeline.stages.same_images import require_same_images
from pipeline.training.fastest import fastest_for
from pneumo_tfds.program.child_process import Beside
from pneumo_tfds.program.files import write_bytes, write_json
from pneumo_tfds.program.quiet import errors_only
from pneumo_tfds.program.wording import counted
from pneumo_tfds.splits.fold_sides import HELD_OUT


def fit_and_judge_folds(
    folder: RunFolder,
    config: RunConfig,
    after_epoch: Callable[[], None] = lambda: None,
    when_judged: Beside = nullcontext,
) -> None:
    """Train and judge a run in every fold, write what they answer out of fold, and judge the committee of all.

    What is done already is not done again. The dataset is read once. The test split, and the sources of `--also-judge`,
    are scored by the committee alone.
    `after_epoch` is called when an epoch is in the history of its fold. What `when_judged` returns is entered when the
    committee and its threshold are saved, and left after the report.
    """
    splits = splits_of(config.data)
    pool, count = splits["train"], config.data.folds
    patients = counted(len(np.unique(pool.names_and_patients[1])), "patient")
    rest = ", ".join(f"{name} {split.count}" for name, split in splits.items() if name != "train") or "no test split"
    print(f"{count} folds of train and validation together: {pool.count} images of {patients}; beside them {rest}")
    of_folds = [_of_fold(config, number) for number in range(1, count + 1)]
    rows = [rows_of_fold(pool, own.data) for own in of_folds]  # refuses too many folds before one is trained
    held = [of_fold[HELD_OUT] for of_fold in rows]
    if few := few_in_validation(pool.examples, [of_fold["validation"] for of_fold in rows]):
        print(f"warning: {few}")
    fastest_for(folder.execution, config)
    for number, own in enumerate(of_folds, start=1):
        _train_fold(folder, number, own, splits_of_fold(pool, own.data), after_epoch)
    _write_out_of_fold(folder, config)
    if not folder.metrics.exists():
        with errors_only("tensorflow"):  # it warns that each network is traced anew, which is intended
            _judge_committee(folder, config, splits, held)
    with when_judged():
        illustrate(folder, OutputsFn(load_model(folder.model)), splits, config.evaluation.evaluation_seed)
        also_judge(folder, config.evaluation.also_judge)


def _train_fold(
    folder: RunFolder, number: int, own: RunConfig, splits: dict[str, Split], after_epoch: Callable[[], None]
) -> None:
    """Train and judge a run in fold `number`, counted from 1, unless that is done."""
    fold = folder.fold(number)
    require_same_images(fold, splits, whole=folder)
    if fold.report.exists():  # its last file
        return
    print(f"fold {number}/{own.data.folds}", flush=True)
    with fold.locked():
        fold.write_config(own)
        write_bytes(fold.execution, folder.execution.read_bytes())
        fit_and_judge(fold, own, splits, after_epoch)
    keras.backend.clear_session()


def _of_fold(config: RunConfig, number: int) -> RunConfig:
    """Return the settings of fold `number`, counted from 1."""
    data, evaluation = replace(config.data, fold=number), replace(config.evaluation, also_judge=())
    return replace(config, data=data, evaluation=evaluation)


def _write_out_of_fold(folder: RunFolder, config: RunConfig) -> None:
    """Write what each fold's own model answered to the images that it held out, and the figures of that."""
    tables, thresholds, figures = {}, [], []
    for number in range(1, config.data.folds + 1):
        fold = folder.fold(number)
        metrics = fold.read_json(fold.metrics)
        thresholds.append(Decision.from_json(metrics, fold.metrics).operating_point.threshold)
        tables[fold.path.name] = read_csv(fold.predictions, metrics)[HELD_OUT]
        figures.append(metrics["splits"][HELD_OUT])
    settings = config.evaluation
    write_csv(folder.out_of_fold, tables)
    write_json(folder.folds, fold_figures(tables, thresholds, figures, settings.evaluation_seed, settings.resamples))


def _judge_committee(folder: RunFolder, config: RunConfig, splits: Mapping[str, Split], held: list[np.ndarray]) -> None:
    """Decide by what each network says of the images of its fold, which it has not seen; then score test."""
    settings, examples = config.evaluation, splits["train"].examples
    models = [load_model(folder.fold(number).model) for number in range(1, len(held) + 1)]
    times = 1 + len(SHIFTS) if settings.threshold_under_shift else 1
    predictors = [
        OutputsFn(scoring_model(calibrated_committee([model])), expected=len(rows) * times)
        for model, rows in zip(models, held, strict=True)
    ]

    def out_of_fold(images: Images) -> Predictions:
        parts = [predict(images[rows]) for predict, rows in zip(predictors, held, strict=True)]
        back = np.argsort(np.concatenate(held))
        return uncalibrated(examples, {name: values[back] for name, values in joined(parts).items()})

    views = {UNCHANGED: out_of_fold(examples.images)}
    views |= {name: out_of_fold(images) for name, images in through_changes(examples.images, settings)}
    network = calibrated_committee(models)
    predict = OutputsFn(scoring_model(network), expected=sum(split.count for split in splits.values()) - len(examples))
    patients = patients_in_words(views[UNCHANGED], "")
    judge_by(
        folder,
        config,
        views=views,
        splits=splits,
        table=lambda split: uncalibrated(split.examples, score(predict, split)),
        model=partial(inference_model, network),
        shown_on=f"{patients}, each answered by the one network of {len(models)} that had not seen them,",
    )
