"""Decide again after training: another threshold rule or guarantee, on validation or on labelled images of the user."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline.config import DataConfig, EvaluationConfig
from pipeline.data.dataset import with_images_to_score
from pipeline.data.group_holdout import splits_of
from pipeline.data.split import open_splits
from pipeline.evaluation.doubt import named
from pipeline.evaluation.evaluation_lock import write_lock
from pipeline.evaluation.operating_point import choose_operating_point
from pipeline.evaluation.predictions import Predictions, read_csv
from pipeline.evaluation.robustness import UNCHANGED, pooled, summary, through_changes
from pipeline.evaluation.scoring import CHOSEN_ON, OTHER_IMAGES, Decision, score_split, score_splits
from pipeline.evaluation.shifts import SHIFTS
from pipeline.networks.forward_pass import OutputsFn
from pipeline.report.reader_warnings import CHANCE, overlap_sentences
from pipeline.report.report_tables import in_brackets, number
from pipeline.run_folder.folder import RunFolder
from pipeline.run_folder.model_file import load_model
from pipeline.stages.also_judge import ELSEWHERE
from pipeline.stages.evaluate_run import DECIDED_ON, WISH
from pipeline.stages.examine import examine, passes
from pipeline.stages.illustrate import illustrate
from pipeline.stages.judge import answers_of, doubt_of, score
from pipeline.stages.training_overlap import training_overlap
from pneumo_tfds.prepared import inspect
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.files import write_bytes, write_json
from pneumo_tfds.program.wording import agreeing, quoted
from pneumo_tfds.sources.source_options import SourceOptions

WISHES = ("threshold_rule", "guarantee", "prevalence")
"""What can be wished for: fields of `pipeline.config.EvaluationConfig`."""
CarryDecision = Callable[[RunFolder, Mapping[str, Any]], dict[Path, bytes]]
"""From a run and its new metrics to the new content of its exported files: `export.carry_decision.with_decision`."""


def decide_again(
    run_dir: Path,
    wish: Mapping[str, Any],
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
        wish: what to decide in another way: `threshold_rule`, `guarantee` or `prevalence`, as in
            `pipeline.config.EvaluationConfig`. What is left out is as it was decided last.
        carry: makes the new exported files.
        on: labelled X-rays to decide on, as they are; None for validation, through the changes if training did so.
        options: how `on` is to be understood.
        show_names: show files and folders in the report.

    Raises:
        InputError: the run is not finished, the images cannot satisfy the wish, or a file of the run is damaged.
    """
    run = RunFolder(run_dir)
    config, metrics = run.read_config(), run.read_json(run.metrics)
    if config.data.folds and not config.data.fold:
        raise InputError(
            f"{run_dir} was decided out of fold, which its committee cannot repeat; give the wish to pipeline.train, "
            "or decide by your own X-rays with export.recalibrate"
        )
    before, tables = Decision.from_json(metrics, run.metrics), read_csv(run.predictions, metrics)
    last = {"threshold_rule": before.operating_point.rule, **metrics.get(WISH, {})}
    run.import_own_network()
    settings = replace(config.evaluation, **{**last, **wish})
    splits = splits_of(config.data)
    if "validation" not in tables or len(tables["validation"]) != splits["validation"].count:
        remedy = f"score them first: python -m pipeline.evaluate {quoted(run_dir)}"
        raise InputError(f"{run.predictions} lacks images of validation; {remedy}")
    images = splits["validation"].examples
    under_shift = settings.threshold_under_shift
    with run.locked(), run.locked("export"):
        ask = OutputsFn(load_model(run.model), expected=len(images) * len(SHIFTS) * under_shift + passes(splits))
        decision, decided_on = None, dict[str, Any]()
        if on is None and DECIDED_ON in metrics:
            print("note: threshold and limits were decided on other images; now on validation again, without --on")
        if on is not None:
            other, decided_on = _other_images(run, ask, metrics, on.expanduser().resolve(), options or SourceOptions())
            _check_ranking(other, settings)
            decision = _decision(before, [other], settings, OTHER_IMAGES)
        views = {UNCHANGED: tables["validation"]}
        views |= {name: answers_of(images, ask(seen)) for name, seen in through_changes(images.images, settings)}
        decision = decision or _decision(before, list(views.values()), settings, CHOSEN_ON)
        kept = {name: value for name, value in metrics.items() if name != DECIDED_ON}
        figures = score_splits(tables, decision, settings.evaluation_seed, settings.resamples)
        new = kept | {WISH: {name: getattr(settings, name) for name in WISHES}} | decided_on | figures
        exported = carry(run, new)

        write_lock(run, decision)
        for path, content in exported.items():
            write_bytes(path, content)
        point = decision.operating_point
        robustness = run.read_json_if_there(run.robustness)
        if robustness.pop(ELSEWHERE, None):
            print(
                "note: figures on other sources were those of the earlier threshold, so the report leaves them out; "
                f"score them at this one: python -m pipeline.evaluate {quoted(run_dir)} --also-judge PATH"
            )
        if under_shift:
            robustness = summary(views, point.threshold, decision.refused_below)
        if under_shift or run.robustness.exists():
            write_json(run.robustness, robustness)
        write_json(run.metrics, new)
        old = before.operating_point
        print(f"threshold {old.threshold} (by {old.rule} on {old.chosen_on}) is now {point.threshold}")
        print(f"carried into {', '.join(path.name for path in (run.evaluation_lock, *exported, run.metrics))}")
        _note_earlier_evaluations(run, metrics, new)
        examine(run, ask, splits, config)
        illustrate(run, ask, splits, settings.evaluation_seed, show_names=show_names)
    return run


def _note_earlier_evaluations(run: RunFolder, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Say which evaluations of other sources in the run folder still show the earlier decision."""
    found = sorted(path.name for path in run.path.glob("evaluation-*") if RunFolder(path).metrics.exists())
    if found and any(before.get(key) != now.get(key) for key in ("operating_point", "doubt")):
        print(
            f"note: {', '.join(found)} {agreeing(len(found), 'shows', 'show')} figures of the earlier decision; score "
            f"{agreeing(len(found), 'that source', 'those sources')} again: python -m pipeline.evaluate "
            f"{quoted(run.path)} --source PATH"
        )


def _decision(before: Decision, views: list[Predictions], settings: EvaluationConfig, chosen_on: str) -> Decision:
    """Return the decision by tables of calibrated predictions, of the images as they are and through each change."""
    together = pooled({str(number): view for number, view in enumerate(views)})
    point = choose_operating_point(together.labels, together.probabilities, settings.threshold_rule, chosen_on)
    whose = None if chosen_on == CHOSEN_ON else f"{named(views[0], '')} of {chosen_on}"
    doubt = doubt_of(views, point.threshold, settings, before.refused_below, whose)
    return replace(before, operating_point=point, doubt=doubt)


def _check_ranking(table: Predictions, settings: EvaluationConfig) -> None:
    """Raise InputError if the model ranks the images no better than chance: no threshold repairs that."""
    figures = score_split(table, CHANCE, settings.evaluation_seed, settings.resamples)
    auroc, limits = figures["auroc"], figures["intervals"]["auroc"]
    if auroc is not None and (limits[0] if limits else auroc) <= CHANCE:
        found = f"AUROC on these images is {number(auroc)}{in_brackets(limits)}, which cannot be told from chance"
        raise InputError(f"--on: {found}; no threshold repairs that, so the decision stays; train on such images")


def _other_images(
    run: RunFolder, ask: OutputsFn, metrics: Mapping[str, Any], source: Path, options: SourceOptions
) -> tuple[Predictions, dict[str, Any]]:
    """Score the user's images; return them, and what `metrics.json` gets about them."""
    own = run.read_config()
    data: DataConfig = with_images_to_score(own, source, options).data
    (found,) = open_splits(data.built.folder).values()
    split = replace(found, name=OTHER_IMAGES)
    overlap = training_overlap(own.data, metrics.get("dataset", {}).get("manifest_sha256"), data, split)
    print("\n".join(overlap_sentences(overlap, split.count)), flush=True)
    table = answers_of(split.examples, score(ask, split))
    identity = inspect(data.built.folder).metadata.get("manifest_sha256")
    return table, {DECIDED_ON: {"images": len(table), "overlap": overlap, "manifest_sha256": identity}}
