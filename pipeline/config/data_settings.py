"""Settings of the data: which X-rays, at which size, divided how; and the dataset that is built from them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt, Unit

from pneumo_tfds.program.bounds import Bounded
from pneumo_tfds.program.command import own_flags_first
from pneumo_tfds.program.errors import InputError, require
from pneumo_tfds.program.framing_names import DEFAULT_FRAMING, Framing
from pneumo_tfds.sources.inventory import PHANTOMS
from pneumo_tfds.sources.source_options import SourceOptions
from pneumo_tfds.splits.options import SplitOptions
from pneumo_tfds.writing.build_summary import read_metadata

Switch = Literal["auto", "on", "off"]
HoldOut = Literal["none", "im", "normal2-im", "low-numbers", "bright"]

ADDRESS = re.compile(r"[^\s/:]+:[0-9]{1,5}")


@dataclass(frozen=True)
class BuiltDataset:
    """A dataset that `pneumo_tfds` built."""

    folder: Path
    """`.../pneumo_tfds/gray_224/1.1.0`."""

    @property
    def name(self) -> str:
        """Name of its TFDS config, such as `gray_224`."""
        return self.folder.parent.name

    @property
    def version(self) -> str:
        """Its version, such as `1.1.0`."""
        return self.folder.name

    @property
    def phantom(self) -> bool:
        """True if its images are drawn phantoms, not X-rays."""
        return self.name.startswith("phantom") or read_metadata(self.folder).get("layout") == PHANTOMS


@own_flags_first
@dataclass(frozen=True, kw_only=True)
class DataConfig(SourceOptions, Bounded):
    """Which X-rays, at which size, and how their folders or tables are to be understood."""

    source: Path | None = None
    """Folder, zip or CSV of chest X-rays, or a known data set. Default: what lies in TFDS's manual folder, else
    phantoms, which are drawn images."""
    dataset: Path | None = None
    """Folder of a dataset that is already built. It is used as it is, and --source is not read."""
    data_dir: Path | None = None
    """Where built datasets are kept. Default: TFDS's own folder, ~/tensorflow_datasets."""
    image_size: Annotated[int, Ge(32), Le(1024), Unit("pixels")] = 224
    """Side of the square images, in pixels."""
    framing: Framing = DEFAULT_FRAMING
    """How a picture that is not square becomes one. squeeze: its aspect ratio is not kept. crop: its centred square is
    taken. pad: all of it, with black beside it. The exported model tells its users which."""
    validation_fraction: Annotated[float, Gt(0), Lt(1)] = SplitOptions.validation_fraction
    """Fraction of the training patients held out for validation."""
    hold_out: HoldOut = "none"
    """To see how a model does on images unlike those it learned from: keep a group of them out of training and score it
    as the split held_out. NORMAL images named IM- or NORMAL2-IM- (with some of the PNEUMONIA patients), the lowest
    numbers in names, or the brightest images of each kind."""
    folds: Annotated[int, Ge(0), Le(20)] = 0
    """Cross-validate: divide the patients of train and validation into so many folds, 2 to 20, hold out each in turn,
    and make one committee of all networks. 0 trains once."""
    fold: Annotated[int, Ge(0), Le(20)] = 0
    """Train only this one of --folds, counted from 1, as a run of its own. 0 trains them all."""
    cache: Switch = "auto"
    """Keep the pixels in memory. auto does so if they need at most an eighth of the machine's memory."""
    data_service: str | None = None
    """HOST:PORT of a tf.data service that reads and parses the training records for this and other trainers."""

    def __post_init__(self) -> None:
        super().__post_init__()
        address = self.data_service
        require(address is None or bool(ADDRESS.fullmatch(address)), "data-service", address, "HOST:PORT")
        require(self.folds != 1, "folds", self.folds, "from 2 to 20, or 0 to train once")
        require(self.fold <= self.folds, "fold", self.fold, f"from 1 to --folds, which is {self.folds}, or 0 for all")
        require(not self.folds or self.hold_out == "none", "hold-out", self.hold_out, "none with --folds")
        allowed = "left out with --folds, which trains from memory"
        require(not self.folds or address is None, "data-service", address, allowed)

    @property
    def built(self) -> BuiltDataset:
        """The built dataset of these settings.

        Raises:
            InputError: it is not built yet; `pipeline.data.dataset.with_dataset` builds it.
        """
        if self.dataset is None:
            raise InputError("these settings name no built dataset; give --dataset, or --source to build one")
        return BuiltDataset(self.dataset)
