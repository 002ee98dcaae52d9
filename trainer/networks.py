"""The networks themselves: the tutorial's CNN and the residual ladder, in plain torch.

Every network takes float pixels as they are stored, 0 to 255, [N, C, H, W]; the normalisation is its first
layer, so that it cannot be forgotten on the way to the node. `features` gives the embedding [N, D], `head`
turns it into logits [N, K].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from trainer.distributed import GlobalBatchNorm, GlobalDropout
from trainer.line_stem import LineStem

FAINTEST = 4.0
"""In pixel units: the spread of a camera's own noise."""


@dataclass(frozen=True, slots=True)
class NetworkSpec:
    """All that is needed to build a network again before its weights are loaded."""

    architecture: str
    classes: int
    height: int
    width: int
    channels: int
    dropout: float = 0.0
    inner: tuple[int, ...] = ()
    """Channels left inside each prunable layer after pruning; empty: as designed."""
    each_picture: bool = False
    """Each picture is normalised by its own mean and spread, before the data's."""
    stem: Literal["learnt", "lines"] = "learnt"
    """`lines`: fixed filters for long thin lines come first (`line_stem`)."""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"inner": list(self.inner)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> NetworkSpec:
        return cls(**(values | {"inner": tuple(values["inner"])}))


@dataclass(frozen=True, slots=True)
class Prunable:
    """A layer whose output channels feed nothing but `consumer`, so that some can be taken out."""

    producer: nn.Conv2d | nn.Linear
    norm: nn.BatchNorm2d | None
    consumer: nn.Conv2d | nn.Linear
    spread: int = 1
    """Consecutive input columns of `consumer` that belong to one channel (a flattened map's pixels)."""


class Network(nn.Module):
    """What training, export and pruning know of a network."""

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        self.spec = spec
        self.scale: Tensor
        self.shift: Tensor
        self.register_buffer("scale", torch.full((1, spec.channels, 1, 1), 1.0 / 255.0))
        self.register_buffer("shift", torch.zeros(1, spec.channels, 1, 1))
        self.dropout = GlobalDropout(spec.dropout)
        self.head: nn.Linear

    def normalise_by(self, mean: Sequence[float], std: Sequence[float]) -> None:
        """Sets the first layer to (pixel − mean) / std; both a channel, in pixel units 0 to 255."""
        for channel, (centre, spread) in enumerate(zip(mean, std, strict=True)):
            self.scale[:, channel] = 1.0 / max(spread, 1.0)
            self.shift[:, channel] = -centre / max(spread, 1.0)

    def normalised(self, pixels: Tensor) -> Tensor:
        """What the first convolution sees: `pixels` by the data's mean and spread, or each by its own.

        A picture's own spread has FAINTEST added, so that an empty one is not blown up into noise.
        """
        if not self.spec.each_picture:
            return pixels * self.scale + self.shift
        centred = pixels - pixels.mean(dim=(1, 2, 3), keepdim=True)
        return centred / (centred.square().mean(dim=(1, 2, 3), keepdim=True).sqrt() + FAINTEST)

    def features(self, pixels: Tensor) -> Tensor:
        raise NotImplementedError

    def prunable(self) -> list[Prunable]:
        """The layers that may lose channels, in the order of `NetworkSpec.inner`."""
        raise NotImplementedError

    def forward(self, pixels: Tensor) -> Tensor:
        logits: Tensor = self.head(self.dropout(self.features(pixels)))
        return logits


class Classic(Network):
    """The classic tutorial's CNN, kept exactly.

    conv 3×3 32 → ReLU → max-pool 2 → conv 3×3 64 → ReLU → max-pool 2 → flatten → dense 128 → ReLU → dense K,
    pixels divided by 255. Convolutions have no padding, as in the tutorial, so a side of n pixels becomes
    ((n − 2) / 2 − 2) / 2 rounded down at each step: 32 → 6, 64 → 14, 224 → 54. The dense layer holds nearly
    all parameters and grows with the picture's area: about 0.3 million at 32×32, 1.6 at 64×64, 24 at 224×224.
    """

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__(spec)
        first, second, hidden = spec.inner or (32, 64, 128)
        rows, columns = _classic_side(spec.height), _classic_side(spec.width)
        if rows < 1 or columns < 1:
            raise ValueError(f"classic needs pictures of 10×10 or more, not {spec.height}×{spec.width}")
        self.pixels = rows * columns
        self.first = nn.Conv2d(spec.channels, first, 3)
        self.second = nn.Conv2d(first, second, 3)
        self.hidden = nn.Linear(second * self.pixels, hidden)
        self.head = nn.Linear(hidden, spec.classes)
        self.pool = nn.MaxPool2d(2)

    def features(self, pixels: Tensor) -> Tensor:
        maps = self.pool(torch.relu(self.first(self.normalised(pixels))))
        maps = self.pool(torch.relu(self.second(maps)))
        return torch.relu(self.hidden(maps.flatten(1)))

    def prunable(self) -> list[Prunable]:
        return [
            Prunable(self.first, None, self.second),
            Prunable(self.second, None, self.hidden, spread=self.pixels),
            Prunable(self.hidden, None, self.head),
        ]


def _classic_side(pixels: int) -> int:
    return ((pixels - 2) // 2 - 2) // 2


class Residual(nn.Module):
    """Two 3×3 convolutions with batch norm beside a shortcut; `stride` 2 halves the map.

    The shortcut averages before its 1×1 convolution instead of skipping every other pixel: nothing of the
    map is thrown away. The second norm starts at zero, so a new block is its shortcut.
    """

    def __init__(self, into: int, inner: int, out: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(into, inner, 3, stride, 1, bias=False)
        self.first_norm = GlobalBatchNorm(inner)
        self.second = nn.Conv2d(inner, out, 3, 1, 1, bias=False)
        self.second_norm = GlobalBatchNorm(out)
        nn.init.zeros_(self.second_norm.weight)
        self.pool = nn.AvgPool2d(2, ceil_mode=True) if stride == 2 else nn.Identity()
        self.match: nn.Module = nn.Identity()
        if into != out:
            self.match = nn.Sequential(nn.Conv2d(into, out, 1, bias=False), GlobalBatchNorm(out))

    def forward(self, maps: Tensor) -> Tensor:
        inner = torch.relu(self.first_norm(self.first(maps)))
        return torch.relu(self.match(self.pool(maps)) + self.second_norm(self.second(inner)))


class Edge(Network):
    """Residual CNN of the ladder: a stem, one residual block a width, global average pooling, one dense layer.

    The stem shrinks the picture to 24 to 48 pixels a side before the first block, whatever its size (by 1, 2
    or 4), so that cost stays of one order from 32 to 224 pixels and the last maps keep some pixels to average
    over. ReLU and plain 3×3 convolutions are chosen for the CPU: after folding batch norm a block is two
    convolutions and an addition, which onnxruntime runs near its peak in FP32 and quantises without loss.
    """

    def __init__(self, spec: NetworkSpec, widths: tuple[int, ...]) -> None:
        super().__init__(spec)
        inner = spec.inner or widths
        self.stem = nn.Sequential()
        channels = spec.channels
        sides = [(3, stride) for stride in stem_strides(spec.height, spec.width)]
        if spec.stem == "lines":
            lines = LineStem(channels)
            self.stem.append(lines)
            channels, sides = lines.out, [(1, 1)]
        for side, stride in sides:
            self.stem.append(nn.Conv2d(channels, widths[0], side, stride, side // 2, bias=False))
            self.stem.append(GlobalBatchNorm(widths[0]))
            self.stem.append(nn.ReLU())
            channels = widths[0]
        self.blocks = nn.Sequential()
        for index, width in enumerate(widths):
            self.blocks.append(Residual(channels, inner[index], width, 1 if index == 0 else 2))
            channels = width
        self.head = nn.Linear(2 * channels, spec.classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(self.head.bias)

    def features(self, pixels: Tensor) -> Tensor:
        maps = self.blocks(self.stem(self.normalised(pixels)))
        return torch.cat([maps.mean(dim=(2, 3)), maps.amax(dim=(2, 3))], 1)

    def prunable(self) -> list[Prunable]:
        blocks = [block for block in self.blocks if isinstance(block, Residual)]
        return [Prunable(block.first, block.first_norm, block.second) for block in blocks]


def stem_strides(height: int, width: int) -> tuple[int, ...]:
    """Strides of the stem's convolutions, so that the first block sees about 24 to 48 pixels a side."""
    side = (height * width) ** 0.5
    if side < 48:
        return (1,)
    return (2,) if side < 104 else (2, 2)
