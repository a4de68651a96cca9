"""The findings of an audit: facts about each image, duplicates and leaks; as JSON and as lines of text."""

from __future__ import annotations

import functools
import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pneumo_tfds.audit.class_shortcuts import NOTABLE, shortcuts
from pneumo_tfds.audit.image_facts import MEASURES, ImageFacts
from pneumo_tfds.program.wording import counted
from pneumo_tfds.sources.identifiers import TEST_PATIENT, is_unknown
from pneumo_tfds.sources.inspection import short_form
from pneumo_tfds.sources.inventory import Image, Source, manifest
from pneumo_tfds.splits.assignment import Assignment
from pneumo_tfds.splits.near_duplicates import COVERED, NOT_COVERED


@dataclass(frozen=True)
class Findings:
    """The result of an audit."""

    source: Source
    facts: tuple[ImageFacts, ...]
    assignment: Assignment | None
    """The splits that a build would make; None if it could not, and `problem` is the reason."""
    problem: str
    byte_identical: tuple[tuple[Image, ...], ...]
    near_identical: tuple[tuple[Image, ...], ...]

    def split_of(self, image: Image) -> str:
        """Return the split that a build would assign; the official one if no build is possible."""
        if self.assignment is None:
            return image.official_split or "none"
        return self.assignment.split.get(image.name, "dropped")

    @functools.cached_property
    def leaks(self) -> tuple[dict[str, Any], ...]:
        """Groups of identical or near-identical images that are in different splits or have different labels."""
        return (
            *self._leaks("byte-identical", self.byte_identical),
            *self._leaks("near-identical", self.near_identical),
        )

    def _leaks(self, kind: str, groups: Iterable[Sequence[Image]]) -> Iterator[dict[str, Any]]:
        for group in groups:
            labels = sorted({image.label for image in group})
            splits = sorted({self.split_of(image) for image in group} - {"dropped"})
            official = {image.official_split == "test" for image in group}
            names = [image.name for image in group]
            if len(labels) > 1:
                yield {"kind": kind, "across": "labels", "values": labels, "names": names}
            if len(official) > 1:
                yield {"kind": kind, "across": "official test and training", "values": splits, "names": names}
            elif len(splits) > 1:
                yield {"kind": kind, "across": "splits", "values": splits, "names": names}


SHOWN = 10
"""Unusual images that the command prints."""

QUANTILES = {"min": 0.0, "q25": 0.25, "median": 0.5, "q75": 0.75, "max": 1.0}


def report(findings: Findings) -> dict[str, Any]:
    """Return the findings as an object for JSON."""
    images = findings.source.images
    digests = {fact.image.name: fact.sha256 for fact in findings.facts if fact.sha256}
    groups: dict[str, list[ImageFacts]] = defaultdict(list)
    for fact in findings.facts:
        if not fact.error:
            groups[f"{findings.split_of(fact.image)}/{fact.image.label}"].append(fact)
    return {
        "source": findings.source.where,
        "source_kind": findings.source.kind,
        "layout": findings.source.survey.layout,
        "images": len(images),
        "validation": findings.source.validation,
        "test_origin": findings.assignment.test_origin if findings.assignment else "none",
        "by_split_and_class": _count(images, lambda image: (findings.split_of(image), image.label)),
        "by_official_split_and_class": _count(images, lambda image: (image.official_split or "none", image.label)),
        "by_split_and_subtype": _count(images, lambda image: (findings.split_of(image), image.subtype)),
        "patients": _patients(findings),
        "corrupt": [fact.image.name for fact in findings.facts if fact.error],
        "corrupt_reasons": [fact.error for fact in findings.facts if fact.error],
        "unusual": {fact.image.name: list(fact.unusual) for fact in findings.facts if fact.unusual},
        "ignored": findings.source.ignored,
        "survey": short_form(findings.source),
        "byte_identical": [[image.name for image in group] for group in findings.byte_identical],
        "near_identical": [[image.name for image in group] for group in findings.near_identical],
        "leaks": list(findings.leaks),
        "problem": findings.problem,
        "shortcuts": {
            one.name: {"auroc": round(one.auroc, 4), "low": round(one.low, 4), "high": round(one.high, 4)}
            for one in shortcuts(findings.facts)
        },
        "distributions": {name: _distribution(members) for name, members in sorted(groups.items())},
        "manifest_sha256": hashlib.sha256(manifest(digests).encode()).hexdigest(),
    }


def _count(images: Iterable[Image], key: Callable[[Image], tuple[str, str]]) -> dict[str, dict[str, int]]:
    table: dict[str, Counter[str]] = defaultdict(Counter)
    for image in images:
        row, column = key(image)
        table[row][column] += 1
    return {row: dict(sorted(counts.items())) for row, counts in sorted(table.items())}


def _patients(findings: Findings) -> dict[str, Any]:
    """Count patients. It is disputed whether the numbers in names restart by subtype and folder; both are counted."""
    images = findings.source.images
    patients: dict[str, set[str]] = defaultdict(set)  # by label and by subtype; the words differ
    for image in images:
        patients[image.label].add(image.patient)
        patients[image.subtype].add(image.patient)
    testing = {image.patient.removeprefix(TEST_PATIENT) for image in images if image.official_split == "test"}
    training = {image.patient for image in images if image.official_split != "test"}
    by_split = Counter(split for split, _ in {(findings.split_of(image), image.patient) for image in images})
    return {
        "by_split": dict(sorted(by_split.items())),
        "if_numbers_are_unique": len(testing | training),
        "if_numbers_restart_by_subtype_and_test_folder": len(
            {(image.official_split == "test", image.patient, image.subtype) for image in images}
        ),
        "numbers_under_bacteria_and_virus": len(patients["bacteria"] & patients["virus"]),
        "numbers_in_test_and_in_training": len(testing & training),
        "names_that_tell_no_patient": sum(is_unknown(image.patient) for image in images),
        "with_images_of_both_labels": len(patients["NORMAL"] & patients["PNEUMONIA"]),
    }


def _distribution(members: Sequence[ImageFacts]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "images": len(members),
        "bits": dict(sorted(Counter(str(fact.bits) for fact in members).items())),
    }
    for name, measure in MEASURES.items():
        values = np.quantile([measure(fact) for fact in members], list(QUANTILES.values()), method="nearest")
        found[name] = {quantile: round(float(value), 4) for quantile, value in zip(QUANTILES, values, strict=True)}
    return found


def summary(result: dict[str, Any]) -> list[str]:
    """Return the lines that the command prints."""
    lines = list(result["survey"])
    if result["test_origin"] == "carved":
        lines.append("splits that a build would make:")
    for split, counts in result["by_split_and_class"].items():
        lines.append(f"  {split}: " + ", ".join(f"{count:,} {label}" for label, count in counts.items()))
    said = patient_sentences(result)
    lines.extend(["; ".join(said)] if result["layout"] == "kermany" or len(said) > 1 else [])
    lines.append(f"unreadable: {len(result['corrupt'])}")
    lines.extend(f"  {reason}" for reason in result["corrupt_reasons"])
    if result["unusual"]:
        lines.append(f"unusual: {counted(len(result['unusual']), 'image')}")
        lines.extend(f"  {name}: {'; '.join(texts)}" for name, texts in list(result["unusual"].items())[:SHOWN])
        if len(result["unusual"]) > SHOWN:
            lines.append(f"  and {len(result['unusual']) - SHOWN:,} more, which --json and --html list")
    lines.append(
        f"byte-identical: {counted(len(result['byte_identical']), 'group')}; "
        f"near-identical: {counted(len(result['near_identical']), 'group')}"
    )
    lines.append(f"near-identical images are copies {COVERED}; not found are {NOT_COVERED}")
    lines.extend(shortcut_sentences(result))
    if result["problem"]:
        lines.append(f"no dataset can be built: {result['problem']}")
    lines.append(f"leaks: {len(result['leaks'])}")
    lines.extend(
        f"  {leak['kind']} across {leak['across']} ({', '.join(leak['values'])}): {', '.join(leak['names'])}"
        for leak in result["leaks"]
    )
    return lines


def shortcut_sentences(result: dict[str, Any]) -> list[str]:
    """Return how well properties that are not disease tell the classes apart."""
    found = {name: max(row["auroc"], 1 - row["auroc"]) for name, row in result["shortcuts"].items()}
    sure = {name for name, row in result["shortcuts"].items() if not row["low"] <= 0.5 <= row["high"]}
    if not found:
        return []
    listed = ", ".join(f"{name.replace('_', ' ')} {value:.2f}" for name, value in found.items())
    lines = [f"what tells the classes apart without a look at the lungs, as AUROC: {listed}"]
    if strong := [name.replace("_", " ") for name, value in found.items() if value >= NOTABLE and name in sure]:
        lines.append(f"warning: a model can learn {' or '.join(strong)} in place of the disease")
    return lines


def patient_sentences(result: dict[str, Any]) -> list[str]:
    """Return what is known about patients: as a table lists them, or in both readings of the numbers in file names."""
    patients = result["patients"]
    unknown, both = patients["names_that_tell_no_patient"], patients["with_images_of_both_labels"]
    if unknown == result["images"]:
        return ["patients are unknown; every image counts as a patient of its own"]
    sentences = [counted(patients["if_numbers_are_unique"], "patient")]
    if result["layout"] == "kermany":
        sentences = [
            f"{sentences[0]} if every number is one child, "
            f"{patients['if_numbers_restart_by_subtype_and_test_folder']:,} if numbers restart by subtype and in the "
            "test folder",
            f"{counted(patients['numbers_under_bacteria_and_virus'], 'number')} under both bacteria and virus, "
            f"{patients['numbers_in_test_and_in_training']:,} in both test and training",
        ]
    if both:
        sentences.append(f"{counted(both, 'patient')} with images of both labels")
    if unknown:
        sentences.append(f"{counted(unknown, 'image')} of unknown patients")
    return sentences
