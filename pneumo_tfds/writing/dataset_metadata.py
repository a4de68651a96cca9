"""The `metadata.json` of a built dataset: where it comes from, how it was split, and what was left out."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from typing import Any

from pneumo_tfds.decode.inversion import inversion_remarks
from pneumo_tfds.program.framing_names import Framing
from pneumo_tfds.program.progress import stage
from pneumo_tfds.program.wording import counted
from pneumo_tfds.sources.identifiers import is_unknown
from pneumo_tfds.sources.inventory import Source, manifest
from pneumo_tfds.splits.near_duplicates import near_groups_of_copies
from pneumo_tfds.splits.options import SplitOptions
from pneumo_tfds.splits.shard_plan import Plan
from pneumo_tfds.writing.examples import BuildLog

MAX_LOOKED_AT = 30_000
"""Images among which a build looks for near-identical ones; the work grows with the square of their number. `audit`
has no limit."""


def split_rule(source: Source, test_origin: str, options: SplitOptions) -> str:
    """Return one sentence about the splits, for metadata and reports; `test_origin` is that of the assignment."""
    if options.whole:
        images = "the images of the official test split" if test_origin == "official" else "all images"
        return f"not divided: {images} are one split, to score a model on them"
    given = {image.official_split for image in source.images} if source.validation == "given" else set()
    unknown, total = sum(is_unknown(image.patient) for image in source.images), len(source.images)
    unit = "image" if unknown == total else "patient"
    test = {
        "official": "test is as given by the source" if given else "test is the official test folder",
        "carved": f"{options.test_fraction:.0%} of the {unit}s test, because the source has no test folder",
        "none": "there is no test split, because the source gives splits and none of them is test",
    }[test_origin]
    if "val" in given:
        unsure = f"; {unknown:,} of {counted(total, 'image')} tell no patient, who may be on two sides"
        return f"as given by the source: train and validation; {test}{unsure if unknown else ''}"
    how = f"by {unit}"
    if unknown == total:
        how = "by image, because no image tells its patient"
    elif unknown:
        how = f"by image for {unknown:,} of {counted(total, 'image')}, which tell no patient, else by patient"
    share = f"{options.validation_fraction:.0%} of the other {unit}s validate"
    return f"{how}, drawn by a hash of the {unit}, stratified by label and subtype: {share}; {test}"


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
    with stage("Looking for near-identical images in different splits"):
        near = near_groups_of_copies(groups, [log.thumbnails[group[0]] for group in groups], sides, workers)
    linked = {name for group in near for name in group}
    merged = [*near, *(group for group in groups if group[0] not in linked)]
    return sorted(sorted(group) for group in merged if len({split[name] for name in group}) > 1)


def describe(
    source: Source, plan: Plan, options: SplitOptions, log: BuildLog, framing: Framing, workers: int | None = None
) -> dict[str, Any]:
    """Return the content of `metadata.json` for a dataset that was built by `plan`."""
    unusual = {name: [text] for name, text in log.unusual.items()}
    for name, text in inversion_remarks(log.thumbnails).items():
        unusual.setdefault(name, []).append(text)
    near = {"near_identical_across_splits": near_identical_across_splits(plan, log, workers)} if log.thumbnails else {}
    return {
        "source": source.where,
        "source_kind": source.kind,
        "layout": source.survey.layout,
        "title": source.survey.title,
        "fingerprint": source.fingerprint(options.as_text()),
        "manifest_sha256": hashlib.sha256(manifest(log.sha256).encode()).hexdigest(),
        "source_bytes": log.source_bytes,
        "framing": framing,
        "test_origin": plan.assignment.test_origin,
        "split_rule": split_rule(source, plan.assignment.test_origin, options),
        "validation_fraction": options.validation_fraction,
        "planned": plan.count_by("label"),
        "planned_subtypes": plan.count_by("subtype"),
        "patients": {split: len({image.patient for image in plan.images(split)}) for split in plan.shards},
        "patients_unknown": sum(is_unknown(image.patient) for image in plan.images()),
        "skipped": dict(sorted(log.skipped.items())),
        "unusual": {name: "; ".join(texts) for name, texts in sorted(unusual.items())},
        "dropped": dict(sorted(plan.assignment.dropped.items())),
        "ignored": source.ignored,
        "byte_identical": [[image.name for image in group] for group in plan.identical],
        **near,
    }
