"""Count how many images of another source the run was trained on: they make its figures look better than they are."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pipeline.config import DataConfig
from pipeline.data.batches import evaluation_batches
from pipeline.data.group_holdout import splits_of
from pipeline.data.split import Split
from pneumo_tfds.prepared import is_built, read_manifest
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.sources.identifiers import TEST_PATIENT, identify, is_unknown
from pneumo_tfds.sources.inventory import LABELS, manifest
from pneumo_tfds.splits.near_duplicates import Grey, near_groups, thumbnail

BATCH = 64
"""Images that are reduced to thumbnails at once."""

GONE = "the dataset that the run was trained on is not where it was"
DAMAGED = "the manifest of the dataset that the run was trained on is gone or damaged"
REPLACED = "the dataset of the run was replaced by another since"


def training_overlap(
    trained: DataConfig, manifest_sha256: str | None, scored: DataConfig, split: Split
) -> dict[str, Any]:
    """Compare the images to score with those of the run's dataset: files, near-identical images, patients.

    Args:
        trained: settings of the run's data; the dataset that they name has the manifest and, in its records, which file
            is in which split.
        manifest_sha256: of the manifest at the time of training, if it was recorded.
        scored: settings of the data to score.
        split: the images to score.

    Returns:
        `unknown`: why nothing could be compared, empty if it was. Otherwise, split of the run to a count: `images`, how
        many of the images to score are in it, byte for byte; `copies`, how many of the others are near-identical to one
        in it, in pixels (`pneumo_tfds.splits.near_duplicates`); and `patients`, how many patients of the others have
        the identifier of one in it. Identifiers are of tables, folders or headers; numbers in file names mean nothing
        elsewhere.
    """
    folder = trained.built.folder
    if not is_built(folder):
        return {"unknown": GONE}
    try:
        digests = read_manifest(folder)
    except InputError:
        return {"unknown": DAMAGED}
    if manifest_sha256 not in (None, hashlib.sha256(manifest(digests).encode()).hexdigest()):
        return {"unknown": REPLACED}
    of_scored = read_manifest(scored.built.folder)
    names, patients = (column.tolist() for column in split.names_and_patients)
    parts = splits_of(trained)
    own = {name: [column.tolist() for column in part.names_and_patients] for name, part in parts.items()}
    files = {name: {digests[file] for file in columns[0]} for name, columns in own.items()}
    seen = set().union(*files.values())
    is_new = [of_scored[file] not in seen for file in names]
    new = {patient for patient, other in zip(patients, is_new, strict=True) if other}
    identified = new & _identified(names, patients)
    return {
        "unknown": "",
        "images": {
            name: sum(of_scored[file] in digests_in_it for file in names) for name, digests_in_it in files.items()
        },
        "copies": _copies(parts, [small for small, other in zip(_thumbnails(split), is_new, strict=True) if other]),
        "patients": {name: len(identified & _identified(*columns)) for name, columns in own.items()},
    }


def _copies(parts: Mapping[str, Split], scored: Sequence[Grey]) -> dict[str, int]:
    """Return for each split of the run how many thumbnails of images to score are near-identical to one in it."""
    own = [(name, small) for name, part in parts.items() for small in _thumbnails(part)]
    places = [*(name for name, _ in own), *[""] * len(scored)]
    sides = ["scored" if place == "" else "own" for place in places]
    counts = dict.fromkeys(parts, 0)
    for group in near_groups([*(small for _, small in own), *scored], sides):
        found = Counter(places[index] for index in group)
        for name in found.keys() - {""}:
            counts[name] += found[""]
    return counts


def _thumbnails(split: Split) -> Iterable[Grey]:
    for images, _ in evaluation_batches(split, BATCH):
        yield from (thumbnail(image[:, :, 0]) for image in images.numpy())


def _identified(names: Sequence[str], patients: Sequence[str]) -> set[str]:
    """Return the patients whom more than a file name tells."""
    return {
        patient
        for name, patient in zip(names, patients, strict=True)
        if not is_unknown(patient) and patient.removeprefix(TEST_PATIENT) != identify(name, LABELS[0])[0]
    }
