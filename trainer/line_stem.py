"""A first layer of fixed filters for long thin lines: cracks, scratches, broken fingers, threads.

A crack of two pixels among grain that looks like it cannot be learnt from a few hundred pictures by 3×3 filters: what
tells it from grain is that it goes on. So each filter is the second derivative of a Gaussian across a line (the
ridge detector of T. Lindeberg, "Edge Detection and Ridge Detection with Automatic Scale Selection", IJCV 30, 1998),
averaged along it, in twelve directions, for short and long lines, thin and thicker ones. What is the same all along a
row or a column of the picture (rails, bars, a fall of light) is taken out before. Of each 6×6 pixels the strongest
answer of each filter is passed on: as it is, and relative to the picture's own average, which is its grain.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

DIRECTIONS = 12
LINES = ((11, 0.9), (31, 1.0), (31, 1.8))
"""Lengths and sigmas across, in pixels."""
STRIDE = 2
POOL = 3
CELL = STRIDE * POOL
"""Pixels of the picture, a side, that become one of the maps'."""
SENSITIVITY = 20.0
"""Answers are passed on as log(1 + this × answer): faint lines count, a black bar does not drown all else."""
_FLOOR = 0.01


class LineStem(nn.Module):
    """From normalised pixels float [N, C, H, W] to maps [N, `out`, H // 6, W // 6]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.out = 3 * len(LINES) * DIRECTIONS + 3 + channels
        sides: dict[int, list[Tensor]] = {}
        for length, sigma in LINES:
            sides.setdefault(length, []).extend(
                line_filter(length, sigma, math.pi * step / DIRECTIONS) for step in range(DIRECTIONS)
            )
        self._banks = []
        for length, filters in sides.items():
            self.register_buffer(f"lines_{length}", torch.stack(filters)[:, None], persistent=False)
            self._banks.append((f"lines_{length}", length // 2))
        self.register_buffer("grey", torch.full((1, channels, 1, 1), 1.0 / channels), persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        height, width = pixels.shape[2:]
        rows, columns = height // CELL, width // CELL
        grey = functional.conv2d(pixels, self.get_buffer("grey").to(pixels.dtype))
        flat = (
            grey
            - functional.avg_pool2d(grey, (1, width))
            - functional.avg_pool2d(grey, (height, 1))
            + functional.avg_pool2d(grey, (height, width))
        )
        found = []
        for name, margin in self._banks:
            padded = functional.pad(flat, (margin, margin, margin, margin), mode="replicate")
            answers = functional.conv2d(padded, self.get_buffer(name).to(padded.dtype), stride=STRIDE)
            found.append(answers[:, :, : rows * POOL, : columns * POOL])
        answers = torch.cat(found, 1)
        dark = functional.max_pool2d(torch.relu(answers), POOL)
        bright = functional.max_pool2d(torch.relu(-answers), POOL)
        grain = functional.avg_pool2d(dark, (rows, columns))
        flat, pixels = (
            flat[:, :, : rows * CELL, : columns * CELL],
            pixels[:, :, : rows * CELL, : columns * CELL],
        )
        fine = flat - functional.avg_pool2d(functional.pad(flat, (2, 2, 2, 2), mode="replicate"), 5, 1)
        return torch.cat(
            [
                torch.log(1.0 + SENSITIVITY * dark),
                torch.log(1.0 + SENSITIVITY * bright),
                torch.log(1.0 + dark / (grain + _FLOOR)),
                functional.avg_pool2d(flat, CELL),
                -functional.max_pool2d(-flat, CELL),
                functional.avg_pool2d(torch.relu(fine) + torch.relu(-fine), CELL),
                functional.avg_pool2d(pixels, CELL),
            ],
            1,
        )


def line_filter(length: int, sigma: float, angle: float) -> Tensor:
    """float [length, length]: positive on a dark line along `angle` (radians), nothing on an even area; the absolute
    values add up to 1."""
    middle = length // 2
    y, x = torch.meshgrid(torch.arange(-middle, middle + 1), torch.arange(-middle, middle + 1), indexing="ij")
    along = x * math.cos(angle) + y * math.sin(angle)
    across = y * math.cos(angle) - x * math.sin(angle)
    weight = torch.exp(-0.5 * (3.0 * along / length) ** 2)
    ridge = weight * ((across / sigma) ** 2 - 1.0) * torch.exp(-0.5 * (across / sigma) ** 2)
    ridge = ridge - weight * (ridge.sum() / weight.sum())
    return ridge / ridge.abs().sum()
