"""Augmentation by batch on tensors: what a camera, a lens and a belt do to a picture, with physical sizes.

Pixels are float [N, C, H, W] in 0 to 255, before normalisation. All random numbers of a batch come from one
generator and are drawn for the whole batch first, one row a sample; only then does a process keep its own rows.
So the same seed gives the same pictures however many processes share the batch.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Literal

import torch
import torch.nn.functional as functional
from torch import Tensor

from edgenode.errors import DataError
from trainer.degrade import blur, compress

Orientation = Literal["fixed", "mirror", "both", "any"]


@dataclass(frozen=True, slots=True)
class Augment:
    """How strong each effect may be. Zero switches it off. Chances are of a sample being touched at all."""

    orientation: Orientation = "mirror"
    """What the scene may do: `fixed` (text, signs with a side), `mirror` (left and right are alike), `both` (up and
    down too: a rolled sheet), `any` (no direction at all: parts on a belt; adds quarter turns if square)."""
    warp_chance: float = 0.5
    """Chance of rotation and zoom, which interpolate pixels. The others are moved by whole pixels: a network
    that sees interpolated pictures alone is lost on the sharper ones it will meet (fine textures: −5 points)."""
    rotate_deg: float = 8.0
    """A camera mounted askew; a part not lying straight. Uniform up to ± this."""
    zoom: float = 0.15
    """Distance and crop: the picture's scale varies by up to ± this fraction, each side by a third of it more."""
    shift: float = 0.08
    """A region cut not quite where it should be: up to ± this fraction of a side."""
    brightness: float = 0.15
    """Lamps age, clouds pass: an offset of up to ± this fraction of full scale."""
    contrast: float = 0.25
    """Exposure and haze: a gain of up to ± this fraction about the picture's own mean."""
    tint: float = 0.05
    """White balance: each colour channel's own gain, up to ± this fraction (colour pictures only)."""
    blur_px: float = 1.0
    """Focus and motion: Gaussian sigma up to this many pixels, at 64 pixels a side and in proportion to it."""
    blur_chance: float = 0.2
    noise: float = 0.03
    """Sensor noise at night: sigma up to this fraction of full scale."""
    noise_chance: float = 0.3
    jpeg_quality: int = 40
    """Worst JPEG quality a camera may send; 100 is none."""
    jpeg_chance: float = 0.15
    occlusion: float = 0.25
    """Something in front of the lens: one grey rectangle of up to this fraction of each side."""
    occlusion_chance: float = 0.2
    mixup: float = 0.0
    """Chance that a sample is blended with another, labels in proportion: for many classes and few pictures."""
    cutmix: float = 0.0
    """Chance that a rectangle of another sample is pasted in, labels by area."""

    def __post_init__(self) -> None:
        if self.orientation not in ("fixed", "mirror", "both", "any"):
            raise DataError(f"orientation {self.orientation!r} is not one of fixed, mirror, both, any")
        if not 1 <= self.jpeg_quality <= 100:
            raise DataError(f"JPEG quality {self.jpeg_quality} is not in 1 to 100")
        for item in fields(self):
            value = getattr(self, item.name)
            if (
                item.name not in ("orientation", "rotate_deg", "jpeg_quality", "blur_px")
                and not 0 <= value <= 1
            ):
                raise DataError(f"augmentation {item.name} is {value}, not in 0 to 1")

    def scaled(self, strength: float) -> Augment:
        """The same effects at `strength` times their size (capped at 1); 0 leaves the orientation alone."""
        sized = {
            name: min(1.0, getattr(self, name) * strength)
            for name in (
                "zoom",
                "shift",
                "brightness",
                "contrast",
                "tint",
                "noise",
                "occlusion",
                "mixup",
                "cutmix",
            )
        }
        quality = round(max(10.0, 100.0 - (100 - self.jpeg_quality) * strength))
        return replace(
            self,
            rotate_deg=self.rotate_deg * strength,
            blur_px=self.blur_px * strength,
            jpeg_quality=quality,
            **sized,
        )


NONE = Augment(orientation="fixed").scaled(0.0)
"""Pictures as they are."""
NOISE_FIELDS = 32


class Augmenter:
    """Makes training batches out of uint8 pictures [N, H, W, C] and targets float [N, K], both in memory.

    One object a training; `batch` depends on nothing but its arguments.
    """

    def __init__(self, images: Tensor, targets: Tensor, augment: Augment, seed: int) -> None:
        self._images = images
        self._targets = targets
        self._augment = augment
        height, width = images.shape[1:3]
        generator = torch.Generator().manual_seed(seed)
        # drawing fresh normals for every pixel costs more than all else together; shifted windows of fixed
        # fields are as good as fresh ones to a network
        fields_shape = (NOISE_FIELDS, images.shape[3], 2 * height, 2 * width)
        self._noise = torch.randn(fields_shape, generator=generator) if augment.noise > 0 else None

    def batch(self, index: Tensor, seed: int, mine: slice) -> tuple[Tensor, Tensor]:
        """Pixels float [n, C, H, W] and targets float [n, K] for the samples `index[mine]`.

        `index` int64 [N] names the whole batch, `mine` this process's part of it.
        """
        generator = torch.Generator().manual_seed(seed)
        draws = torch.rand(len(index), 50, generator=generator)[mine]
        partners = index[torch.randperm(len(index), generator=generator)][mine]
        own = index[mine]
        pixels, targets = self._pixels(own), self._targets[own]
        pixels, targets = self._mix(pixels, targets, partners, draws[:, 40:])
        pixels = self._geometry(pixels, draws[:, :10])
        pixels = self._light(pixels, draws[:, 10:20])
        pixels = self._sensor(pixels, draws[:, 20:40])
        return pixels, targets

    def _pixels(self, index: Tensor) -> Tensor:
        return self._images[index].permute(0, 3, 1, 2).float()

    def _mix(self, pixels: Tensor, targets: Tensor, partners: Tensor, draws: Tensor) -> tuple[Tensor, Tensor]:
        mixup, cutmix = self._augment.mixup, self._augment.cutmix
        if mixup <= 0 and cutmix <= 0:
            return pixels, targets
        height, width = pixels.shape[2:]
        others, other_targets = self._pixels(partners), self._targets[partners]
        blend = draws[:, 0] < mixup
        paste = (draws[:, 1] < cutmix) & ~blend
        share = torch.where(
            blend, 0.5 * draws[:, 2], torch.zeros(())
        )  # Beta(1, 1), folded: the first stays larger
        side = (0.5 * draws[:, 2]).sqrt()  # a pasted area uniform in 0 to a half
        box = _boxes(height, width, side, side, draws[:, 3], draws[:, 4])
        area = box.float().mean(dim=(1, 2, 3))
        share = torch.where(paste, area, share)
        weight = torch.where(paste[:, None, None, None], box.float(), share[:, None, None, None])
        device = pixels.device
        pixels = torch.lerp(pixels, others, weight.to(device))
        return pixels, torch.lerp(targets, other_targets, share[:, None].to(device))

    def _geometry(self, pixels: Tensor, draws: Tensor) -> Tensor:
        """One resampling for flips, turns, zoom and shift together; exact where nothing needs interpolation."""
        augment = self._augment
        height, width = pixels.shape[2:]
        count, square = len(draws), height == width
        warped = draws[:, 9] < augment.warp_chance * (augment.rotate_deg > 0 or augment.zoom > 0)
        if augment.orientation == "fixed" and augment.shift <= 0 and not bool(warped.any()):
            return pixels
        mirror = _sign(draws[:, 0]) if augment.orientation != "fixed" else torch.ones(count)
        upset = _sign(draws[:, 1]) if augment.orientation in ("both", "any") else torch.ones(count)
        turn = warped * _spread(draws[:, 2]) * augment.rotate_deg * torch.pi / 180.0
        zoom = 1.0 + warped * augment.zoom * _spread(draws[:, 4])
        wide = zoom * (1.0 + warped * augment.zoom / 3 * _spread(draws[:, 5]))
        tall = zoom * (1.0 + warped * augment.zoom / 3 * _spread(draws[:, 6]))
        cosine, sine = torch.cos(turn), torch.sin(turn)
        theta = torch.zeros(count, 2, 3)
        theta[:, 0, 0] = mirror * wide * cosine
        theta[:, 0, 1] = -mirror * wide * sine * height / width
        theta[:, 1, 0] = upset * tall * sine * width / height
        theta[:, 1, 1] = upset * tall * cosine
        theta[:, 0, 2] = 2 * (augment.shift * width * _spread(draws[:, 7])).round() / width
        theta[:, 1, 2] = 2 * (augment.shift * height * _spread(draws[:, 8])).round() / height
        if augment.orientation == "any" and square:
            quarter = (draws[:, 3] < 0.5)[:, None, None]
            theta = torch.where(quarter, theta.flip(1), theta)
        moved = torch.empty_like(pixels)
        for chosen, mode in ((~warped, "nearest"), (warped, "bicubic")):
            rows = torch.nonzero(chosen).flatten().to(pixels.device)
            if len(rows):
                grid = functional.affine_grid(
                    theta[chosen].to(pixels.device), [len(rows), *pixels.shape[1:]], align_corners=False
                )
                moved[rows] = functional.grid_sample(
                    pixels[rows], grid, mode=mode, padding_mode="reflection", align_corners=False
                )
        return moved.clamp_(0.0, 255.0)

    def _light(self, pixels: Tensor, draws: Tensor) -> Tensor:
        augment = self._augment
        device, channels = pixels.device, pixels.shape[1]
        gain = (1.0 + augment.contrast * _spread(draws[:, 0])).to(device)[:, None, None, None]
        offset = (255.0 * augment.brightness * _spread(draws[:, 1])).to(device)[:, None, None, None]
        mean = pixels.mean(dim=(1, 2, 3), keepdim=True)
        pixels = (pixels - mean) * gain + mean + offset
        if channels == 3 and augment.tint > 0:
            pixels = pixels * (1.0 + augment.tint * _spread(draws[:, 2:5])).to(device)[:, :, None, None]
        return pixels.clamp_(0.0, 255.0)

    def _sensor(self, pixels: Tensor, draws: Tensor) -> Tensor:
        augment = self._augment
        height, width = pixels.shape[2:]
        touched = torch.nonzero(draws[:, 0] < augment.occlusion_chance * (augment.occlusion > 0)).flatten()
        if len(touched):
            own = draws[touched]
            size = augment.occlusion * (0.3 + 0.7 * own[:, 1:3])
            box = _boxes(height, width, size[:, 0], size[:, 1], own[:, 3], own[:, 4]).to(pixels.device)
            grey = (255.0 * own[:, 5]).to(pixels.device)[:, None, None, None]
            pixels[touched] = torch.where(box, grey, pixels[touched])
        touched = torch.nonzero(draws[:, 6] < augment.blur_chance * (augment.blur_px > 0)).flatten()
        if len(touched):
            sigma = augment.blur_px * min(height, width) / 64.0 * draws[touched, 7]
            pixels[touched] = blur(pixels[touched], sigma)
        touched = torch.nonzero(draws[:, 8] < augment.noise_chance).flatten()
        if len(touched) and self._noise is not None:
            where = draws[touched, 9:12] * torch.tensor([NOISE_FIELDS, height, width])
            windows = [self._noise[f, :, r : r + height, c : c + width] for f, r, c in where.long().tolist()]
            grain = torch.stack(windows)
            sigma = 255.0 * augment.noise * draws[touched, 12]
            pixels[touched] = (
                pixels[touched] + (grain * sigma[:, None, None, None]).to(pixels.device)
            ).clamp(0, 255)
        touched = torch.nonzero(draws[:, 13] < augment.jpeg_chance * (augment.jpeg_quality < 100)).flatten()
        if len(touched):
            quality = augment.jpeg_quality + (95 - augment.jpeg_quality) * draws[touched, 14]
            pixels[touched] = compress(pixels[touched], quality)
        return pixels


def _spread(draws: Tensor) -> Tensor:
    """Uniform in −1 to 1 from uniform in 0 to 1."""
    return 2.0 * draws - 1.0


def _sign(draws: Tensor) -> Tensor:
    return torch.where(draws < 0.5, -1.0, 1.0)


def _boxes(height: int, width: int, tall: Tensor, wide: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """True inside one rectangle a sample: bool [N, 1, H, W]. Sizes and places are fractions."""
    rows = (torch.arange(height) + 0.5)[None, :, None] / height
    columns = (torch.arange(width) + 0.5)[None, None, :] / width
    top, left = (y * (1 - tall))[:, None, None], (x * (1 - wide))[:, None, None]
    inside = (rows >= top) & (rows < top + tall[:, None, None])
    return (inside & (columns >= left) & (columns < left + wide[:, None, None]))[:, None]
