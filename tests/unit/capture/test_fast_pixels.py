"""Samples averaged before they become RGB, beside those that the trainer's way gives."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial

import av
import cv2
import numpy as np
import pytest
from av.video.reformatter import ColorRange, Colorspace
from hypothesis import given, settings
from hypothesis import strategies as st

from edgenode.capture.decoded import DecodedPicture
from edgenode.capture.frame_desk import FrameDesk
from edgenode.capture.frame_path import FramePath, HandOff, Stamp
from edgenode.capture.regions import RegionCutter
from edgenode.capture.source import Grab
from edgenode.inference.card import InputSpec
from edgenode.inference.pixels import prepare, prepare_planes
from edgenode.records import U8, Sample
from edgenode.settings import CameraSettings, RegionSettings
from tests.capture_parts import Recorder

ZERO = datetime(2026, 1, 1, tzinfo=UTC)
SPEC = InputSpec(height=32, width=32)


def scene(width: int, height: int, seed: int = 0) -> U8:
    """Smooth colours, none near the ends of RGB's range, with some noise."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(60.0, 195.0, (6, 9, 3)).astype(np.float32)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray((smooth + rng.normal(0.0, 3.0, smooth.shape)).clip(40, 215), dtype=np.uint8)


def coded(
    picture: U8,
    name: str = "yuv420p",
    matrix: Colorspace = Colorspace.ITU709,
    span: ColorRange = ColorRange.MPEG,
) -> av.VideoFrame:
    frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(
        format=name, dst_colorspace=matrix, dst_color_range=span
    )
    frame.colorspace, frame.color_range = matrix, span
    return frame


def grab_of(frame: av.VideoFrame) -> Grab:
    picture = DecodedPicture(frame)
    return Grab(0.0, True, False, 0, picture, grey=picture.grey, parts=picture.planes)


class Camera:
    def __init__(self, pixels: str = "fast", keep: int = 0, **more: object) -> None:
        shape = RegionSettings.model_validate({"name": "r", **more.pop("region", {})})  # type: ignore[dict-item]
        spec = more.pop("spec", SPEC)
        cutter = RegionCutter(
            "r",
            "m",
            shape,
            partial(prepare, spec=spec),
            partial(prepare_planes, spec=spec),  # type: ignore[arg-type]
        )
        settings_of = CameraSettings.model_validate({"name": "c", "source": "x", "pixels": pixels, **more})
        self.samples: list[Sample] = []
        self.desk = FrameDesk(keep)
        self.path = FramePath(settings_of, (cutter,), HandOff(self.samples.append), Recorder(), self.desk)

    def take(self, frame: av.VideoFrame, index: int = 1) -> U8:
        assert self.path.classify(grab_of(frame), Stamp(index, float(index), ZERO)).classified
        return self.samples[-1].array


def apart(frame: av.VideoFrame, **more: object) -> np.ndarray:
    fast, exact = Camera("fast", **more).take(frame), Camera("exact", **more).take(frame)  # type: ignore[arg-type]
    assert fast.shape == exact.shape
    assert fast.dtype == np.uint8
    assert fast.flags.c_contiguous
    return np.abs(fast.astype(int) - exact)


@pytest.mark.parametrize("matrix", [Colorspace.ITU709, Colorspace.ITU601])
@pytest.mark.parametrize("span", [ColorRange.MPEG, ColorRange.JPEG])
@pytest.mark.parametrize("size", [(640, 360), (380, 452), (642, 362)])
def test_colours_that_a_screen_can_show_come_out_alike(
    matrix: Colorspace, span: ColorRange, size: tuple[int, int]
) -> None:
    difference = apart(coded(scene(*size), matrix=matrix, span=span))
    assert difference.max() <= 2
    assert difference.mean() < 0.7


@settings(max_examples=20, deadline=None)
@given(
    corner=st.tuples(st.floats(0.0, 0.4), st.floats(0.0, 0.4)),
    size=st.tuples(st.floats(0.4, 0.6), st.floats(0.4, 0.6)),
    color=st.sampled_from(["rgb", "grey"]),
    resize=st.sampled_from(["stretch", "letterbox", "crop"]),
    seed=st.integers(0, 2**16),
)
def test_boxes_of_any_place_and_every_way_to_resize_come_out_alike(
    corner: tuple[float, float], size: tuple[float, float], color: str, resize: str, seed: int
) -> None:
    box = (*corner, corner[0] + size[0], corner[1] + size[1])
    spec = InputSpec.model_validate({"height": 24, "width": 32, "color": color, "resize": resize})
    difference = apart(coded(scene(320, 240, seed)), region={"box": box}, spec=spec)
    # a box with an odd edge begins within a pixel of colour, which counts whole: of five that make one here
    assert difference.max() <= 8
    assert difference.mean() < 1.0


def test_an_overexposed_colour_is_where_the_two_ways_part() -> None:
    picture = np.zeros((360, 640, 3), dtype=np.uint8)
    picture[:, ::4] = (255, 255, 255)
    frame = coded(picture)
    frame.planes[2].update(np.full(frame.planes[2].buffer_size, 200, dtype=np.uint8).tobytes())
    assert apart(frame).max() > 10


@pytest.mark.parametrize(
    "what",
    [
        {"masks": [[(0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)]]},
        {"region": {"polygon": [(0.1, 0.1), (0.9, 0.2), (0.5, 0.9)]}},
        {"region": {"quad": [(0.1, 0.1), (0.9, 0.2), (0.9, 0.9), (0.2, 0.8)]}},
        {"spec": InputSpec(height=32, width=32, interpolation="linear")},
        {"spec": InputSpec(height=256, width=256)},
    ],
)
def test_what_needs_rgb_gets_the_exact_pixels(what: dict[str, object]) -> None:
    assert not apart(coded(scene(640, 360)), **what).any()


def test_other_formats_get_the_exact_pixels() -> None:
    assert not apart(coded(scene(640, 360), name="yuv444p")).any()
    assert not apart(coded(scene(640, 360), name="nv12")).any()


def test_masked_pixels_are_black_in_fast_samples_too() -> None:
    left = [[(0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)]]
    sample = Camera("fast", masks=left).take(coded(scene(640, 360)))
    assert not sample[:, :16].any()
    assert sample[:, 17:].any()


def test_a_kept_frame_is_made_when_it_is_asked_for_and_is_the_exact_one() -> None:
    fast, exact = Camera("fast", keep=2), Camera("exact", keep=2)
    for index in (1, 2, 3):
        frame = coded(scene(320, 240, index))
        fast.take(frame, index)
        exact.take(frame, index)
    assert fast.desk.recent(1) is None
    for index in (2, 3):
        late, early = fast.desk.recent(index), exact.desk.recent(index)
        assert late is not None
        assert early is not None
        assert (late.index, late.captured_s) == (index, float(index))
        assert np.array_equal(late.array, early.array)
        assert not late.array.flags.writeable
