"""Evaluate a finished run again or on other images. Nothing is chosen here: the run's own threshold is applied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.data.group_holdout import splits_of
from pipeline.evaluation.predictions import Images, Predictions, read_csv
from pipeline.evaluation.resemblance import resemblance
from pipeline.evaluation.scoring import EXTERNAL, Decision, by_interest
from pipeline.evaluation.subgroups import by_groups
from pipeline.networks.forward_pass import OutputsFn
from pipeline.run_folder.folder import RunFolder
from pipeline.run_folder.model_file import load_model
from pipeline.stages.examine import examine, passes
from pipeline.stages.illustrate import illustrate
from pipeline.stages.judge import ORIGIN_KEYS, WRONG_REFUSED, answers_of, score, write_scores
from pipeline.stages.other_source import open_other_source, print_overlap
from pipeline.stages.same_images import require_same_images
from pneumo_tfds.prepared import is_built
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.progress import stage
from pneumo_tfds.program.wording import counted
from pneumo_tfds.sources.image_columns import read_columns
from pneumo_tfds.sources.source_options import SourceOptions

REQUESTED = "wish"
"""Key in `metrics.json`: what was last asked for of threshold and limits that the settings have otherwise."""
DECIDED_ON = "decided_on"
"""What `metrics.json` says of the images of another source, if the threshold was chosen on such."""

COMPARED_IMAGES = 300
"""How many validation images at most other images are compared with in exposure and sharpness."""

OWN_FIGURES = (
    "n", "patients", "patients_by_class", "prevalence", "auroc", "average_precision", "sensitivity", "specificity",
    "precision", "npv", "accuracy", "balanced_accuracy", "f1", "brier", "ece", "intervals", "answered",
)  # fmt: skip
"""Figures of the run itself that are shown beside those of another source."""


def evaluate_run(run_dir: Path, split: str = "all", *, show_names: bool = False) -> RunFolder:
    """Score a run's model on its own dataset once more, and replace predictions, figures, plots and report.

    Args:
        run_dir: folder of a finished run.
        split: the split to score; `all` is every split but train.
        show_names: show files and folders in the report.

    Returns:
        The folder of the run.

    Raises:
        InputError: the run is not finished, its images are not those that it was trained with, or there is nothing to
            score.
    """
    run = RunFolder(run_dir)
    config, metrics = run.read_config(), run.read_json(run.metrics)
    decision = Decision.from_json(metrics, run.metrics)
    run.import_own_network()
    model, splits = load_model(run.model), splits_of(config.data)
    names = [name for name in splits if split == name or (split == "all" and name != "train")]
    if not names:
        raise InputError(f"--split {split} is not in {config.data.dataset}; it has {', '.join(splits)}")
    with run.locked():
        require_same_images(run, splits)
        predict = OutputsFn(model, expected=sum(splits[name].count for name in names) + passes(splits))
        tables = _tables_to_keep(run, metrics, names)
        for name in names:
            tables[name] = answers_of(splits[name].examples, score(predict, splits[name]))
        beside = {key: metrics[key] for key in (DECIDED_ON, REQUESTED, WRONG_REFUSED, *ORIGIN_KEYS) if key in metrics}
        write_scores(run, config, tables, decision, beside)
        examine(run, predict, splits, config)
        illustrate(run, predict, splits, config.evaluation.evaluation_seed, show_names=show_names)
    return run


def _tables_to_keep(run: RunFolder, metrics: Mapping[str, Any], names: Sequence[str]) -> dict[str, Predictions]:
    """Return what `predictions.csv` has: it is to be the file of `metrics`, unless all of it is scored again."""
    tables = read_csv(run.predictions) if run.predictions.exists() else {}
    if left := [name for name in tables if name not in names]:
        try:
            read_csv(run.predictions, metrics)
        except InputError as error:
            raise InputError(
                f"{run.predictions} has changed since metrics.json was made from it, and its rows of "
                f"{', '.join(left)} would stay; restore it, or remove it and leave --split out"
            ) from error
    return tables


def evaluate_elsewhere(
    run_dir: Path,
    source: Path,
    options: SourceOptions | None = None,
    by: Sequence[str] = (),
    *,
    show_names: bool = False,
) -> RunFolder:
    """Score a run's model on other X-rays, and print first how many of them the run was trained on.

    Args:
        run_dir: folder of a finished run.
        source: folder, zip or CSV of labelled X-rays; its test split is scored if it has one, else all of it.
        options: how the source is to be understood.
        by: columns of its table, or elements of its DICOM headers, by which figures are computed for groups.
        show_names: show files and folders in the report.

    Returns:
        The folder that was written, one for each source: `RUN/evaluation-NAME`.

    Raises:
        InputError: the run is not finished, the source cannot be read or needs a decision, or lacks a column of `by`.
    """
    run, source = RunFolder(run_dir), source.expanduser().resolve()
    own, metrics = run.read_config(), run.read_json(run.metrics)
    decision = Decision.from_json(metrics, run.metrics)
    known = read_csv(run.predictions, metrics) if run.predictions.exists() else {}
    run.import_own_network()
    model = load_model(run.model)
    other = open_other_source(own, source, options or SourceOptions(), EXTERNAL)
    config, split, metadata = other.config, other.split, other.metadata
    official = metadata.get("test_origin") == "official"
    part = "the test split of the source" if official else "all images of the source"
    columns = read_columns(source, split.names_and_patients[0].tolist(), by) if by else {}
    print(f"{source}: {counted(split.count, 'image')} to score, {part}")
    overlap = print_overlap(own, metrics, other)
    external = {
        "scored": "test" if official else "all",
        "overlap": overlap,
        "own": own_figures(metrics),
        "decided_on": metrics.get(DECIDED_ON, {}).get("manifest_sha256", "") == metadata.get("manifest_sha256"),
    }
    target = run.evaluation_of(config.data)
    with target.locked():
        if target.config.exists() and not target.is_of(config.data):
            raise InputError(f"{target.path} was taken by another source meanwhile; start the command again")
        target.write_config(config)
        predict = OutputsFn(model, expected=split.count)
        tables = {EXTERNAL: answers_of(split.examples, score(predict, split))}
        external |= compared(run, known, tables[EXTERNAL], split.examples.images, columns, decision)
        write_scores(target, config, tables, decision, {"external": external})
        illustrate(target, predict, {EXTERNAL: split}, config.evaluation.evaluation_seed, show_names=show_names)
    return target


def compared(
    run: RunFolder,
    own: Mapping[str, Predictions],
    table: Predictions,
    images: Images,
    columns: Mapping[str, Sequence[str]],
    decision: Decision,
) -> dict[str, Any]:
    """Return what images of another source have against the run's `own`, and their groups against each other.

    `familiarity` of both (quartiles), `resembles` (see `pipeline.evaluation.resemblance`; None if it is not known) and
    `groups` (see `pipeline.evaluation.subgroups`).
    """
    config = run.read_config()
    tables = {"here": table} | ({"own": own[by_interest(own)[0]]} if own else {})
    known = {name: part.familiarity for name, part in tables.items() if not np.isnan(part.familiarity).any()}
    validation = splits_of(config.data).get("validation") if is_built(config.data.built.folder) else None
    like = None
    if validation:
        with stage("Comparing exposure and sharpness with known changes"):
            every = -(-validation.count // COMPARED_IMAGES)
            like = resemblance(images, validation.examples.images[::every], config.evaluation.evaluation_seed)
    with stage("Computing figures of groups") if columns else nullcontext():
        groups = by_groups(table, columns, decision, config.evaluation)
    quartiles = {name: np.quantile(values, (0.25, 0.5, 0.75)).tolist() for name, values in known.items()}
    return {"familiarity": quartiles, "resembles": like, "groups": groups}


def own_figures(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return the figures of the run itself to show beside those of another source: of its test split if it has one."""
    dataset = metrics.get("dataset") or {}
    trained_on = {key: dataset.get(key) for key in ("name", "version", "phantom", "layout", "title")}
    if not metrics["splits"]:
        return {"dataset": trained_on, "split": None}
    split = by_interest(metrics["splits"])[0]
    figures = {name: metrics["splits"][split][name] for name in OWN_FIGURES if name in metrics["splits"][split]}
    left = {"reliance": metrics["reliance"]} if "reliance" in metrics else {}
    return {"dataset": trained_on, "split": split, "figures": figures, **left}
