"""Our two networks written for PyTorch as a careful user would, and their training step.

Memory is `channels_last` and AdamW is fused; where that is asked for, `autocast` computes in bfloat16, and
`torch.compile` compiles the network. The step gets images that are already standardized and in memory: it does not
augment and keeps no average of the weights, which ours does. The numbers of weights are those of our networks, which a
test compares.
"""

from __future__ import annotations

from shutil import which
from typing import TYPE_CHECKING, Any

from benchmarks.measuring.harness import CannotRunError, Work
from pipeline.networks.efficientnet_lite import EPSILON, HEAD, LITE0, STEM
from pipeline.networks.models import COMPACT_STAGES, COMPACT_STEM

if TYPE_CHECKING:
    from torch import nn


def train(network: str, size: int, batch: int, threads: int, *, bfloat16: bool = False, compiled: bool = False) -> Work:
    """Train on one batch of random images of side `size`, again and again."""
    import torch
    from torch.nn import functional

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    model: Any = {"compact": compact, "efficientnet_lite0": efficientnet_lite0}[network]()
    model = model.to(memory_format=torch.channels_last).train()
    if compiled:
        if not which("g++"):
            raise CannotRunError("torch.compile needs the compiler g++, which is not installed")
        model = torch.compile(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    images = torch.randn(batch, 1, size, size).to(memory_format=torch.channels_last)
    labels = (torch.arange(batch) % 2).float()[:, None]
    while True:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            logits = model(images)
        functional.binary_cross_entropy_with_logits(logits.float(), labels).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        yield batch


def compact() -> nn.Module:
    """Return `compact`: a residual CNN of blocks of two 3 x 3 convolutions."""
    from torch import nn
    from torch.nn import functional

    class Block(nn.Module):
        def __init__(self, inputs: int, filters: int, stride: int) -> None:
            super().__init__()
            self.first = _convolution(inputs, filters, 3, stride)
            self.second = _convolution(filters, filters, 3)
            shrink = (nn.AvgPool2d(2, ceil_mode=True), _convolution(inputs, filters, 1))
            self.shortcut = nn.Sequential(*shrink) if stride > 1 else nn.Identity()

        def forward(self, x: Any) -> Any:
            return functional.relu(self.second(functional.relu(self.first(x))) + self.shortcut(x))

    layers, width = [_convolution(1, COMPACT_STEM, 7, 4), nn.ReLU()], COMPACT_STEM
    for filters, blocks in COMPACT_STAGES:
        for block in range(blocks):
            layers.append(Block(width, filters, 1 if block else 2))
            width = filters
    return nn.Sequential(*layers, *_head(width))


def efficientnet_lite0() -> nn.Module:
    """Return EfficientNet-Lite0 for grey images."""
    from torch import nn

    class Block(nn.Module):
        def __init__(self, inputs: int, filters: int, kernel: int, stride: int, expansion: int) -> None:
            super().__init__()
            inner = inputs * expansion
            expand = [_convolution(inputs, inner, 1), nn.ReLU6()] if expansion > 1 else []
            depthwise = [_convolution(inner, inner, kernel, stride, groups=inner), nn.ReLU6()]
            self.layers = nn.Sequential(*expand, *depthwise, _convolution(inner, filters, 1))
            self.residual = stride == 1 and inputs == filters

        def forward(self, x: Any) -> Any:
            return self.layers(x) + x if self.residual else self.layers(x)

    layers, width = [_convolution(1, STEM, 3, 2), nn.ReLU6()], STEM
    for group in LITE0:
        for block in range(group.blocks):
            layers.append(Block(width, group.filters, group.kernel, 1 if block else group.stride, group.expansion))
            width = group.filters
    return nn.Sequential(*layers, _convolution(width, HEAD, 1), nn.ReLU6(), *_head(HEAD))


def _convolution(inputs: int, filters: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Module:
    """Return a convolution and its batch normalization."""
    from torch import nn

    convolution = nn.Conv2d(inputs, filters, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(filters, eps=EPSILON))


def _head(width: int) -> list[nn.Module]:
    from torch import nn

    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(width, 1)]
