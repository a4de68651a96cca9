"""Every setting of a run, with its unit, its default and its bounds.

The command lines of `pipeline.train`, `pipeline.ladder` and `tuning` are made from these dataclasses, and `config.json`
in a run folder is a `RunConfig` as JSON (`pipeline.config.config_json`). No default stands anywhere else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal, get_args

import tyro
from annotated_types import Ge, Gt, Le, Lt, Unit

from pipeline.config import own_network
from pipeline.config.guarantee import candidates
from pipeline.config.threshold_rule import Rule
from pneumo_tfds.program.bounds import Bounded, Count, Seed
from pneumo_tfds.program.command import Command
from pneumo_tfds.program.errors import InputError, require
from pneumo_tfds.program.framing_names import DEFAULT_FRAMING, Framing
from pneumo_tfds.sources.source_options import SourceOptions
from pneumo_tfds.splits.options import SplitOptions

ModelName = Literal["compact", "study", "inception_v3", "efficientnet_lite0"]
Precision = Literal["auto", "float32", "mixed_bfloat16", "mixed_float16"]
Switch = Literal["auto", "on", "off"]
HoldOut = Literal["none", "im", "normal2-im", "low-numbers", "bright"]
Fraction = Annotated[float, Ge(0), Le(1)]

ADDRESS = re.compile(r"[^\s/:]+:[0-9]{1,5}")

# Pixels a side; and of the pretrained networks, how many blocks --fine-tune-blocks counts.
SMALLEST_IMAGE: dict[str, int] = {"compact": 32, "study": 46, "inception_v3": 75, "efficientnet_lite0": 32}
PRETRAINED_BLOCKS: dict[str, int] = {"inception_v3": 11, "efficientnet_lite0": 7}
WEIGHTS_INSTALLED: tuple[ModelName, ...] = ("efficientnet_lite0",)  # whose ImageNet weights come with the installation


class WeightsError(InputError):
    """Pretrained weights are neither on this machine nor to be fetched."""


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
        return self.name.startswith("phantom")


@dataclass(frozen=True, kw_only=True)
class _Images(Bounded):
    """Which X-rays, at which size; apart only because `--help` lists the flags of base classes first."""

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
    """Keep a group of images out of training and score it as the split held_out: NORMAL images named IM- or NORMAL2-IM-
    (with some of the PNEUMONIA patients), the lowest numbers in names, or the brightest images of each kind."""
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
        require(
            not self.folds or address is None,
            "data-service",
            address,
            "left out with --folds, which trains from memory",
        )


@dataclass(frozen=True, kw_only=True)
class DataConfig(SourceOptions, _Images):
    """Which X-rays, at which size, and how their folders or tables are to be understood."""

    @property
    def built(self) -> BuiltDataset:
        """The built dataset of these settings.

        Raises:
            InputError: it is not built yet; `pipeline.data.dataset.with_dataset` builds it.
        """
        if self.dataset is None:
            raise InputError("these settings name no built dataset; give --dataset, or --source to build one")
        return BuiltDataset(self.dataset)


@dataclass(frozen=True, kw_only=True)
class AugmentConfig(Bounded):
    """How much training images are changed at random. 0 turns a change off; --no-augment turns all of them off."""

    augment: bool = True
    """Change training images at random. Validation, test and the exported model are never augmented."""
    flip: Annotated[float, Ge(0), Le(1), Unit("(a probability)")] = 0.5
    """Probability of a left-right flip."""
    rotation: Annotated[float, Ge(0), Le(180), Unit("degrees")] = 10.0
    """Largest rotation to either side, in degrees."""
    zoom: Fraction = 0.3
    """The scale is drawn from 1/(1 + zoom) to 1 + zoom, evenly in its logarithm."""
    aspect: Fraction = 0.25
    """Width over height changes by a factor from 1/(1 + aspect) to 1 + aspect."""
    shift: Fraction = 0.1
    """Largest shift in each direction, as a fraction of the image side."""
    shear: Annotated[float, Ge(0), Le(45), Unit("degrees")] = 5.0
    """Largest shear to either side, in degrees."""
    brightness: Fraction = 0.15
    """Largest change of the intensity up or down, as a fraction of full white."""
    contrast: Fraction = 0.3
    """Intensities are spread around mid-grey by a factor from 1/(1 + contrast) to 1 + contrast."""
    gamma: Fraction = 0.4
    """Intensities are raised to a power from 1/(1 + gamma) to 1 + gamma."""
    sharpness: Fraction = 1.0
    """Detail finer than 1.6 % of the side is weakened by up to this fraction (1 blurs it away) or strengthened by up to
    twice that fraction."""
    noise: Annotated[float, Ge(0), Le(64), Unit("grey levels")] = 15.0
    """Largest standard deviation of the added noise, in grey levels of 255. Each image draws its own, evenly from 0."""
    histogram_swap: Annotated[float, Ge(0), Le(1), Unit("(a probability)")] = 0.5
    """Probability of moving an image's grey levels towards the histogram of an image of the other class."""
    random_erasing: Annotated[float, Ge(0), Le(1), Unit("(a probability)")] = 0.0
    """Probability of blanking one rectangle that covers 2 to 20 % of the image."""


@dataclass(frozen=True, kw_only=True)
class ModelConfig(Bounded):
    """Which network."""

    model: Annotated[str, tyro.conf.arg(metavar="NAME|MODULE:FUNCTION")] = "efficientnet_lite0"
    """efficientnet_lite0: pretrained on ImageNet, made for small machines. compact: a small residual CNN without
    pretrained weights. study: the original study's four convolution blocks. inception_v3: pretrained, large.
    PACKAGE.MODULE:FUNCTION: a network of your own (docs/how-to/your-own-network.md)."""
    arguments: tuple[str, ...] = ()
    """Arguments of a network of your own, such as width=48."""
    module_sha256: Annotated[str, tyro.conf.Suppress] = ""
    """SHA-256 of the source file of a network of your own, set when the run begins."""
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.2
    """Fraction of the features before the last layer that a training step drops."""
    l1: Fraction = 0.0
    """L1 penalty (lambda) on every kernel."""
    l2: Fraction = 0.0
    """L2 penalty (lambda) on every kernel."""
    width: Annotated[float, Ge(0.25), Le(4)] = 1.0
    """Filters of compact, as a multiple of its own, rounded to multiples of 8."""
    depth: Annotated[int, Ge(1), Le(8)] = 1
    """Residual blocks of compact, as a multiple of its own."""
    normalize: bool = True
    """Give every image mean 0 and standard deviation 1 inside the model, so that exposure matters less."""
    pretrained_weights: str = "auto"
    """Where inception_v3 and efficientnet_lite0 start: none, imagenet, or the path of a weights file. ImageNet weights
    of inception_v3 are downloaded by Keras, those of efficientnet_lite0 are installed with this package; a file of
    your own for it must be a PyTorch state dict. auto: imagenet for efficientnet_lite0, else none."""
    fine_tune_blocks: int | None = None
    """How many of the last blocks of a pretrained network are trained: up to 11 of inception_v3 (mixed0 to mixed10), up
    to 7 of efficientnet_lite0 (7 trains the stem too). 0 trains the new last layer alone. Default: all of
    efficientnet_lite0; none of inception_v3, as in the original study."""

    crop: Literal["auto", "lungs", "none"] = "auto"
    """lungs: find the lungs in each image and look at nothing else, at 4/7 of the image's side. none: look at the whole
    image. auto: lungs for efficientnet_lite0, none for the others."""
    subtype_head: bool = False
    """Also learn whether a pneumonia is bacterial or viral, from the PNEUMONIA images whose kind is known. For research
    only; what is answered besides does not depend on it."""

    def __post_init__(self) -> None:
        super().__post_init__()
        names = get_args(ModelName)
        own = bool(own_network.NAME.fullmatch(self.model))
        require(own or self.model in names, "model", self.model, f"{', '.join(names)} or PACKAGE.MODULE:FUNCTION")
        require(
            own or not self.arguments, "arguments", " ".join(self.arguments), "left out, unless --model is your own"
        )
        for argument in self.arguments:
            own_network.read_argument(argument)
        blocks, pretrained = PRETRAINED_BLOCKS.get(self.model, 0), " or ".join(PRETRAINED_BLOCKS)
        allowed = f"from 0 to {blocks} for --model {self.model}"
        require(0 <= self.free_blocks <= blocks, "fine-tune-blocks", self.fine_tune_blocks, allowed)
        require(not (own and self.subtype_head), "subtype-head", "given", "left out with a network of your own")
        for name in ("width", "depth"):
            value = getattr(self, name)
            require(value == 1 or self.model == "compact", name, value, "1 unless --model is compact")
        allowed = f"none unless --model is {pretrained}"
        require(bool(blocks) or self.start == "none", "pretrained-weights", self.pretrained_weights, allowed)

    @property
    def start(self) -> str:
        """What the network starts from: `none`, `imagenet` or a path."""
        if self.pretrained_weights != "auto":
            return self.pretrained_weights
        return "imagenet" if self.model in WEIGHTS_INSTALLED else "none"

    @property
    def crops(self) -> bool:
        """Whether the network looks at the lungs alone."""
        return self.crop == "lungs" or (self.crop == "auto" and self.model == "efficientnet_lite0")

    @property
    def heads(self) -> int:
        """How many logits the network has: PNEUMONIA, and with a second head VIRUS."""
        return 1 + self.subtype_head

    @property
    def free_blocks(self) -> int:
        """How many of the last blocks of a pretrained network are trained."""
        if self.fine_tune_blocks is not None:
            return self.fine_tune_blocks
        return PRETRAINED_BLOCKS[self.model] if self.model in WEIGHTS_INSTALLED else 0

    @property
    def own(self) -> own_network.OwnNetwork | None:
        """The user's function, in the version that the run recorded; None for a network of ours.

        Raises:
            InputError: the module is not in this environment, is of another version, or fails while it is imported.
        """
        return own_network.find(self.model, self.module_sha256) if own_network.is_own(self.model) else None

    def pinned(self) -> ModelConfig:
        """Return these settings with the version of the user's module recorded; as they are for a network of ours.

        Raises:
            InputError: like `own`, or a setting is given that the function does not take.
        """
        if (own := self.own) is None:
            return self
        own.check_arguments(self.arguments)
        for name in ("dropout", "l1", "l2"):
            left_alone = getattr(self, name) == getattr(ModelConfig, name) or name in own.defaults
            require(left_alone, name, getattr(self, name), f"left out: {self.model} takes no argument {name}")
        return replace(self, module_sha256=own.sha256, normalize=self.normalize and "normalize" in own.defaults)


@dataclass(frozen=True, kw_only=True)
class FitConfig(Bounded):
    """How the network is trained."""

    epochs: Annotated[int, Ge(1), Le(10_000)] = 20
    """Passes over the training images."""
    batch_size: Annotated[int, Ge(1), Le(65_536)] = 32
    """Images in one step."""
    learning_rate: Annotated[float, Gt(0), Le(10)] = 5e-4
    """Peak learning rate of AdamW."""
    weight_decay: Fraction = 1e-4
    """Decoupled weight decay of AdamW."""
    warmup: Annotated[float, Ge(0), Lt(1)] = 0.1
    """Fraction of all steps in which the learning rate rises to its peak. After that it falls along a cosine to a
    hundredth of the peak."""
    label_smoothing: Annotated[float, Ge(0), Lt(1)] = 0.0
    """How far targets are moved from 0 or 1 towards one half, as a fraction of the way."""
    mixup: Annotated[float, Ge(0), Le(0.5)] = 0.0
    """Largest weight of a second image, and of its label, blended into each training image. 0 blends none."""
    ema_decay: Annotated[float, Ge(0), Lt(1)] = 0.99
    """Decay of the exponential moving average (EMA) of the weights. The averaged weights are validated and kept. 0
    keeps the raw weights."""
    ensemble_size: Annotated[int, Ge(1), Le(20)] = 1
    """Number of networks, trained one after the other from consecutive seeds. The mean of their logits answers, and
    they are exported as one file."""
    class_weights: bool = True
    """Weight the loss so that NORMAL and PNEUMONIA count equally, however many images there are of each."""
    subtype_weight: Annotated[float, Gt(0), Le(10)] = 1.0
    """Weight of the loss of --subtype-head, beside 1 for that of NORMAL and PNEUMONIA."""
    patience: Annotated[int, Ge(0)] = 0
    """Stop after this many epochs without a better validation AUROC. 0 never stops early."""
    keep: Literal["best", "last"] = "best"
    """Which epoch's weights are kept: the best by validation AUROC, or the last. Where labels are wrong, that AUROC
    prefers networks that do not yet contradict them, so last finds more of them."""
    precision: Precision = "auto"
    """Arithmetic of the layers. auto picks the fastest valid one for the device. Weights and loss stay float32."""
    xla: Switch = "auto"
    """Compile the training step with XLA. auto picks the faster choice for the device."""
    seed: Seed = 0
    """Seed of initial weights, data order, augmentation and dropout."""
    deterministic: bool = False
    """Use deterministic kernels only, so that two runs on one machine give identical weights. Slower."""
    devices: Count = 1
    """Devices of this machine that share each batch: GPUs, or parts of the CPU if there is no GPU."""


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig(Bounded):
    """How the result is evaluated."""

    threshold_rule: str = "youden"
    """How validation chooses the decision threshold: youden, or for example sensitivity>=0.95 or specificity>=0.90."""
    threshold_under_shift: bool = True
    """Choose the threshold on validation under shift: the images as they are and through 15 changes of exposure,
    sharpness and framing."""
    guarantee: str = "auto"
    """What certain answers must guarantee, such as npv>=0.95,ppv>=0.95: the least fractions of certain NORMAL and of
    certain PNEUMONIA answers that are right. Other answers are UNCERTAIN. auto asks for 0.95, or for 0.9 or 0.8 where
    validation has too few patients for that; with still fewer it guarantees nothing, and says so. none: decide by the
    threshold alone, so no answer is UNCERTAIN."""
    prevalence: Annotated[float, Gt(0), Lt(1), Unit("(a fraction)")] = 0.5
    """Fraction of patients with pneumonia for which the guarantee is stated. Predictive values depend on it."""
    test_time_flip: bool = False
    """Average the answers for every image and its mirror image. Twice the work, also after export."""
    also_judge: tuple[Path, ...] = ()
    """Other labelled X-rays, such as of another hospital: folders, zips or CSVs with both classes. At the end the model
    is scored on each, at the run's own threshold. Nothing is chosen by them."""
    resamples: Annotated[int, Ge(100), Le(100_000)] = 2000
    """Bootstrap resamples of patients behind every 95 % interval."""
    evaluation_seed: Seed = 0
    """Seed of the changes under shift, of the bootstrap, and of the images picked for the report. It does not depend on
    --seed, so runs from different training seeds are evaluated alike."""

    def __post_init__(self) -> None:
        super().__post_init__()
        try:
            Rule.parse(self.threshold_rule)
        except InputError as error:
            raise InputError(f"--threshold-rule: {error}") from error
        try:
            candidates(self.guarantee)
        except InputError as error:
            raise InputError(f"--guarantee: {error}") from error


@dataclass(frozen=True, kw_only=True)
class SearchConfig(Bounded):
    """What a search for hyper-parameters may spend (`--tune`, `python -m tuning`)."""

    tune: bool = False
    """Search learning rate, dropout, L1 and L2 first, then train the winner."""
    tuner: Literal["bayesian", "hyperband", "random", "grid"] = "bayesian"
    """KerasTuner's search algorithm."""
    max_trials: Annotated[int, Ge(1), Le(10_000)] = 8
    """Number of sets of hyper-parameters to try."""
    trial_epochs: Annotated[int, Ge(1), Le(10_000)] = 3
    """Largest number of epochs of one trial."""
    trial_folds: Annotated[int, Ge(1), Le(20)] = 1
    """Train each trial once in each of so many folds of the patients of train and validation, and rank it by the mean
    over the folds. 1 trains it once, on train, and ranks it on validation."""
    objective: str = "shifted_auroc"
    """Figure by which trials are ranked: shifted_auroc (AUROC on validation under shift), validation_auroc,
    validation_loss, validation_accuracy, or sensitivity@0.90 (sensitivity at that specificity)."""
    ranges: tuple[str, ...] = ()
    """Changes to the search space: learning_rate=1e-4:1e-2 (a range), dropout=0.3 (a fixed value), weight_decay (search
    it too)."""
    space: Path | None = None
    """JSON file with such changes: each name with [low, high], a number or true. --ranges overrides it."""
    warm_start: Path | None = None
    """Run folder of an earlier search: its three best trials are tried first, after the starting values."""
    minutes: Annotated[float, Ge(0), Le(1e6)] = 0.0
    """Minutes for all trials and for training the best again: trials end early enough to leave time for that, but have
    at least half of the minutes. 0 sets no limit."""
    epoch_budget: Annotated[int, Ge(0)] = 0
    """Total epochs of all trials after which no new trial starts. 0 sets no limit."""
    median_stopping: bool = True
    """Stop a trial early if it is below the median of the other trials at the same epoch. Has no effect with hyperband,
    which stops trials by its own rule."""
    confirm_top: Annotated[int, Ge(0), Le(100)] | None = None
    """How many of the best trials are trained again from other seeds and compared with the starting values; the highest
    mean wins. Default: 2 (0 on phantoms, and at the chief of a cluster)."""
    confirm_seeds: Annotated[int, Ge(2), Le(100)] = 3
    """Number of seeds of --confirm-top; an interval needs at least two."""
    workers: Count = 1
    """Processes on this machine that run trials side by side."""


@dataclass(frozen=True, kw_only=True)
class RunConfig(Bounded):
    """All settings that decide what a run learns and how it is evaluated; the content of `config.json`."""

    data: DataConfig = field(default_factory=DataConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    fit: FitConfig = field(default_factory=FitConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    search: SearchConfig = field(default_factory=SearchConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        least = SMALLEST_IMAGE.get(self.model.model, 0)
        allowed = f"at least {least} for --model {self.model.model}"
        require(self.data.image_size >= least, "image-size", self.data.image_size, allowed)
        folds, allowed = self.search.trial_folds, "1 with --tuner hyperband and with --data-service"
        alone = self.search.tuner == "hyperband" or self.data.data_service is not None
        require(folds == 1 or not alone, "trial-folds", folds, allowed)


@dataclass(frozen=True, kw_only=True)
class RunCommand(RunConfig, Command):
    """A command whose flags are the settings of a run."""

    def settings(self) -> RunConfig:
        """Return the settings alone, without the flags that concern only this call of the command."""
        return RunConfig(**{name: getattr(self, name) for name in RunConfig.__dataclass_fields__})
