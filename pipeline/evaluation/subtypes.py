"""Bacteria against viruses: figures of the second head of a network, among pneumonias whose kind is known."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from pipeline.evaluation.intervals import percentile, ranking_figures, weights
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
        whatever the answer, and its 95 % `interval`, both None with images of one kind; and `among_answers`, for each
        kind how many images that were answered PNEUMONIA are called BACTERIA and VIRUS.
    """
    positive = table.labels == POSITIVE
    of_kind = {kind: positive & (table.subtypes == kind) for kind in KINDS}
    known = np.logical_or(*of_kind.values())
    part, auroc, interval = table.take(known), None, None
    virus = (part.subtypes == KINDS[1]).astype(np.int64)
    if 0 < virus.sum() < len(virus):
        auroc = float(roc_auc_score(virus, part.viral))
        blocks = weights(part.patients, resamples, seed)
        values = np.concatenate([ranking_figures(virus, part.viral, block)[0] for block in blocks])
        interval = percentile(values) if len(np.unique(part.patients)) > 1 else None
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
