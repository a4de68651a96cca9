"""What is in a source, and what is wrong with it: counts, unreadable files, duplicates, leaks, and how classes differ.

One pass reads, hashes and decodes every image once. The page with pictures is `pneumo_tfds.audit.audit_page`.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pneumo_tfds.audit.audit_page import write_page
from pneumo_tfds.audit.findings import Findings, Seen
from pneumo_tfds.audit.perceptual_hash import near_groups, perceptual_hash
from pneumo_tfds.decode import decode_full, resize
from pneumo_tfds.decode.headers import read_header
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.files import write_json
from pneumo_tfds.program.parallel import ordered_map
from pneumo_tfds.program.progress import track
from pneumo_tfds.sources.inventory import Image, Source
from pneumo_tfds.sources.layout import TEST_PATIENT
from pneumo_tfds.sources.opening import open_source
from pneumo_tfds.splits.assignment import assign
from pneumo_tfds.splits.duplicates import group_by_digest

LEAK = 1
"""Exit code if images leak between splits or labels."""


def audit(source: Source, validation_fraction: float = 0.2, workers: int | None = None) -> Findings:
    """Look at every image of `source`.

    A leak is a group of identical images with different labels, or of identical or near-identical ones that an official
    test folder shares with training, or that a build would put into different splits.
    """
    looked = ordered_map(lambda image: look(source, image), source.images, workers)
    seen = tuple(track(looked, "Auditing", len(source.images)))
    readable = [one for one in seen if not one.error]
    identical = group_by_digest((one.image, one.sha256) for one in readable)
    known = {image.name for group in identical for image in group[1:]}
    near = near_groups([(one.image, one.hash) for one in readable if one.image.name not in known])
    assignment, problem = None, ""
    try:
        assignment = assign(source.images, identical, validation_fraction)
    except InputError as error:
        problem = str(error)
    findings = Findings(source, seen, assignment, problem, tuple(identical), tuple(near))
    leaks = tuple(_leaks(findings, identical, "byte-identical")) + tuple(_leaks(findings, near, "near-identical"))
    return Findings(source, seen, assignment, problem, tuple(identical), tuple(near), leaks)


def look(source: Source, image: Image) -> Seen:
    """Read, hash and measure one image."""
    try:
        data = source.read(image)
        grey = decode_full(data, image.name, cover=256)
        header = read_header(data, image.name)
    except InputError as error:
        return Seen(image, str(error))
    small = resize(grey, 128)[:, :, 0]
    height, width = (header.height, header.width) if header.width else grey.shape
    return Seen(
        image,
        sha256=hashlib.sha256(data).hexdigest(),
        hash=perceptual_hash(small),
        width=width,
        height=height,
        bits=header.bits,
        mean=float(small.mean()),
        spread=float(small.std()),
    )


def _leaks(findings: Findings, groups: Iterable[Sequence[Image]], kind: str) -> Iterable[dict[str, Any]]:
    for group in groups:
        labels = sorted({image.label for image in group})
        splits = sorted({findings.split_of(image) for image in group} - {"dropped"})
        official = {image.official_split == "test" for image in group}
        names = [image.name for image in group]
        if len(labels) > 1 and kind == "byte-identical":
            yield {"kind": kind, "across": "labels", "values": labels, "names": names}
        if len(official) > 1:
            yield {"kind": kind, "across": "official test and training", "values": splits, "names": names}
        elif len(splits) > 1:
            yield {"kind": kind, "across": "splits", "values": splits, "names": names}


def report(findings: Findings) -> dict[str, Any]:
    """The findings as JSON."""
    images = findings.source.images
    readable = [one for one in findings.seen if not one.error]
    groups: dict[str, list[Seen]] = defaultdict(list)
    for one in readable:
        groups[f"{findings.split_of(one.image)}/{one.image.label}"].append(one)
    return {
        "source": findings.source.where,
        "images": len(images),
        "by_split_and_class": _count(images, lambda image: (findings.split_of(image), image.label)),
        "by_official_split_and_class": _count(images, lambda image: (image.official_split or "none", image.label)),
        "by_split_and_subtype": _count(images, lambda image: (findings.split_of(image), image.subtype)),
        "patients": _patients(findings),
        "corrupt": [one.image.name for one in findings.seen if one.error],
        "corrupt_reasons": [one.error for one in findings.seen if one.error],
        "ignored": findings.source.ignored,
        "byte_identical": [[image.name for image in group] for group in findings.byte_identical],
        "near_identical": [[image.name for image in group] for group in findings.near_identical],
        "leaks": list(findings.leaks),
        "problem": findings.problem,
        "distributions": {name: _distribution(members) for name, members in sorted(groups.items())},
        "manifest_sha256": hashlib.sha256(manifest(findings).encode()).hexdigest(),
    }


def manifest(findings: Findings) -> str:
    """Lines as `sha256sum` writes and checks them; the same text as a build of this source keeps."""
    return "".join(f"{one.sha256}  {one.image.name}\n" for one in findings.seen if one.sha256)


def _count(images: Iterable[Image], key: Any) -> dict[str, dict[str, int]]:
    table: dict[str, Counter[str]] = defaultdict(Counter)
    for image in images:
        row, column = key(image)
        table[row][column] += 1
    return {row: dict(sorted(counts.items())) for row, counts in sorted(table.items())}


def _patients(findings: Findings) -> dict[str, Any]:
    """Whether numbers restart by subtype and by folder is disputed: count both readings, assert neither."""
    images = findings.source.images
    numbers = {image.patient.removeprefix(TEST_PATIENT) for image in images}
    separate = {(image.official_split == "test", image.patient, image.subtype) for image in images}
    per_split: dict[str, set[str]] = defaultdict(set)
    subtypes: dict[str, set[str]] = defaultdict(set)
    for image in images:
        per_split[findings.split_of(image)].add(image.patient)
        subtypes[image.patient].add(image.subtype)
    testing = {image.patient.removeprefix(TEST_PATIENT) for image in images if image.official_split == "test"}
    training = {image.patient for image in images if image.official_split != "test"}
    return {
        "by_split": {split: len(patients) for split, patients in sorted(per_split.items())},
        "if_numbers_are_unique": len(numbers),
        "if_numbers_restart_by_subtype_and_test_folder": len(separate),
        "numbers_under_bacteria_and_virus": sum({"bacteria", "virus"} <= found for found in subtypes.values()),
        "numbers_in_test_and_in_training": len(testing & training),
        "names_that_tell_no_patient": sum("file:" in image.patient for image in images),
    }


def _distribution(members: Sequence[Seen]) -> dict[str, Any]:
    """Quantiles of what is not disease, because classes and splits that differ in it invite shortcuts."""
    measures = {
        "width": [float(one.width) for one in members],
        "height": [float(one.height) for one in members],
        "aspect": [one.width / one.height for one in members],
        "mean_grey": [one.mean for one in members],
        "grey_deviation": [one.spread for one in members],
    }
    return {
        "images": len(members),
        "bits": dict(sorted(Counter(str(one.bits) for one in members).items())),
        **{name: _quantiles(values) for name, values in measures.items()},
    }


def _quantiles(values: Sequence[float]) -> dict[str, float]:
    ordered = sorted(values)
    places = {"min": 0.0, "q25": 0.25, "median": 0.5, "q75": 0.75, "max": 1.0}
    return {name: round(ordered[round(place * (len(ordered) - 1))], 4) for name, place in places.items()}


def run(
    path: Path, json_path: Path | None, page_path: Path | None, validation_fraction: float, workers: int | None
) -> int:
    """Audit `path`, print a summary, write what was asked for, and return the exit code."""
    findings = audit(open_source(path), validation_fraction, workers)
    answer = report(findings)
    print("\n".join(summary(answer)))
    if json_path is not None:
        write_json(json_path, answer)
    if page_path is not None:
        write_page(page_path, findings, answer)
    return LEAK if findings.leaks else 0


def summary(answer: dict[str, Any]) -> list[str]:
    """Lines for people."""
    lines = [f"{answer['source']}: {answer['images']:,} images"]
    for split, counts in answer["by_split_and_class"].items():
        lines.append(f"  {split}: " + ", ".join(f"{count:,} {label}" for label, count in counts.items()))
    patients = answer["patients"]
    lines.append(
        f"patients: {patients['if_numbers_are_unique']:,} if every number is one child, "
        f"{patients['if_numbers_restart_by_subtype_and_test_folder']:,} if numbers restart by subtype and in the test "
        f"folder; {patients['numbers_under_bacteria_and_virus']:,} numbers occur under bacteria and virus, "
        f"{patients['numbers_in_test_and_in_training']:,} in test and training"
    )
    for reason, count in answer["ignored"].items():
        lines.append(f"ignored: {count} files, {reason}")
    lines.append(f"unreadable: {len(answer['corrupt'])}")
    lines.extend(f"  {reason}" for reason in answer["corrupt_reasons"])
    lines.append(
        f"byte-identical: {len(answer['byte_identical'])} groups; near-identical: "
        f"{len(answer['near_identical'])} groups"
    )
    if answer["problem"]:
        lines.append(f"no build from this: {answer['problem']}")
    lines.append(f"leaks: {len(answer['leaks'])}")
    for leak in answer["leaks"]:
        lines.append(
            f"  {leak['kind']} across {leak['across']} ({', '.join(leak['values'])}): {', '.join(leak['names'])}"
        )
    return lines
