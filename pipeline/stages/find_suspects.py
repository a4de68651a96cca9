"""Find the labels of a run with folds that are probably wrong, with what lies near each of these images."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from pipeline.data.group_holdout import splits_of
from pipeline.data.split import Examples, MemorySplit
from pipeline.evaluation.confident_learning import suspects
from pipeline.evaluation.predictions import CLASSES, joined, read_csv
from pipeline.networks.familiarity import whitening_layers
from pipeline.networks.forward_pass import OutputsFn
from pipeline.report.report_tables import number
from pipeline.report.suspects_page import USABLE, Neighbour, Suspect, write_page
from pipeline.run_folder.folder import RunFolder
from pipeline.run_folder.model_file import load_model
from pipeline.stages.judge import score
from pneumo_tfds.prepared import read_manifest
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.files import JSON_SHAPE_ERRORS, write_csv_rows
from pneumo_tfds.program.progress import stage
from pneumo_tfds.program.wording import counted, quoted
from pneumo_tfds.splits.near_duplicates import near_groups, thumbnail

NEIGHBOURS = 5
"""Neighbours that are shown of each suspect."""
COLUMNS = ("filename", "sha256", "label", "suggested", "probability_of_label", "decision")


def find_suspects(run_dir: Path) -> list[str]:
    """Write `suspects.html` and `suspects.csv` into a run with folds, and return what to say about them, as lines.

    Raises:
        InputError: the run has no folds, is not finished, or lost its dataset; or decisions would be overwritten.
    """
    run = RunFolder(run_dir)
    data = run.read_config().data
    if data.fold or not data.folds:
        raise InputError(
            f"{run_dir} is no run with folds, so its network has seen most labels; train one with --folds 5"
        )
    if not run.out_of_fold.exists():
        raise InputError(f"{run_dir} is not finished; go on: {run.to_go_on}")
    _keep_decisions(run.suspects)
    table, examples = joined(read_csv(run.out_of_fold).values()), splits_of(data)["train"].examples
    row_of = {name: row for row, name in enumerate(examples.filenames.tolist())}
    if set(row_of) != set(table.filenames.tolist()):
        raise InputError(
            f"{data.dataset} holds other images than {run.out_of_fold}; restore the dataset that the run was trained on"
        )
    back = np.array([row_of[name] for name in table.filenames.tolist()])
    copies, rows = _copies(examples), back[suspects(table)]
    rows = np.concatenate([rows, np.setdiff1d(list(copies), rows).astype(rows.dtype)])
    probabilities = np.empty(len(table))
    probabilities[back] = table.probabilities

    def near(row: int) -> Neighbour:
        return Neighbour(str(examples.filenames[row]), CLASSES[examples.labels[row]], examples.images[row, :, :, 0])

    neighbours = _neighbours(run, examples, rows)
    found = [
        Suspect(
            near(row),
            CLASSES[1 - examples.labels[row]],
            float(abs(1 - examples.labels[row] - probabilities[row])),
            [near(other) for other in nearest],
            [near(other) for other in copies.get(row, ())],
        )
        for row, nearest in zip(rows.tolist(), neighbours, strict=True)
    ]
    digests = read_manifest(data.built.folder)
    lines = [
        (one.image.name, digests.get(one.image.name, ""), one.image.label, one.suggested, f"{one.of_label:.4g}", "")
        for one in found
    ]
    write_csv_rows(run.suspects, [COLUMNS, *lines])
    auroc = run.read_json(run.folds)["pooled"]["auroc"]
    write_page(run, found, len(table), auroc)
    share = f"{counted(len(found), 'image')} of {len(table):,} ({len(found) / len(table):.1%})"
    useless = (
        f"warning: the networks hardly tell the classes apart (AUROC under {USABLE}), so this list is of little use"
    )
    return [
        *([useless] if auroc < USABLE else []),
        f"{share} may have the wrong label, {len(copies)} of them nearly identical to one of the other label",
        f"AUROC out of fold {number(auroc)}: the lower it is, the more of them have a right label and are only hard",
        f"look at them: {run.suspects_page}",
        f"decide in the column decision of {run.suspects}: NORMAL, PNEUMONIA, remove, or nothing to keep the label",
        f"then: python -m pipeline.train --source SAME{' --yes' if data.yes else ''} --folds {data.folds} "
        f"--corrections {quoted(run.suspects)}",
    ]


def _keep_decisions(path: Path) -> None:
    """Raise InputError if a person has filled in decisions there."""
    if not path.exists():
        return
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            decided = sum(bool(row["decision"]) for row in csv.DictReader(file))
    except (*JSON_SHAPE_ERRORS, OSError, csv.Error):
        decided = 1  # saved in another form by a program for tables
    if decided:
        raise InputError(f"{path} has decisions; move it to another place before suspects are looked for again")


def _copies(examples: Examples) -> dict[int, list[int]]:
    """Return for each image that is nearly identical to some of the other label which these are, as row numbers."""
    with stage("Looking for near-identical images of the other label"):
        thumbnails = [thumbnail(image[:, :, 0]) for image in examples.images]
        groups = near_groups(thumbnails, [CLASSES[label] for label in examples.labels])
    found: dict[int, list[int]] = defaultdict(list)
    for group in groups:
        for row in group:
            found[row] += [other for other in group if examples.labels[other] != examples.labels[row]]
    return found


def _neighbours(run: RunFolder, examples: Examples, rows: NDArray[np.int64]) -> list[Sequence[int]]:
    """Return the images of other patients that look most alike to the first fold's network, for each of `rows`.

    By the Euclidean distance of the statistics that familiarity is about, each scaled to standard deviation 1. They are
    from the middle of the network, where textures are, and depend less on labels than the last features. None for a
    network without familiarity.
    """
    model = load_model(run.fold(1).model)
    statistics = {layer.name: layer.input for layer in whitening_layers(model)}
    if not statistics or not len(rows):
        return [()] * len(rows)
    predict = OutputsFn(keras.Model(model.input, statistics), expected=len(examples))
    answers = score(predict, MemorySplit("neighbours", examples))
    features = np.concatenate(list(answers.values()), axis=1).astype(np.float64)
    features = (features - features.mean(axis=0)) / np.maximum(features.std(axis=0), 1e-6)
    distances = cdist(features[rows], features, "sqeuclidean")
    distances[examples.patients[rows, None] == examples.patients[None]] = np.inf
    return [line[:NEIGHBOURS].tolist() for line in np.argsort(distances, axis=1, kind="stable")]
