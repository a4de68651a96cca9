"""Bacteria against viruses: figures of the second head of a network, among pneumonias whose kind is known."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from pipeline.evaluation.intervals import fewest_patients, percentile, ranking_figures, weights, without_errors
from pipeline.evaluation.metrics import decisions
from pipeline.evaluation.predictions import POSITIVE, Mask, Predictions
from pneumo_tfds.sources.inventory import KINDS, VIRUS_FROM


def subtype_figures(table: Predictions, answered: Mask, seed: int, resamples: int) -> dict[str, Any]:
    """Compute how well a model tells bacteria from viruses.

    Args:
        table: one split, with `viral` probabilities.
        answered: `[n]`, the images whose answer is PNEUMONIA.
        seed: of the bootstrap over patients.
        resamples: of the bootstrap.

    Returns:
        `images`, how many PNEUMONIA images are of each kind and of an unknown one; `auroc` of viruses against bacteria,
        whatever the answer, None unless there are images of both; its 95 % `interval`, None also where a kind is of one
        patient; and `among_answers`, for each kind how many images that were answered PNEUMONIA are called BACTERIA and
        VIRUS.
    """
    positive = table.labels == POSITIVE
    of_kind = {kind: positive & (table.subtypes == kind) for kind in KINDS}
    known = np.logical_or(*of_kind.values())
    virus, viral, patients = (table.subtypes[known] == KINDS[1]).astype(int), table.viral[known], table.patients[known]
    auroc, interval = None, None
    if 0 < virus.sum() < len(virus):
        auroc = float(roc_auc_score(virus, viral))
        blocks = weights(patients, resamples, seed)
        values = np.concatenate([ranking_figures(virus, viral, block)[0] for block in blocks])
        fewest = fewest_patients(virus, patients)
        interval = without_errors(auroc, fewest, percentile(values)) if fewest > 1 else None
    called = decisions(table.viral, VIRUS_FROM)
    return {
        "images": {
            **{kind: int(rows.sum()) for kind, rows in of_kind.items()},
            "unknown": int(np.sum(positive & ~known)),
        },
        "auroc": auroc,
        "interval": interval,
        "among_answers": {
            kind: {name.upper(): int(np.sum(rows & answered & (called == number))) for number, name in enumerate(KINDS)}
            for kind, rows in of_kind.items()
        },
    }
