"""The `metadata.json` of a built dataset: where it comes from, how it was split, and what was left out."""

from __future__ import annotations

import hashlib
from typing import Any

from pneumo_tfds.program.framing_names import Framing
from pneumo_tfds.sources.inventory import Source, manifest
from pneumo_tfds.sources.patients import is_unknown
from pneumo_tfds.splits.options import SplitOptions
from pneumo_tfds.splits.shard_plan import Plan
from pneumo_tfds.writing.examples import BuildLog


def split_rule(source: Source, plan: Plan, options: SplitOptions) -> str:
    """Return one sentence about the splits, for metadata and reports."""
    origin = plan.assignment.test_origin
    if origin == "whole":
        return "none: all images are in one split, to score a model on them"
    given = {image.official_split for image in source.images} if source.validation == "given" else set()
    test = {
        "official": "test is the official test folder" if not given else "test is as the source gives it",
        "carved": f"{options.test_fraction:.0%} of the patients test, because the source has no test folder",
        "none": "there is no test split, because the source gives splits and none of them is test",
    }[origin]
    if "val" in given:
        return f"train and validation as the source gives them; {test}"
    share = f"{options.validation_fraction:.0%} of the other patients validate"
    return f"{_unit(source)}, drawn by a hash of the patient, stratified by label and subtype: {share}; {test}"


def _unit(source: Source) -> str:
    unknown = sum(is_unknown(image.patient) for image in source.images)
    if unknown == len(source.images):
        return "by image, because nothing tells the patients"
    return f"by patient, and by image for {unknown:,} images of unknown patients" if unknown else "by patient"


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
        "split_rule": split_rule(source, plan, options),
        "validation_fraction": options.validation_fraction,
        "planned": plan.count_by("label"),
        "planned_subtypes": plan.count_by("subtype"),
        "patients": {split: len({image.patient for image in plan.images(split)}) for split in plan.shards},
        "patients_unknown": sum(is_unknown(image.patient) for image in plan.images()),
        "skipped": dict(sorted(log.skipped.items())),
        "dropped": dict(sorted(plan.assignment.dropped.items())),
        "ignored": source.ignored,
        "byte_identical": [[image.name for image in group] for group in plan.identical],
    }
