"""Geometry of regions and masks."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgenode.capture.masks import Masks
from edgenode.capture.regions import RegionCutter, draw_regions, pixel_box
from edgenode.records import U8
from edgenode.settings import RegionSettings
from tests.clips import numbered

SIZES = st.integers(1, 300)
EDGES = st.lists(st.floats(0.0, 1.0), min_size=2, max_size=2, unique=True).map(sorted)


def cutter(**shape: object) -> RegionCutter:
    return RegionCutter("r", "m", RegionSettings.model_validate({"name": "r", **shape}), lambda cut: cut)


def ramp(width: int, height: int) -> U8:
    rows, columns = np.mgrid[0:height, 0:width]
    return np.stack([rows % 256, columns % 256, (rows + columns) % 256], axis=2).astype(np.uint8)


@given(EDGES, EDGES, SIZES, SIZES)
def test_a_box_is_never_empty_and_never_leaves_the_frame(
    xs: list[float], ys: list[float], width: int, height: int
) -> None:
    box = pixel_box((xs[0], ys[0], xs[1], ys[1]), width, height)
    assert 0 <= box.x0 < box.x1 <= width
    assert 0 <= box.y0 < box.y1 <= height
    if (xs[1] - xs[0]) * width >= 1.0:
        assert abs(box.x0 - xs[0] * width) <= 0.5
        assert abs(box.x1 - xs[1] * width) <= 0.5


@given(st.lists(st.floats(0.0, 1.0), min_size=0, max_size=5, unique=True), st.integers(20, 4000))
def test_boxes_side_by_side_share_no_pixel_and_leave_none_out(cuts: list[float], width: int) -> None:
    edges = [0.0, *sorted(cut for cut in cuts if 0.0 < cut < 1.0), 1.0]
    if any((right - left) * width < 1.0 for left, right in pairwise(edges)):
        return
    boxes = [pixel_box((left, 0.0, right, 1.0), width, 10) for left, right in pairwise(edges)]
    columns = [column for box in boxes for column in range(box.x0, box.x1)]
    assert columns == list(range(width))


@given(EDGES, EDGES, st.integers(2, 80), st.integers(2, 80))
def test_a_box_a_polygon_and_a_quad_of_one_rectangle_agree(
    xs: list[float], ys: list[float], width: int, height: int
) -> None:
    """On rectangles whose corners are pixel borders, all three shapes cut the same pixels."""
    box = pixel_box((xs[0], ys[0], xs[1], ys[1]), width, height)
    x0, x1, y0, y1 = box.x0 / width, box.x1 / width, box.y0 / height, box.y1 / height
    picture = ramp(width, height)
    by_box = cutter(box=(x0, y0, x1, y1)).cut(picture)
    by_quad = cutter(quad=[(x0, y0), (x1, y0), (x1, y1), (x0, y1)]).cut(picture)
    assert by_quad.shape == by_box.shape
    assert np.abs(by_quad.astype(int) - by_box.astype(int)).max() <= 1
    left, right, top, bottom = box.x0 + 0.5, box.x1 - 0.5, box.y0 + 0.5, box.y1 - 0.5
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    inner = [(x / width, y / height) for x, y in corners]
    np.testing.assert_array_equal(cutter(polygon=inner).cut(picture), by_box)


def test_a_polygon_is_black_outside_and_untouched_inside() -> None:
    picture = np.full((100, 200, 3), 90, dtype=np.uint8)
    cut = cutter(polygon=[(0.25, 0.2), (0.75, 0.2), (0.25, 0.8)]).cut(picture)
    assert cut.shape == (61, 101, 3)
    assert cut[2, 2].tolist() == [90, 90, 90]
    assert cut[-2, -2].tolist() == [0, 0, 0]
    assert set(np.unique(cut)) == {0, 90}
    assert 0.48 < float((cut[..., 0] > 0).mean()) < 0.54


def test_a_quad_is_straightened_with_its_first_corner_at_the_top_left() -> None:
    """A quarter turn written as corners turns the picture by a quarter."""
    picture = numbered(5, 120, 80)
    turned = cutter(quad=[(0, 1), (0, 0), (1, 0), (1, 1)]).cut(picture)
    np.testing.assert_allclose(turned.astype(int), np.rot90(picture, -1).astype(int), atol=1)


def test_a_trapezium_becomes_a_rectangle_of_its_longer_edges() -> None:
    picture = np.zeros((200, 400, 3), dtype=np.uint8)
    quad = [(0.4, 0.25), (0.6, 0.25), (0.9, 0.75), (0.1, 0.75)]
    pixels = (np.array(quad) * (400, 200)).astype(np.int32)
    cv2.fillPoly(picture, [pixels], (200, 100, 50))
    cut = cutter(quad=quad).cut(picture)
    assert cut.shape == (round(float(np.hypot(120, 100))), 320, 3)
    inside = cut[12:-12, 12:-12]  # one pixel of the short edge becomes four
    assert np.abs(inside.astype(int) - (200, 100, 50)).max() <= 2


def test_the_geometry_follows_a_change_of_size() -> None:
    region = cutter(box=(0.5, 0.0, 1.0, 0.5))
    assert region.cut(ramp(100, 60)).shape == (30, 50, 3)
    assert region.cut(ramp(64, 48)).shape == (24, 32, 3)
    assert region.cut(ramp(100, 60)).shape == (30, 50, 3)


def test_no_shape_is_the_whole_frame() -> None:
    picture = ramp(30, 20)
    np.testing.assert_array_equal(cutter().cut(picture), picture)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=3, max_size=8), SIZES, SIZES)
def test_masks_blacken_every_corner_for_any_polygon_and_size(
    polygon: list[tuple[float, float]], width: int, height: int
) -> None:
    picture = np.full((height, width, 3), 255, dtype=np.uint8)
    Masks([polygon]).apply(picture)
    for x, y in polygon:
        column, row = min(int(x * width), width - 1), min(int(y * height), height - 1)
        assert picture[row, column].tolist() == [0, 0, 0]


def test_masks_leave_the_rest_alone_and_follow_a_change_of_size() -> None:
    masks = Masks([[(0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)]])
    for width, height in ((100, 50), (64, 64)):
        picture = np.full((height, width, 3), 255, dtype=np.uint8)
        masks.apply(picture)
        assert not picture[:, : width // 2].any()
        assert (picture[:, width // 2 + 1 :] == 255).all()


@pytest.mark.parametrize("size", [(320, 180), (40, 30)])
def test_drawing_leaves_the_original_alone_and_marks_every_region(size: tuple[int, int]) -> None:
    picture = np.full((size[1], size[0], 3), 128, dtype=np.uint8)
    regions = [cutter(box=(0.1, 0.1, 0.4, 0.9)), cutter(polygon=[(0.5, 0.2), (0.9, 0.2), (0.7, 0.8)])]
    drawn = draw_regions(picture, regions, {"r": "defect"})
    assert (picture == 128).all()
    assert drawn.shape == picture.shape
    assert (drawn != 128).any(axis=2)[:, : size[0] // 2].any()
    assert (drawn != 128).any(axis=2)[:, size[0] // 2 :].any()
