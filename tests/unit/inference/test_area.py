"""The fast area average against OpenCV's, to one grey level."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgenode.inference.area import averages, shrink, worth_summing


def assert_same(picture: np.ndarray, width: int, height: int) -> None:
    theirs = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    ours = shrink(picture, width, height)
    assert ours.dtype == np.uint8
    assert np.abs(ours.reshape(theirs.shape).astype(int) - theirs.astype(int)).max() <= 1


@settings(max_examples=60, deadline=None)
@given(
    lines=st.integers(60, 240),
    columns=st.integers(24, 200),
    height=st.integers(1, 24),
    width=st.integers(1, 24),
    channels=st.sampled_from([(), (1,), (3,)]),
    seed=st.integers(0, 2**32 - 1),
)
def test_it_is_opencvs_area_average_within_one_level(
    lines: int, columns: int, height: int, width: int, channels: tuple[int, ...], seed: int
) -> None:
    picture = np.random.default_rng(seed).integers(0, 256, (lines, columns, *channels), dtype=np.uint8)
    assert_same(picture, width, height)


@settings(max_examples=60, deadline=None)
@given(
    groups=st.integers(1, 8),
    rows=st.integers(2, 60),
    results=st.integers(1, 20),
    columns=st.integers(24, 90),
    channels=st.sampled_from([(), (3,)]),
    seed=st.integers(0, 2**32 - 1),
)
def test_rows_that_divide_into_groups_are_averaged_the_same(
    groups: int, rows: int, results: int, columns: int, channels: tuple[int, ...], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    picture = rng.integers(0, 256, (groups * max(rows, results), columns, *channels), dtype=np.uint8)
    assert_same(picture, 24, groups * results)


@pytest.mark.parametrize("height", [16, 64, 96, 128, 224])
def test_averages_are_opencvs_unrounded(height: int) -> None:
    plane = np.random.default_rng(3).integers(0, 256, (360, 640), dtype=np.uint8)
    theirs = cv2.resize(plane.astype(np.float32), (80, height), interpolation=cv2.INTER_AREA)
    assert np.abs(averages(plane, 80, height) - theirs).max() < 0.01


@pytest.mark.parametrize("size", [(640, 360), (1280, 720), (1920, 1080)])
@pytest.mark.parametrize("value", [0, 255])
def test_flat_pictures_stay_flat_to_the_level(size: tuple[int, int], value: int) -> None:
    picture = np.full((size[1], size[0], 3), value, dtype=np.uint8)
    assert (shrink(picture, 64, 64) == value).all()


def test_a_view_of_a_larger_picture_is_taken_as_it_is() -> None:
    whole = np.random.default_rng(1).integers(0, 256, (720, 1280, 3), dtype=np.uint8)
    assert_same(whole[10:700, 333:1111], 64, 64)


def test_it_is_used_where_many_rows_become_one() -> None:
    picture = np.zeros((720, 1280, 3), dtype=np.uint8)
    assert worth_summing(picture, 64, 64)
    assert worth_summing(picture, 224, 224)
    assert not worth_summing(picture[:719], 224, 224), "719 rows do not divide into groups"
    assert not worth_summing(picture[:64], 64, 64)
    assert not worth_summing(picture[:, :32], 64, 64)
