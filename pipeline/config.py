"""Every setting of a run, with its unit, its default and the values it may have.

The command line of `pipeline.train`, `pipeline.ladder` and `tuning` is made from these dataclasses, and `config.json`
in a run folder is one of them written down (`pipeline.settings`): there is no second place where a default lives.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pneumo_tfds.command import Command
from pneumo_tfds.errors import InputError, require

ModelName = Literal["compact", "study", "inception_v3", "efficientnet_lite0"]
Precision = Literal["auto", "float32", "mixed_bfloat16", "mixed_float16"]
Switch = Literal["auto", "on", "off"]
HoldOut = Literal["none", "im", "normal2-im", "low-numbers", "bright"]

ADDRESS = re.compile(r"[^\s/:]+:[0-9]{1,5}")

# Pixels a side; and of the pretrained networks, how many blocks --fine-tune-blocks counts.
SMALLEST_IMAGE: dict[ModelName, int] = {"compact": 32, "study": 46, "inception_v3": 75, "efficientnet_lite0": 32}
PRETRAINED_BLOCKS: dict[ModelName, int] = {"inception_v3": 11, "efficientnet_lite0": 7}
WEIGHTS_INSTALLED: tuple[ModelName, ...] = ("efficientnet_lite0",)  # whose ImageNet weights come with the installation


class WeightsError(InputError):
    """Pretrained weights that this machine does not have and cannot fetch."""


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Which X-rays, at which size."""

    source: Path | None = None
    """Folder or zip of chest X-rays (NORMAL and PNEUMONIA). Without it: TFDS's manual folder, else phantoms."""
    dataset: Path | None = None
    """Folder of a dataset that is already built; used as it is, and --source is not read."""
    data_dir: Path | None = None
    """Where built datasets are kept (default: TFDS's own, ~/tensorflow_datasets)."""
    image_size: int = 192
    """Side of the square images, pixels."""
    validation_fraction: float = 0.2
    """Part of the training patients held out for validation."""
    hold_out: HoldOut = "none"
    """Train without a group of images and score it as the split held_out: NORMAL images named IM- or NORMAL2-IM- (with
    a part of the PNEUMONIA patients), the lowest numbers in names, or the brightest of each kind."""
    cache: Switch = "auto"
    """Keep the pixels in memory: auto does when an eighth of the machine's memory holds them."""
    data_service: str | None = None
    """HOST:PORT of a tf.data service that reads and parses the training records for this and other trainers."""

    def __post_init__(self) -> None:
        require(32 <= self.image_size <= 1024, "image-size", self.image_size, "from 32 to 1024 pixels")
        require(0 < self.validation_fraction < 1, "validation-fraction", self.validation_fraction, "between 0 and 1")
        address = self.data_service
        require(address is None or bool(ADDRESS.fullmatch(address)), "data-service", address, "HOST:PORT")


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """How far training images may stray from the originals. 0 turns a change off; --no-augment turns all off."""

    augment: bool = True
    """Augment training batches, on the training device. Validation and export never see it."""
    flip: float = 0.5
    """Probability of a left-right flip."""
    rotation: float = 10.0
    """Rotation to either side, degrees."""
    zoom: float = 0.3
    """Scale is drawn from 1/(1 + zoom) to 1 + zoom, evenly in its logarithm."""
    aspect: float = 0.25
    """Width over height changes by a factor from 1/(1 + aspect) to 1 + aspect."""
    shift: float = 0.1
    """Shift in each direction, fraction of the image side."""
    shear: float = 5.0
    """Shear to either side, degrees."""
    brightness: float = 0.15
    """Added to the intensity, to either side, fraction of full white."""
    contrast: float = 0.3
    """Intensities spread around mid-grey by a factor from 1/(1 + contrast) to 1 + contrast."""
    gamma: float = 0.4
    """Intensity exponent from 1/(1 + gamma) to 1 + gamma."""
    sharpness: float = 1.0
    """Detail finer than 1 % of the side is weakened by up to this part (1 blurs it away) or strengthened by up to twice
    it."""
    noise: float = 15.0
    """Largest deviation of grain, grey levels of 255; each image's is drawn evenly from 0 up."""
    erase: float = 0.0
    """Probability of blanking one rectangle of 2 to 20 % of the image."""

    def __post_init__(self) -> None:
        for name in ("flip", "erase"):
            require(0 <= getattr(self, name) <= 1, name, getattr(self, name), "a probability from 0 to 1")
        for name, largest in (("rotation", 180), ("shear", 45)):
            require(0 <= getattr(self, name) <= largest, name, getattr(self, name), f"from 0 to {largest} degrees")
        require(0 <= self.sharpness <= 1, "sharpness", self.sharpness, "from 0 to 1")
        require(0 <= self.noise <= 64, "noise", self.noise, "from 0 to 64 grey levels")
        for name in ("zoom", "aspect", "shift", "brightness", "contrast", "gamma"):
            require(0 <= getattr(self, name) <= 1, name, getattr(self, name), "from 0 to 1")


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Which network."""

    model: ModelName = "efficientnet_lite0"
    """efficientnet_lite0: transfer, for small machines. compact: small residual CNN, without foreign weights. study:
    the original study's four convolution blocks. inception_v3: transfer, large."""
    dropout: float = 0.2
    """Part of the features before the last layer that a training step drops."""
    l1: float = 0.0
    """L1 lambda on every kernel."""
    l2: float = 0.0
    """L2 lambda on every kernel."""
    normalize: bool = True
    """Give every image mean 0 and deviation 1 inside the model, so that exposure matters less."""
    weights: str = "auto"
    """For inception_v3 and efficientnet_lite0: none, imagenet (downloaded by Keras; or from the package that is
    installed with this one), or the path of a weights file (for efficientnet_lite0 a PyTorch state dict, read safely).
    auto: imagenet for efficientnet_lite0, else none."""
    fine_tune_blocks: int | None = None
    """How many of the last blocks of a pretrained network learn: inception_v3 has 11 (mixed0 to mixed10),
    efficientnet_lite0 has 7 (its blocks of one width; all 7 free the stem too). 0 trains the new last layer alone.
    Without it: all of efficientnet_lite0, none of inception_v3, as the study had it."""

    def __post_init__(self) -> None:
        require(0 <= self.dropout < 1, "dropout", self.dropout, "from 0 to below 1")
        require(0 <= self.l1 <= 1, "l1", self.l1, "from 0 to 1")
        require(0 <= self.l2 <= 1, "l2", self.l2, "from 0 to 1")
        blocks, pretrained = PRETRAINED_BLOCKS.get(self.model, 0), " or ".join(PRETRAINED_BLOCKS)
        allowed = f"from 0 to {blocks} for --model {self.model}"
        require(0 <= self.free_blocks <= blocks, "fine-tune-blocks", self.fine_tune_blocks, allowed)
        allowed = f"none unless --model is {pretrained}"
        require(bool(blocks) or self.start == "none", "weights", self.weights, allowed)

    @property
    def start(self) -> str:
        """What the network starts from: none, imagenet or a path."""
        if self.weights != "auto":
            return self.weights
        return "imagenet" if self.model in WEIGHTS_INSTALLED else "none"

    @property
    def free_blocks(self) -> int:
        """How many of the last blocks of a pretrained network learn."""
        if self.fine_tune_blocks is not None:
            return self.fine_tune_blocks
        return PRETRAINED_BLOCKS[self.model] if self.model in WEIGHTS_INSTALLED else 0


@dataclass(frozen=True, kw_only=True)
class FitConfig:
    """How the network is trained."""

    epochs: int = 10
    """Passes over the training patients."""
    batch_size: int = 32
    """Images a step."""
    learning_rate: float = 5e-4
    """Peak learning rate of AdamW."""
    weight_decay: float = 1e-4
    """Decoupled weight decay of AdamW."""
    warmup: float = 0.1
    """Part of all steps over which the learning rate rises; after it, it falls along a cosine to a hundredth."""
    label_smoothing: float = 0.0
    """Targets are drawn this much towards one half."""
    mixup: float = 0.0
    """Largest share of another image, and of its label, that is blended into each training image; 0 blends none."""
    average: float = 0.99
    """Decay of the moving average of weights that is validated and kept; 0 keeps the raw weights."""
    members: int = 1
    """Networks trained one after the other, from seeds that follow each other; their mean answers, as one file."""
    class_weights: bool = True
    """Weigh the loss so that NORMAL and PNEUMONIA count alike however many there are."""
    patience: int = 0
    """Stop after this many epochs without a better validation AUROC; 0 never stops early."""
    precision: Precision = "auto"
    """Arithmetic of the layers; auto picks the fastest valid one for the device. Weights and loss stay float32."""
    xla: Switch = "auto"
    """Compile the training step with XLA; auto picks the faster for the device."""
    seed: int = 0
    """Fixes initial weights, data order, augmentation and dropout."""
    deterministic: bool = False
    """Only deterministic kernels, so that two runs give identical weights on one machine; slower."""
    devices: int = 1
    """Devices of this machine that share each batch: GPUs, or parts of the CPU where there is none."""

    def __post_init__(self) -> None:
        require(1 <= self.epochs <= 10_000, "epochs", self.epochs, "from 1 to 10000")
        require(1 <= self.batch_size <= 65_536, "batch-size", self.batch_size, "from 1 to 65536")
        require(0 < self.learning_rate <= 10, "learning-rate", self.learning_rate, "above 0, up to 10")
        require(0 <= self.weight_decay <= 1, "weight-decay", self.weight_decay, "from 0 to 1")
        require(0 <= self.warmup < 1, "warmup", self.warmup, "from 0 to below 1")
        require(0 <= self.label_smoothing < 1, "label-smoothing", self.label_smoothing, "from 0 to below 1")
        require(0 <= self.mixup <= 0.5, "mixup", self.mixup, "from 0 to 0.5")
        require(0 <= self.average < 1, "average", self.average, "from 0 to below 1")
        require(1 <= self.members <= 20, "members", self.members, "from 1 to 20")
        require(self.patience >= 0, "patience", self.patience, "0 or more")
        require(0 <= self.seed < 2**31, "seed", self.seed, "from 0 to 2147483647")
        require(1 <= self.devices <= 1024, "devices", self.devices, "from 1 to 1024")


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """How the result is judged."""

    rule: str = "youden"
    """How validation chooses the threshold: youden, or for example sensitivity>=0.95 or specificity>=0.90."""
    under_shift: bool = True
    """Choose the threshold on validation as it is and through 15 changes of exposure, sharpness and framing."""
    flips: bool = False
    """Let the model see every image's mirror image too and answer by the mean; twice the work, also after export."""
    resamples: int = 2000
    """Bootstrap resamples of patients behind every 95 % interval."""

    def __post_init__(self) -> None:
        from pipeline.operating_point import Rule

        try:
            Rule.parse(self.rule)
        except InputError as error:
            raise InputError(f"--rule: {error}") from error
        require(100 <= self.resamples <= 100_000, "resamples", self.resamples, "from 100 to 100000")


@dataclass(frozen=True, kw_only=True)
class SearchConfig:
    """What a search for hyper-parameters may spend (`--tune`, `python -m tuning`)."""

    tune: bool = False
    """Search learning rate, dropout, L1 and L2 first, then train the winner."""
    tuner: Literal["bayesian", "hyperband", "random", "grid"] = "bayesian"
    """KerasTuner's algorithm."""
    max_trials: int = 8
    """Sets of hyper-parameters to try."""
    trial_epochs: int = 3
    """Epochs a trial trains at most."""
    objective: str = "shifted_auroc"
    """What a trial is judged by: shifted_auroc (on validation images as another clinic might have made them),
    validation_auroc, validation_loss, validation_accuracy, or sensitivity@0.90 (at that specificity)."""
    ranges: tuple[str, ...] = ()
    """Changes to the search space: learning_rate=1e-4:1e-2, dropout=0.3 (fixed), weight_decay (searched too)."""
    space: Path | None = None
    """JSON file with such changes, name to [low, high], a number or true; --ranges wins over it."""
    minutes: float = 0.0
    """Start no new trial after so many minutes, and end those that run; 0 sets no limit."""
    epoch_budget: int = 0
    """Start no new trial after so many epochs in all trials together; 0 sets no limit."""
    stop_hopeless: bool = True
    """End a trial behind the median of the others at its epoch (not with hyperband, which has its own way)."""
    confirm: int | None = None
    """Train so many of the best trials, and the starting values, again from other seeds; the best mean wins. Default:
    2, but 0 on phantoms, whose figures mean nothing, and at the chief of a cluster, which may have no device."""
    seeds: int = 3
    """Seeds of --confirm."""
    workers: int = 1
    """Processes that try trials side by side on this machine."""

    def __post_init__(self) -> None:
        require(1 <= self.max_trials <= 10_000, "max-trials", self.max_trials, "from 1 to 10000")
        require(1 <= self.trial_epochs <= 10_000, "trial-epochs", self.trial_epochs, "from 1 to 10000")
        require(0 <= self.minutes <= 1e6, "minutes", self.minutes, "0 or more")
        require(self.epoch_budget >= 0, "epoch-budget", self.epoch_budget, "0 or more")
        require(self.confirm is None or 0 <= self.confirm <= 100, "confirm", self.confirm, "from 0 to 100")
        require(2 <= self.seeds <= 100, "seeds", self.seeds, "from 2 to 100, for an interval needs two")
        require(1 <= self.workers <= 1024, "workers", self.workers, "from 1 to 1024")


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Everything that decides what a run learns and how it is judged; what `config.json` holds."""

    data: DataConfig = field(default_factory=DataConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    fit: FitConfig = field(default_factory=FitConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    search: SearchConfig = field(default_factory=SearchConfig)

    def __post_init__(self) -> None:
        least = SMALLEST_IMAGE[self.model.model]
        allowed = f"at least {least} for --model {self.model.model}"
        require(self.data.image_size >= least, "image-size", self.data.image_size, allowed)


@dataclass(frozen=True, kw_only=True)
class RunCommand(RunConfig, Command):
    """A command whose flags are the settings of a run."""

    def settings(self) -> RunConfig:
        """Give the settings alone, without what concerns only this call of the command."""
        return RunConfig(**{name: getattr(self, name) for name in RunConfig.__dataclass_fields__})
