"""Augmentation: repeatable, independent of how a batch is shared, exact where it should be, true to its physics."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from edgenode.errors import DataError
from trainer.augment import NONE, Augment, Augmenter
from trainer.degrade import blur, compress

PICTURES = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (12, 20, 20, 3), dtype=np.uint8))
TARGETS = torch.eye(3).repeat(4, 1)
INDEX = torch.arange(12)
ALL = slice(None)
STILL = replace(NONE, warp_chance=0.0)


def plain() -> torch.Tensor:
    return PICTURES.permute(0, 3, 1, 2).float()


def test_a_batch_does_not_depend_on_how_it_is_shared() -> None:
    strong = Augment("any", mixup=0.3, cutmix=0.3).scaled(1.5)
    augmenter = Augmenter(PICTURES, TARGETS, strong, seed=3)
    pixels, targets = augmenter.batch(INDEX, 7, ALL)
    halves = [augmenter.batch(INDEX, 7, part) for part in (slice(0, 6), slice(6, 12))]
    assert torch.allclose(pixels, torch.cat([half[0] for half in halves]), atol=1e-3)
    assert torch.equal(targets, torch.cat([half[1] for half in halves]))
    again, _ = Augmenter(PICTURES, TARGETS, strong, seed=3).batch(INDEX, 7, ALL)
    other, _ = augmenter.batch(INDEX, 8, ALL)
    assert torch.equal(pixels, again)
    assert not torch.equal(pixels, other)
    assert float(pixels.min()) >= 0.0
    assert float(pixels.max()) <= 255.0
    assert torch.allclose(targets.sum(1), torch.ones(12))


def test_none_leaves_pictures_as_they_are() -> None:
    pixels, targets = Augmenter(PICTURES, TARGETS, NONE, 0).batch(INDEX, 1, ALL)
    assert torch.equal(pixels, plain())
    assert torch.equal(targets, TARGETS)


@pytest.mark.parametrize("orientation", ["mirror", "both", "any"])
def test_flips_and_turns_move_pixels_without_changing_them(orientation: str) -> None:
    augment = replace(STILL, orientation=orientation)  # type: ignore[arg-type]
    pixels, _ = Augmenter(PICTURES, TARGETS, augment, 0).batch(INDEX, 5, ALL)
    for made, original in zip(pixels, plain(), strict=True):
        allowed = [original, original.flip(2)]
        if orientation != "mirror":
            allowed += [picture.flip(1) for picture in allowed]
        if orientation == "any":
            allowed += [picture.transpose(1, 2) for picture in allowed]
        assert any(torch.allclose(made, picture, atol=1e-2) for picture in allowed)
    assert not torch.equal(pixels, plain())


def test_mixed_targets_follow_the_mixed_area() -> None:
    black_and_white = torch.zeros(12, 20, 20, 1, dtype=torch.uint8)
    black_and_white[6:] = 255
    targets = torch.zeros(12, 2)
    targets[:6, 0] = targets[6:, 1] = 1.0
    for augment in (replace(STILL, mixup=1.0), replace(STILL, cutmix=1.0)):
        pixels, mixed = Augmenter(black_and_white, targets, augment, 0).batch(INDEX, 3, ALL)
        assert torch.allclose(pixels.mean(dim=(1, 2, 3)) / 255.0, mixed[:, 1], atol=1e-4)
        assert bool(((mixed[:, 1] > 0.01) & (mixed[:, 1] < 0.99)).any())


@pytest.mark.parametrize("quality", [20, 50, 90])
def test_jpeg_is_what_a_real_encoder_makes_of_it(quality: int) -> None:
    rows, columns = np.mgrid[0:48, 0:40]
    picture = (128 + 60 * np.sin(rows / 5.0) + 50 * np.cos(columns / 3.0)).clip(0, 255).astype(np.uint8)
    ours = compress(torch.from_numpy(picture)[None, None].float(), torch.tensor([float(quality)]))[
        0, 0
    ].numpy()
    done, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done
    theirs = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE).astype(np.float32)
    assert np.abs(ours - theirs).mean() < 1.0


def test_blur_is_the_gaussian_it_says() -> None:
    picture = np.random.default_rng(1).integers(0, 256, (32, 32)).astype(np.float32)
    ours = blur(torch.from_numpy(picture)[None, None], torch.tensor([1.5]))[0, 0].numpy()
    theirs = cv2.GaussianBlur(picture, (9, 9), 1.5, borderType=cv2.BORDER_REFLECT_101)
    assert np.abs(ours - theirs)[8:-8, 8:-8].max() < 3.0


def test_wrong_settings_are_named() -> None:
    with pytest.raises(DataError, match="orientation"):
        Augment(orientation="sideways")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="contrast"):
        Augment(contrast=1.5)
