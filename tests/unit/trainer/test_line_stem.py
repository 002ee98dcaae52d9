"""The fixed filters for long thin lines, and networks that begin with them."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
import torch

from trainer.architectures import build
from trainer.line_stem import CELL, DIRECTIONS, LINES, LineStem, line_filter
from trainer.networks import NetworkSpec
from trainer.prune import prune

FILTERS = DIRECTIONS * len(LINES)


def crack(angle_deg: float, depth: float = 0.4) -> torch.Tensor:
    """[1, 1, 96, 96]: noise, and a dark line of two pixels through the middle."""
    picture = np.random.default_rng(0).normal(0.0, 0.1, (96, 96)).astype(np.float32)
    line = np.zeros((96, 96), np.uint8)
    step = 24.0 * np.array([math.cos(math.radians(angle_deg)), math.sin(math.radians(angle_deg))])
    ends = [tuple(int(v) for v in np.round(np.array([48.0, 48.0]) + side * step)) for side in (-1, 1)]
    cv2.line(line, ends[0], ends[1], 255, 2, cv2.LINE_AA)
    return torch.from_numpy(picture - depth * line.astype(np.float32) / 255.0)[None, None]


@pytest.mark.parametrize(("length", "sigma"), LINES)
def test_filters_answer_nothing_on_an_even_area(length: int, sigma: float) -> None:
    for step in range(DIRECTIONS):
        found = line_filter(length, sigma, math.pi * step / DIRECTIONS)
        assert abs(float(found.sum())) < 1e-5
        assert abs(float(found.abs().sum()) - 1.0) < 1e-5


@pytest.mark.parametrize("direction", range(DIRECTIONS))
def test_the_filter_along_a_dark_line_answers_most(direction: int) -> None:
    maps = LineStem(1)(crack(180.0 * direction / DIRECTIONS))[0, :FILTERS]
    long_thin = maps[DIRECTIONS : 2 * DIRECTIONS]
    middle = long_thin[:, 5:11, 5:11].amax(dim=(1, 2))
    assert int(middle.argmax()) == direction
    bright = LineStem(1)(-crack(180.0 * direction / DIRECTIONS))[0, FILTERS : 2 * FILTERS]
    assert torch.allclose(bright, maps, atol=1e-5)


def test_rails_along_rows_and_columns_are_taken_out() -> None:
    picture = crack(37.0)
    rails = picture.clone()
    rails[:, :, 30:34] -= 3.0
    rails[:, :, :, 70:72] -= 2.0
    stem = LineStem(1)
    lines = slice(0, 2 * FILTERS)
    assert torch.allclose(stem(picture)[:, lines], stem(rails)[:, lines], atol=1e-4)


@pytest.mark.parametrize(
    ("height", "width", "channels"), [(96, 96, 1), (97, 131, 3), (227, 64, 1), (32, 32, 3)]
)
def test_maps_have_one_pixel_a_cell(height: int, width: int, channels: int) -> None:
    stem = LineStem(channels)
    maps = stem(torch.randn(2, channels, height, width))
    assert maps.shape == (2, stem.out, height // CELL, width // CELL)
    assert torch.isfinite(maps).all()


def test_nothing_of_an_empty_picture_is_blown_up() -> None:
    network = build(NetworkSpec("edge-s", 2, 64, 64, 1, each_picture=True, stem="lines")).eval()
    assert torch.isfinite(network(torch.zeros(1, 1, 64, 64))).all()


def test_a_network_with_lines_can_be_pruned() -> None:
    network = build(NetworkSpec("edge-m", 2, 64, 64, 1, stem="lines")).eval()
    smaller = prune(network, 0.5)
    assert smaller.spec.stem == "lines"
    assert smaller(torch.zeros(1, 1, 64, 64)).shape == (1, 2)
