"""Blur and JPEG as tensor operations on float pixels [N, C, H, W] in 0 to 255."""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as functional
from torch import Tensor

_LUMINANCE = [
    [16, 11, 10, 16, 24, 40, 51, 61],
    [12, 12, 14, 19, 26, 58, 60, 55],
    [14, 13, 16, 24, 40, 57, 69, 56],
    [14, 17, 22, 29, 51, 87, 80, 62],
    [18, 22, 37, 56, 68, 109, 103, 77],
    [24, 35, 55, 64, 81, 104, 113, 92],
    [49, 64, 78, 87, 103, 121, 120, 101],
    [72, 92, 95, 98, 112, 100, 103, 99],
]
"""Quantisation table of ITU-T T.81, annex K.1."""
_CHROMA_EDGE = 99.0
"""Annex K.2 is 99 but for its first corner; the corner is close to the luminance table's."""


def blur(pixels: Tensor, sigma: Tensor) -> Tensor:
    """Gaussian blur with one `sigma` in pixels [N] a sample; edges are mirrored."""
    radius = max(1, min(int(torch.ceil(2.5 * sigma.max()).item()), min(pixels.shape[2:]) - 1))
    steps = torch.arange(-radius, radius + 1, dtype=torch.float32)
    kernels = torch.exp(-0.5 * (steps[None] / sigma.clamp_min(1e-3)[:, None]) ** 2)
    kernels = (kernels / kernels.sum(1, keepdim=True)).to(pixels.device)
    count, channels, height, width = pixels.shape
    planes = pixels.reshape(1, count * channels, height, width)
    kernels = kernels.repeat_interleave(channels, 0)
    padded = functional.pad(planes, (radius, radius, 0, 0), mode="reflect")
    planes = functional.conv2d(padded, kernels[:, None, None, :], groups=count * channels)
    padded = functional.pad(planes, (0, 0, radius, radius), mode="reflect")
    planes = functional.conv2d(padded, kernels[:, None, :, None], groups=count * channels)
    return planes.reshape(pixels.shape)


def compress(pixels: Tensor, quality: Tensor) -> Tensor:
    """What JPEG at `quality` (1 to 100) [N] leaves of the pictures, without chroma subsampling.

    The 8×8 cosine transform, the standard tables scaled as libjpeg does, rounding, and back.
    """
    count, channels, height, width = pixels.shape
    bottom, right = -height % 8, -width % 8
    planes = functional.pad(pixels, (0, right, 0, bottom), mode="replicate")
    if channels == 3:
        planes = torch.einsum("ij,njhw->nihw", _to_ycc().to(pixels), planes)
    planes = planes - torch.tensor([128.0, 0.0, 0.0][:channels]).to(pixels)[None, :, None, None]
    tall, wide = planes.shape[2] // 8, planes.shape[3] // 8
    blocks = planes.reshape(count, channels, tall, 8, wide, 8).permute(0, 1, 2, 4, 3, 5)
    cosine = _cosine().to(pixels)
    spectrum = cosine @ blocks @ cosine.T
    steps = _tables(channels).to(pixels)[None] * _stretch(quality).to(pixels)[:, None, None, None]
    steps = steps.round().clamp(1.0, 255.0)[:, :, None, None]
    blocks = cosine.T @ (torch.round(spectrum / steps) * steps) @ cosine
    planes = blocks.permute(0, 1, 2, 4, 3, 5).reshape(count, channels, tall * 8, wide * 8)
    planes = planes + torch.tensor([128.0, 0.0, 0.0][:channels]).to(pixels)[None, :, None, None]
    if channels == 3:
        planes = torch.einsum("ij,njhw->nihw", torch.linalg.inv(_to_ycc()).to(pixels), planes)
    return planes[:, :, :height, :width].clamp(0.0, 255.0)


def _stretch(quality: Tensor) -> Tensor:
    """libjpeg's factor on the tables: 1 at quality 50."""
    quality = quality.clamp(1.0, 100.0)
    return torch.where(quality < 50, 50.0 / quality, 2.0 - quality / 50.0)


@cache
def _to_ycc() -> Tensor:
    """RGB to YCbCr, ITU-T T.871, chroma centred on 0."""
    return torch.tensor(
        [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]], dtype=torch.float32
    )


@cache
def _cosine() -> Tensor:
    """The orthonormal 8-point DCT-II as a matrix."""
    frequency = torch.arange(8, dtype=torch.float64)[:, None]
    place = torch.arange(8, dtype=torch.float64)[None, :]
    matrix = torch.cos((2 * place + 1) * frequency * torch.pi / 16) * 0.5
    matrix[0] /= 2**0.5
    return matrix.float()


@cache
def _tables(channels: int) -> Tensor:
    luminance = torch.tensor(_LUMINANCE, dtype=torch.float32)
    chroma = torch.full((8, 8), _CHROMA_EDGE)
    corner = torch.arange(8)[:, None] + torch.arange(8)[None, :] < 5
    chroma[corner] = luminance[corner] * 1.4
    return torch.stack([luminance, chroma.clamp(max=99.0), chroma.clamp(max=99.0)][:channels])
