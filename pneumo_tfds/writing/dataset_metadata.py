"""What a built dataset says about where it comes from: the text of its `metadata.json`."""

from __future__ import annotations

import hashlib
from typing import Any

from pneumo_tfds.sources.inventory import Source
from pneumo_tfds.splits.shard_plan import Options, Plan, count_by
from pneumo_tfds.writing.examples import Notes


def split_rule(test_origin: str, options: Options) -> str:
    """One sentence for metadata and reports."""
    test = "test is the official test folder"
    if test_origin == "carved":
        test = f"{options.test_fraction:.0%} of the patients test, because the source has no test folder"
    share = f"{options.validation_fraction:.0%} of the other patients validate"
    return f"by patient, drawn by a hash of the patient, stratified by label and subtype: {share}; {test}"


def describe(source: Source, plan: Plan, options: Options, notes: Notes) -> dict[str, Any]:
    """What `metadata.json` of a built dataset says about where it comes from."""
    return {
        "source": source.where,
        "source_kind": source.kind,
        "fingerprint": source.fingerprint(options),
        "manifest_sha256": hashlib.sha256(notes.manifest().encode()).hexdigest(),
        "source_bytes": notes.source_bytes,
        "test_origin": plan.test_origin,
        "split_rule": split_rule(plan.test_origin, options),
        "validation_fraction": options.validation_fraction,
        "planned": count_by(plan, "label"),
        "planned_subtypes": count_by(plan, "subtype"),
        "patients": {
            split: len({image.patient for shard in shards for image in shard}) for split, shards in plan.shards.items()
        },
        "patients_unknown": sum(
            image.patient.startswith("file:") for shards in plan.shards.values() for shard in shards for image in shard
        ),
        "skipped": dict(sorted(notes.skipped.items())),
        "dropped": dict(sorted(plan.dropped.items())),
        "ignored": source.ignored,
        "byte_identical": [list(group) for group in plan.identical],
    }
