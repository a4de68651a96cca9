"""The `metadata.json` of a built dataset: where it comes from, how it was split, and what was left out."""

from __future__ import annotations

import hashlib
from typing import Any

from pneumo_tfds.program.framing_names import Framing
from pneumo_tfds.sources.inventory import Source, manifest
from pneumo_tfds.sources.patients import UNKNOWN_PATIENT
from pneumo_tfds.splits.options import SplitOptions
from pneumo_tfds.splits.shard_plan import Plan
from pneumo_tfds.writing.examples import BuildLog


def split_rule(test_origin: str, options: SplitOptions) -> str:
    """Return one sentence about the splits, for metadata and reports."""
    test = "test is the official test folder"
    if test_origin == "carved":
        test = f"{options.test_fraction:.0%} of the patients test, because the source has no test folder"
    share = f"{options.validation_fraction:.0%} of the other patients validate"
    return f"by patient, drawn by a hash of the patient, stratified by label and subtype: {share}; {test}"


def describe(source: Source, plan: Plan, options: SplitOptions, log: BuildLog, framing: Framing) -> dict[str, Any]:
    """Return the content of `metadata.json` for a dataset that was built by `plan`."""
    return {
        "source": source.where,
        "source_kind": source.kind,
        "fingerprint": source.fingerprint(options.as_text()),
        "manifest_sha256": hashlib.sha256(manifest(log.sha256).encode()).hexdigest(),
        "source_bytes": log.source_bytes,
        "framing": framing,
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
    }
