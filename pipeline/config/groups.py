"""Every setting of a run, with its unit, its default and its bounds; `data` and `model` in a module of their own each.

The command lines of `pipeline.train`, `pipeline.ladder` and `tuning` are made from these dataclasses, and `config.json`
in a run folder is a `RunConfig` as JSON (`pipeline.config.config_json`). No default stands anywhere else.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt, Unit

from pipeline.config.data_settings import DataConfig, Switch
from pipeline.config.guarantee import candidates
from pipeline.config.model_settings import SMALLEST_IMAGE, ModelConfig
from pipeline.config.threshold_rule import Rule
from pneumo_tfds.program.bounds import LAST_SEED, Bounded, Count, Fraction, Seed
from pneumo_tfds.program.command import Command
from pneumo_tfds.program.errors import InputError, require

Precision = Literal["auto", "float32", "mixed_bfloat16", "mixed_float16"]


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
        for flag, read, text in (
            ("threshold-rule", Rule.parse, self.threshold_rule),
            ("guarantee", candidates, self.guarantee),
        ):
            try:
                read(text)
            except InputError as error:
                raise InputError(f"--{flag}: {error}") from error


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
        size = self.fit.ensemble_size
        self.require_seeds(size - 1, f"--ensemble-size {size}")

    def require_seeds(self, more: int, why: str) -> None:
        """Raise InputError unless so many seeds follow that of the training, which the flags in `why` need."""
        last = LAST_SEED - more
        require(self.fit.seed <= last, "seed", self.fit.seed, f"at most {last} with {why}, for consecutive seeds")


@dataclass(frozen=True, kw_only=True)
class RunCommand(RunConfig, Command):
    """A command whose flags are the settings of a run."""

    def settings(self) -> RunConfig:
        """Return the settings alone, without the flags that concern only this call of the command."""
        return RunConfig(**{name: getattr(self, name) for name in RunConfig.__dataclass_fields__})
