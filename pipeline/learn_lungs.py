"""Train the network that finds lungs, for example on other X-rays: `python -m pipeline.learn_lungs`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge, Le

from pneumo_tfds.program.bounds import Bounded
from pneumo_tfds.program.command import Command, run
from pneumo_tfds.program.errors import InputError, reason_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

EDGES = ("left", "top", "right", "bottom")
SIDE = 224  # of the images it is trained on, pixels
BATCH, RATE = 64, 2e-3
# The changes of each image: factors of width and height, shifts as a fraction of the side, the largest exponent of
# intensity (and 1 over it), and factors of brightness. Wider than those of training a classifier, because lungs have to
# be found in images that are framed in other ways.
SCALES, SHIFT, GAMMA, GAIN = (0.6, 1.3), 0.15, 1.8, (0.6, 1.3)


@dataclass(frozen=True, kw_only=True)
class LearnLungs(Bounded, Command):
    """Train the network that finds lungs on boxes around both lungs."""

    boxes: Path
    """CSV with the columns path, left, top, right and bottom: an image, relative to the CSV, and the box around both
    lungs as fractions of its width and height. See docs/explanation/lungs.md."""
    out: Path
    """File of the weights, .npz. pipeline/networks/lungs.npz is the one that networks use."""
    epochs: Annotated[int, Ge(1), Le(100_000)] = 200
    """Passes over the images."""
    seed: Annotated[int, Ge(0)] = 0
    """Seed of the first weights and of the changes of images."""


def main(command: LearnLungs) -> None:
    """Train on nine tenths of the images, print the mean error on the others, and write the weights."""
    import keras
    import numpy as np

    from pipeline.networks import lungs
    from pneumo_tfds.program.files import replacing
    from pneumo_tfds.program.overwriting import refuse_overwriting

    refuse_overwriting({"--out": command.out}, (command.boxes,))
    images, boxes = _read(command.boxes)
    order = np.random.default_rng(command.seed).permutation(len(boxes))
    held, kept = order[: len(order) // 10], order[len(order) // 10 :]
    if not len(held):
        raise InputError(f"{command.boxes} has {len(boxes)} boxes; give at least ten")
    keras.utils.set_random_seed(command.seed)
    image = keras.Input((SIDE, SIDE, 1), name="image")
    found, made = lungs.read_off(lungs.thumbnail(image), trainable=True)
    made[-1].set_weights([0 * made[-1].kernel.numpy(), boxes[kept].mean(axis=0)])  # begins with the mean box
    network = keras.Model(image, found)
    steps = command.epochs * -(-len(kept) // BATCH)
    network.compile(keras.optimizers.AdamW(keras.optimizers.schedules.CosineDecay(RATE, steps)), loss="mae")
    generator = np.random.default_rng(command.seed)
    for epoch in range(1, command.epochs + 1):
        losses = []
        for batch in np.array_split(generator.permutation(kept), -(-len(kept) // BATCH)):
            changed = [_changed(images[row], boxes[row], generator) for row in batch]
            losses.append(network.train_on_batch(*map(np.stack, zip(*changed, strict=True))))
        if epoch % 20 == 0 or epoch == command.epochs:
            error = network.evaluate(images[held, ..., None].astype("float32"), boxes[held], verbose=0)
            print(
                f"epoch {epoch}/{command.epochs}: mean error {np.mean(losses):.4f}, on {len(held)} others {error:.4f}"
            )
    arrays = [np.asarray(weight, np.float16) for layer in made for weight in layer.get_weights()]
    with replacing(command.out) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, *arrays)


def _read(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return the images, uint8 `[n, S, S]`, and their boxes, `[n, 4]`."""
    import numpy as np

    from pneumo_tfds.decode.pixels import decode
    from pneumo_tfds.sources.csv_text import decode_text, read_rows

    try:
        columns, rows = read_rows(decode_text(path.read_bytes(), str(path)), str(path))
    except OSError as error:
        raise InputError(f"--boxes {path} cannot be read ({reason_of(error)}); give a CSV file") from error
    if missing := [name for name in ("path", *EDGES) if name not in columns]:
        raise InputError(f"{path} has no column {missing[0]}; give path, {', '.join(EDGES)}")
    names = [row["path"] for _, row in rows]
    try:
        boxes = np.array([[float(row[edge]) for edge in EDGES] for _, row in rows], np.float32).reshape(-1, 4)
    except ValueError as error:
        raise InputError(f"{path}: a box has an edge that is no number; give fractions from 0 to 1") from error
    wrong = np.flatnonzero(~((boxes[:, :2] >= 0) & (boxes[:, 2:] <= 1) & (boxes[:, :2] < boxes[:, 2:])).all(axis=1))
    if len(wrong):
        raise InputError(f"{path}: the box of {names[wrong[0]]} is not from 0 to 1, left of right and top above bottom")
    images = [decode((path.parent / name).read_bytes(), SIDE, name)[..., 0] for name in names]
    return np.stack(images) if images else np.zeros((0, SIDE, SIDE), np.uint8), boxes


def _changed(
    image: NDArray[np.uint8], box: NDArray[np.float32], generator: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return an image, float32 `[S, S, 1]`, and its box after random changes of framing and intensity."""
    import cv2
    import numpy as np

    if generator.random() < 0.5:
        image, box = image[:, ::-1], np.array([1 - box[2], box[1], 1 - box[0], box[3]])
    scale = np.exp(generator.uniform(math.log(SCALES[0]), math.log(SCALES[1]), 2))
    shift = 0.5 * (1 - scale) + generator.uniform(-SHIFT, SHIFT, 2)
    matrix = np.array([[scale[0], 0, shift[0] * SIDE], [0, scale[1], shift[1] * SIDE]])
    edge = cv2.BORDER_REPLICATE if generator.random() < 0.3 else cv2.BORDER_CONSTANT
    level = int(generator.integers(0, 200)) if generator.random() < 0.4 else 0
    warped: Any = cv2.warpAffine(np.ascontiguousarray(image), matrix, (SIDE, SIDE), borderMode=edge, borderValue=level)
    lit = 255 * (warped / np.float32(255)) ** GAMMA ** generator.uniform(-1, 1) * generator.uniform(*GAIN)
    moved = np.clip(box * np.tile(scale, 2) + np.tile(shift, 2), 0, 1)
    return np.clip(lit, 0, 255)[..., None].astype(np.float32), moved.astype(np.float32)


if __name__ == "__main__":
    run(LearnLungs, main, prog="python -m pipeline.learn_lungs")
