"""Train on generated images and print the result as one line of JSON. `test_distribution.py` runs it in processes.

python train_made_images.py '{"fit": {"devices": 2}}' [FOLDER]
"""

import json
import sys
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter

from pipeline.config import RunConfig
from pneumo_tfds.program.errors import InputError

SIZE, COUNT = 32, 32


def generated(name, count):
    from pipeline.data.split import Examples, MemorySplit

    rng = np.random.default_rng(len(name))
    labels = np.arange(count) % 2
    images = rng.integers(0, 60, (count, SIZE, SIZE, 1), dtype=np.uint8)
    images[labels == 1, 4:14, 4:14] += 120
    text = np.array([f"{name}{number}" for number in range(count)])
    return MemorySplit(name, Examples(images, labels.astype(np.int64), text, text, text))


def main(settings, folder=None):
    from pipeline.training.fit import fit

    fit_settings = {"epochs": 2, "batch_size": 8, "precision": "float32", "deterministic": True}
    given = {"model": {"model": "compact"}, "fit": fit_settings | json.loads(settings)}
    config = TypeAdapter(RunConfig).validate_python(given)
    splits = generated("train", COUNT), generated("validation", 16)
    fitted = fit(config, *splits, folder=Path(folder) if folder else None)
    weights = [float(np.abs(weight).sum()) for weight in fitted.network.get_weights()]
    rows = [[row.loss, row.validation_loss, row.validation_auroc] for row in fitted.history]
    print(json.dumps({"history": rows, "weights": weights}))


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except InputError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
