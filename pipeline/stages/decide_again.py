"""Decide again after training: another threshold rule or guarantee, on validation or on labelled images of the user."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipeline.config import EvaluationConfig, RunConfig
from pipeline.config.guarantee import candidates
from pipeline.data.group_holdout import splits_of
from pipeline.data.split import Split
from pipeline.evaluation.doubt import limits, patients_in_words
from pipeline.evaluation.evaluation_lock import write_lock
from pipeline.evaluation.operating_point import choose_operating_point
from pipeline.evaluation.predictions import Predictions, read_csv
from pipeline.evaluation.robustness import UNCHANGED, pooled, summary, through_changes
from pipeline.evaluation.scoring import CHOSEN_ON, OTHER_IMAGES, Decision, score_split, score_splits
from pipeline.evaluation.shifts import SHIFTS
from pipeline.networks.forward_pass import OutputsFn
from pipeline.report.reader_warnings import CHANCE
from pipeline.report.report_tables import in_brackets, number
from pipeline.run_folder.folder import RunFolder
from pipeline.run_folder.model_file import load_model
from pipeline.stages.also_judge import ELSEWHERE
from pipeline.stages.evaluate_run import DECIDED_ON, REQUESTED
from pipeline.stages.examine import examine, passes
from pipeline.stages.illustrate import illustrate
from pipeline.stages.judge import answers_of, score
from pipeline.stages.other_source import open_other_source, print_overlap
from pipeline.stages.same_images import require_same_images
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.files import write_bytes, write_json
from pneumo_tfds.program.wording import agreeing, quoted
from pneumo_tfds.sources.source_options import SourceOptions

REQUESTABLE = ("threshold_rule", "guarantee", "prevalence")
"""What can be decided in another way: fields of `pipeline.config.EvaluationConfig`."""
CarryDecision = Callable[[RunFolder, Mapping[str, Any]], dict[Path, bytes]]
"""From a run and its new metrics to the new content of its exported files: `export.carry_decision.with_decision`."""


@dataclass(frozen=True)
class _DecidedRun:
    """A finished run, as it was decided before, and how to decide it now."""

    folder: RunFolder
    config: RunConfig
    settings: EvaluationConfig
    """How to decide it now: the run's own settings, what was last requested, and what is requested now."""
    metrics: Mapping[str, Any]
    decision: Decision
    tables: Mapping[str, Predictions]
    splits: Mapping[str, Split]


def decide_again(
    run_dir: Path,
    requested: Mapping[str, Any],
    carry: CarryDecision,
    on: Path | None = None,
    options: SourceOptions | None = None,
    *,
    show_names: bool = False,
) -> RunFolder:
    """Choose threshold and limits once more, and carry them into every file of a run that has them.

    Temperature, bias and familiarity stay. Everything is computed before the first file is replaced. Then the lock is
    written, with the earlier one kept in it; the exported files; `robustness.json`; and last `metrics.json`. Between
    the first and the last, the lock says of the run that it is unfinished, and the same call completes it. Plots and
    report follow.

    Args:
        run_dir: folder of a finished run.
        requested: what to decide in another way: `threshold_rule`, `guarantee` or `prevalence`, as in
            `pipeline.config.EvaluationConfig`. What is left out is as it was decided last.
        carry: makes the new exported files.
        on: labelled X-rays to decide on, as they are; None for validation, through the changes if training did so.
        options: how `on` is to be understood.
        show_names: show files and folders in the report.

    Raises:
        InputError: the run is not finished, the images cannot satisfy the request, or a file of the run is damaged.
    """
    run = _decided_run(RunFolder(run_dir), requested)
    folder, settings, images = run.folder, run.settings, run.splits["validation"].examples
    with folder.locked(), folder.locked("export"):
        expected = passes(run.splits)
        if settings.threshold_under_shift:
            expected += len(images) * len(SHIFTS)
        predict = OutputsFn(load_model(folder.model), expected=expected)
        decision, decided_on = None, dict[str, Any]()
        if on is None and DECIDED_ON in run.metrics:
            print("note: threshold and limits were decided on other images; now on validation again, without --on")
        if on is not None:
            other, decided_on = _other_images(run, predict, on.expanduser().resolve(), options or SourceOptions())
            decision = _new_decision(run, [other], OTHER_IMAGES)
        views = {UNCHANGED: run.tables["validation"]}
        views |= {name: answers_of(images, predict(seen)) for name, seen in through_changes(images.images, settings)}
        decision = decision or _new_decision(run, list(views.values()), CHOSEN_ON)
        kept = {name: value for name, value in run.metrics.items() if name != DECIDED_ON}
        figures = score_splits(run.tables, decision, settings.evaluation_seed, settings.resamples)
        now = {name: getattr(settings, name) for name in REQUESTABLE}
        metrics = kept | {REQUESTED: now} | decided_on | figures
        exported = carry(folder, metrics)

        _replace_files(run, decision, exported, views, metrics)
        old, new = run.decision.operating_point, decision.operating_point
        print(f"threshold {old.threshold} (by {old.rule} on {old.chosen_on}) is now {new.threshold}")
        print(f"carried into {', '.join(path.name for path in (folder.evaluation_lock, *exported, folder.metrics))}")
        _note_earlier_evaluations(folder, run.metrics, metrics)
        examine(folder, predict, run.splits, run.config)
        illustrate(folder, predict, run.splits, settings.evaluation_seed, show_names=show_names)
    return folder


def _decided_run(folder: RunFolder, requested: Mapping[str, Any]) -> _DecidedRun:
    """Read a finished run that can be decided again by what its model says of validation.

    Raises:
        InputError: it is not finished, was decided out of fold, its validation images are not scored, or its images are
            not those that it was trained with.
    """
    config, metrics = folder.read_config(), folder.read_json(folder.metrics)
    if config.data.folds and not config.data.fold:
        raise InputError(
            f"{folder.path} was decided out of fold, which its committee cannot repeat; give the rule or "
            "guarantee to pipeline.train, or decide by your own X-rays with export.recalibrate"
        )
    decision, tables = Decision.from_json(metrics, folder.metrics), read_csv(folder.predictions, metrics)
    last = {"threshold_rule": decision.operating_point.rule, **metrics.get(REQUESTED, {})}
    folder.import_own_network()
    settings = replace(config.evaluation, **{**last, **requested})
    if "prevalence" in requested and not candidates(settings.guarantee):
        raise InputError("--prevalence has no effect with --guarantee none; leave it out, or give a guarantee")
    splits = splits_of(config.data)
    require_same_images(folder, splits)
    if "validation" not in tables:
        remedy = f"score them first: python -m pipeline.evaluate {quoted(folder.path)}"
        raise InputError(f"{folder.predictions} lacks images of validation; {remedy}")
    return _DecidedRun(folder, config, settings, metrics, decision, tables, splits)


def _replace_files(
    run: _DecidedRun,
    decision: Decision,
    exported: Mapping[Path, bytes],
    views: Mapping[str, Predictions],
    metrics: Mapping[str, Any],
) -> None:
    """Write what the decision changes, in the order that `decide_again` promises."""
    folder = run.folder
    write_lock(folder, decision)
    for path, content in exported.items():
        write_bytes(path, content)
    robustness = folder.read_json_if_there(folder.robustness)
    if robustness.pop(ELSEWHERE, None):
        print(
            "note: figures on other sources were those of the earlier threshold, so the report leaves them out; "
            f"score them at this one: python -m pipeline.evaluate {quoted(folder.path)} --also-judge PATH"
        )
    if run.settings.threshold_under_shift:
        robustness = summary(views, decision.operating_point.threshold, decision.refused_below)
    if run.settings.threshold_under_shift or folder.robustness.exists():
        write_json(folder.robustness, robustness)
    write_json(folder.metrics, metrics)


def _note_earlier_evaluations(run: RunFolder, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Say which evaluations of other sources in the run folder still show the earlier decision."""
    found = sorted(path.name for path in run.path.glob("evaluation-*") if RunFolder(path).metrics.exists())
    if found and any(before.get(key) != now.get(key) for key in ("operating_point", "doubt")):
        print(
            f"note: {', '.join(found)} {agreeing(len(found), 'shows', 'show')} figures of the earlier decision; score "
            f"{agreeing(len(found), 'that source', 'those sources')} again: python -m pipeline.evaluate "
            f"{quoted(run.path)} --source PATH"
        )


def _new_decision(run: _DecidedRun, views: list[Predictions], chosen_on: str) -> Decision:
    """Return the decision by tables of calibrated predictions, of the images as they are and through each change."""
    before, settings = run.decision, run.settings
    together = pooled({str(number): view for number, view in enumerate(views)})
    point = choose_operating_point(together.labels, together.probabilities, settings.threshold_rule, chosen_on)
    doubt = limits(
        views,
        point.threshold,
        candidates(settings.guarantee),
        settings.prevalence,
        rule=settings.guarantee,
        shown_on=None if chosen_on == CHOSEN_ON else f"{patients_in_words(views[0], '')} of {chosen_on}",
        refused_below=before.refused_below,
    )
    return replace(before, operating_point=point, doubt=doubt)


def _check_ranking(table: Predictions, settings: EvaluationConfig) -> None:
    """Raise InputError if the model ranks the images no better than chance: no threshold repairs that."""
    figures = score_split(table, CHANCE, settings.evaluation_seed, settings.resamples)
    auroc, interval = figures["auroc"], figures["intervals"]["auroc"]
    if auroc is not None and (interval[0] if interval else auroc) <= CHANCE:
        found = f"AUROC on these images is {number(auroc)}{in_brackets(interval)}, which cannot be told from chance"
        raise InputError(f"--on: {found}; no threshold repairs that, so the decision stays; train on such images")


def _other_images(
    run: _DecidedRun, predict: OutputsFn, source: Path, options: SourceOptions
) -> tuple[Predictions, dict[str, Any]]:
    """Score the user's images; return them, and what `metrics.json` gets about them.

    Raises:
        InputError: the source cannot be read or needs a decision, or the model ranks its images no better than chance.
    """
    other = open_other_source(run.config, source, options, OTHER_IMAGES)
    overlap = print_overlap(run.config, run.metrics, other)
    table = answers_of(other.split.examples, score(predict, other.split))
    _check_ranking(table, run.settings)
    identity = other.metadata.get("manifest_sha256")
    return table, {DECIDED_ON: {"images": len(table), "overlap": overlap, "manifest_sha256": identity}}
