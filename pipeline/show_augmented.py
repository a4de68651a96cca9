"""Pictures of what the augmentation does: `python -m pipeline.show_augmented --source PATH`."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge, Le

from pipeline.config import AugmentConfig
from pneumo_tfds.program.bounds import Bounded, Seed
from pneumo_tfds.program.command import Command, run
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.quiet import quiet_tensorflow
from pneumo_tfds.sources.source_options import SourceOptions

if TYPE_CHECKING:
    from pneumo_tfds.decode import Grey

ROWS, COLUMNS = 6, 5
"""Images of the second picture, and changed copies of each."""
CHANGES = [each.name for each in dataclasses.fields(AugmentConfig) if each.name != "augment"]

Row = tuple[str, "Grey", Any]


@dataclass(frozen=True, kw_only=True)
class ShowAugmented(SourceOptions, Bounded, Command):
    """Draw what the augmentation does to images: each change alone, and all at once as in training.

    The flags of the changes are those of training, so that a magnitude can be looked at before it is trained with.
    """

    source: Path | None = None
    """Folder, zip or CSV of X-rays. Default: phantoms."""
    out: Path = Path("show-augmented")
    """Folder for changes.png, a row for each change from one end of its range to the other, and augmented.png."""
    image_size: Annotated[int, Ge(16), Le(2048)] = 224
    """Side of the images, pixels."""
    seed: Seed = 0
    """Seed that chooses images and changes."""
    augment: AugmentConfig = field(default_factory=AugmentConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_a_source("--source", named=self.source is not None)


def show_augmented(command: ShowAugmented) -> None:
    """Draw the two pictures and print their paths."""
    from pneumo_tfds.audit.contact_sheet import readable
    from pneumo_tfds.phantoms.phantom_source import phantom_source
    from pneumo_tfds.sources.keeping import refuse_inside
    from pneumo_tfds.sources.opening import open_source

    if not (command.augment.augment and any(getattr(command.augment, name) for name in CHANGES)):
        raise InputError("every change is 0, so there is nothing to show; give one, such as --rotation 10")
    refuse_inside("--out", command.out, command.source)
    source = open_source(command.source, command) if command.source else phantom_source()
    quiet_tensorflow()
    chosen = readable(source, source.images, command.seed, command.image_size)
    pairs = list(islice(chosen, ROWS))
    if not pairs:
        raise InputError(f"{source.where}: no image can be read; python -m pneumo_tfds audit says why")
    images = [pixels for _, pixels in pairs]
    others = [
        next((pixels for other, pixels in pairs if other.label != image.label), own) for image, own in pairs
    ]  # whose grey levels the image may get
    for name, rows in (
        ("changes.png", each_alone(images[0], others[0], command.augment)),
        ("augmented.png", as_in_training(images, others, command.augment, command.seed)),
    ):
        _draw(command.out / name, rows)
        print(command.out / name)


def each_alone(image: Grey, other: Grey, config: AugmentConfig) -> Iterator[Row]:
    """Yield flag, image and `COLUMNS` copies for each change, from one end of its range to the other.

    `image`, and `other` of the other class, are uint8 `[S, S, 1]`; the copies are float32 `[COLUMNS, S, S, 1]`, 0 to
    255.
    """
    import numpy as np

    from pipeline.augmentation.augment import DRAWS, Draw

    draws = np.repeat(np.linspace(0, 1 - 1e-6, COLUMNS, dtype=np.float32)[:, None], DRAWS, axis=1)
    draws[:, Draw.SWAP] = 0
    for name in CHANGES:
        if magnitude := getattr(config, name):
            only = AugmentConfig(**{**dict.fromkeys(CHANGES, 0.0), name: magnitude})
            yield f"--{name.replace('_', '-')} {magnitude:g}", image, _changed(image, other, only, draws)


def as_in_training(images: Sequence[Grey], others: Sequence[Grey], config: AugmentConfig, seed: int) -> Iterator[Row]:
    """Yield each image with copies that are changed at random, as `each_alone` does."""
    from pipeline.augmentation.augment import draw

    for step, (image, other) in enumerate(zip(images, others, strict=True)):
        yield "" if step else "unchanged", image, _changed(image, other, config, draw(seed, step, COLUMNS))


def _changed(image: Grey, other: Grey, config: AugmentConfig, draws: Any) -> Any:
    import numpy as np

    from pipeline.augmentation import augment, histogram_swap

    batch, labels = np.stack([image] * COLUMNS + [other]), np.array([0] * COLUMNS + [1])
    swapped = histogram_swap.swap(batch, labels, np.concatenate([draws, draws[-1:]]), config.histogram_swap)
    return np.asarray(augment.apply(swapped[:-1], augment.sample(draws, config, len(image))))


def _draw(path: Path, rows: Iterable[Row]) -> None:
    from pipeline.report.plot_style import canvas

    rows = list(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    with canvas(path, 1.3 * (COLUMNS + 1), 1.45 * len(rows), len(rows), COLUMNS + 1, squeeze=False) as grid:
        for axes, (title, image, copies) in zip(grid, rows, strict=True):
            for axis, picture in zip(axes, (image, *copies), strict=True):
                axis.imshow(picture[..., 0], cmap="gray", vmin=0, vmax=255)
                axis.axis("off")
            axes[0].set_title(title, loc="left")


if __name__ == "__main__":
    run(ShowAugmented, show_augmented, prog="python -m pipeline.show_augmented")
