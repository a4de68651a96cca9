"""Whether the images of a run are still those that it was trained with.

They differ where its dataset was replaced by another, or where another version of this program divided the images into
folds in another way. Its figures would then be of images that its network was trained on.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pipeline.data.split import Split
from pipeline.evaluation.predictions import DIGEST, Predictions, read_csv
from pipeline.run_folder.folder import RunFolder
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.files import sha256_of
from pneumo_tfds.program.wording import quoted


def require_same_images(run: RunFolder, splits: Mapping[str, Split], whole: RunFolder | None = None) -> None:
    """Compare the images that a run has scored with those that its settings name now.

    Args:
        run: its folder; nothing is compared unless `predictions.csv` is the file that `metrics.json` was made from.
        splits: what its settings name.
        whole: the run to train again, if `run` is a fold of it.

    Raises:
        InputError: a split has other images, or has them in another order.
    """
    for name, table in _scored(run).items():
        if name in splits and not np.array_equal(table.filenames, splits[name].names_and_patients[0]):
            raise InputError(
                f"{run.path}: the images of {name} are no longer those that this run was trained with; train it again: "
                f"python -m pipeline.train --config {quoted((whole or run).config)}"
            )


def _scored(run: RunFolder) -> dict[str, Predictions]:
    """Return the tables of `predictions.csv` that the run wrote itself; empty if the file was changed since."""
    if not (run.predictions.exists() and run.metrics.exists()):
        return {}
    digest = run.read_json(run.metrics).get(DIGEST)  # runs of earlier versions have none
    return read_csv(run.predictions) if digest in (None, sha256_of(run.predictions)) else {}
