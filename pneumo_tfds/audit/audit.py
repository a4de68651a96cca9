"""Audit a source: counts, unreadable files, duplicates, leaks, and how the classes differ apart from disease.

Every image is read, hashed and decoded once. `pneumo_tfds.audit.report` turns the findings into JSON and text.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

from pneumo_tfds.audit.image_facts import ImageFacts
from pneumo_tfds.audit.report import Findings, report, summary
from pneumo_tfds.decode import decode_full, resize
from pneumo_tfds.decode.headers import read_header
from pneumo_tfds.decode.inversion import inversion_remarks
from pneumo_tfds.decode.reasons import reasons_to_doubt
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.files import write_json
from pneumo_tfds.program.installed import how_to_install
from pneumo_tfds.program.parallel import ordered_map
from pneumo_tfds.program.progress import stage, track
from pneumo_tfds.sources.inventory import Image, Source
from pneumo_tfds.sources.keeping import keep_source
from pneumo_tfds.sources.opening import open_source
from pneumo_tfds.sources.source_options import SourceOptions
from pneumo_tfds.splits.assignment import assign
from pneumo_tfds.splits.duplicates import group_by_digest
from pneumo_tfds.splits.near_duplicates import near_groups_of_copies, thumbnail
from pneumo_tfds.splits.options import SplitOptions

LEAK = 1
"""Exit code if images leak between splits or labels."""


def audit(source: Source, options: SplitOptions | None = None, workers: int | None = None) -> Findings:
    """Examine every image of `source`.

    A leak is a group of identical images with different labels, or of identical or near-identical ones that an official
    test folder shares with training, or that a build would put into different splits.
    """
    examined = ordered_map(lambda image: examine(source, image), source.images, workers)
    facts = _with_inverted(tuple(track(examined, "Auditing", len(source.images))))
    readable = [fact for fact in facts if not fact.error]
    identical = group_by_digest((fact.image, fact.sha256) for fact in readable)
    copies: dict[str, list[ImageFacts]] = defaultdict(list)
    for fact in readable:
        copies[fact.sha256].append(fact)
    images = [[fact.image for fact in group] for group in copies.values()]
    with stage("Looking for near-identical images"):
        groups = near_groups_of_copies(images, [group[0].thumbnail for group in copies.values()], workers=workers)
    near = sorted(tuple(sorted(group)) for group in groups)
    assignment, problem = None, ""
    try:
        assignment = assign(source.images, identical, options, source.validation)
    except InputError as error:
        problem = str(error)
    return Findings(source, facts, assignment, problem, tuple(identical), tuple(near))


def _with_inverted(facts: tuple[ImageFacts, ...]) -> tuple[ImageFacts, ...]:
    """Return the facts with a remark where an image is inverted against the others."""
    remarks = inversion_remarks({fact.image.name: fact.thumbnail for fact in facts if not fact.error})
    return tuple(
        replace(fact, unusual=(*fact.unusual, remarks[fact.image.name])) if fact.image.name in remarks else fact
        for fact in facts
    )


def examine(source: Source, image: Image) -> ImageFacts:
    """Read, hash and measure one image."""
    try:
        data = source.read(image)
        header = read_header(data, image.name)
        doubts: list[str] = []
        grey = decode_full(data, image.name, cover=256, header=header, doubts=doubts)
    except InputError as error:
        return ImageFacts(image, str(error))
    small = resize(grey, 128)[:, :, 0]
    height, width = (header.height, header.width) if header.width else grey.shape
    return ImageFacts(
        image,
        sha256=hashlib.sha256(data).hexdigest(),
        thumbnail=thumbnail(small),
        width=width,
        height=height,
        bits=header.bits,
        size=len(data),
        mean=float(small.mean()),
        spread=float(small.std()),
        unusual=sum(reasons_to_doubt(data, small, image.name, doubts), ()),
    )


def run(
    path: Path,
    json_path: Path | None,
    page_path: Path | None,
    options: SplitOptions,
    workers: int | None = None,
    source_options: SourceOptions | None = None,
) -> int:
    """Audit `path`, print a summary, write the files that are asked for, and return the exit code."""
    if page_path is not None:
        try:
            from pneumo_tfds.audit.audit_page import write_page
        except ModuleNotFoundError as error:
            raise InputError(f"--html needs {error.name}; {how_to_install('train')}") from error
    source_options = source_options or SourceOptions()
    source = open_source(path, source_options)
    keep_source({"--json": json_path, "--html": page_path}, source, source_options)
    findings = audit(source, options, workers)
    result = report(findings)
    print("\n".join(summary(result)))
    if json_path is not None:
        write_json(json_path, result)
    if page_path is not None:
        write_page(page_path, findings, result)
    return LEAK if findings.leaks else 0
