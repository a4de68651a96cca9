"""The `metadata.json` of a built dataset: where it comes from, how it was split, and what was left out."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from typing import Any

from pneumo_tfds.sources.inventory import Source, manifest
from pneumo_tfds.sources.patients import UNKNOWN_PATIENT
from pneumo_tfds.splits.near_duplicates import near_groups
from pneumo_tfds.splits.options import SplitOptions
from pneumo_tfds.splits.shard_plan import Plan
from pneumo_tfds.writing.examples import BuildLog

MAX_LOOKED_AT = 30_000
"""Images among which a build looks for near-identical ones; the work grows with the square of their number. `audit`
has no limit."""


def split_rule(test_origin: str, options: SplitOptions) -> str:
    """Return one sentence about the splits, for metadata and reports."""
    test = "test is the official test folder"
    if test_origin == "carved":
        test = f"{options.test_fraction:.0%} of the patients test, because the source has no test folder"
    share = f"{options.validation_fraction:.0%} of the other patients validate"
    return f"by patient, drawn by a hash of the patient, stratified by label and subtype: {share}; {test}"


def near_identical_across_splits(plan: Plan, log: BuildLog, workers: int | None = None) -> list[list[str]]:
    """Return the names of near-identical images that lie in different splits, a list for each group.

    Only images with a thumbnail in `log` are compared. Byte-identical ones in different splits are among them.
    """
    split = plan.assignment.split
    copies: dict[str, list[str]] = defaultdict(list)
    for name in sorted(log.thumbnails):
        copies[log.sha256[name]].append(name)
    groups = list(copies.values())
    sides = [" ".join(sorted({split[name] for name in group})) for group in groups]
    near = near_groups([log.thumbnails[group[0]] for group in groups], sides, workers)
    merged = [[name for index in indices for name in groups[index]] for indices in near]
    linked = {index for indices in near for index in indices}
    merged += [group for index, group in enumerate(groups) if index not in linked]
    return sorted(sorted(group) for group in merged if len({split[name] for name in group}) > 1)


def describe(
    source: Source, plan: Plan, options: SplitOptions, log: BuildLog, workers: int | None = None
) -> dict[str, Any]:
    """Return the content of `metadata.json` for a dataset that was built by `plan`."""
    near = {"near_identical_across_splits": near_identical_across_splits(plan, log, workers)} if log.thumbnails else {}
    return {
        "source": source.where,
        "source_kind": source.kind,
        "fingerprint": source.fingerprint(options.as_text()),
        "manifest_sha256": hashlib.sha256(manifest(log.sha256).encode()).hexdigest(),
        "source_bytes": log.source_bytes,
        "test_origin": plan.assignment.test_origin,
        "split_rule": split_rule(plan.assignment.test_origin, options),
        "validation_fraction": options.validation_fraction,
        "planned": plan.count_by("label"),
        "planned_subtypes": plan.count_by("subtype"),
        "patients": {split: len({image.patient for image in plan.images(split)}) for split in plan.shards},
        "patients_unknown": sum(image.patient.startswith(UNKNOWN_PATIENT) for image in plan.images()),
        "skipped": dict(sorted(log.skipped.items())),
        "dropped": dict(sorted(plan.assignment.dropped.items())),
        "ignored": source.ignored,
        "byte_identical": [[image.name for image in group] for group in plan.identical],
        **near,
    }
