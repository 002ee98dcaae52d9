"""What is drawn becomes settings that the node reads as they were drawn."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edgenode.drawing.desk import RegionsDesk, Subject
from edgenode.drawing.shapes import read_drawing, shapes_of, toml_text
from edgenode.errors import EdgeNodeError, SourceError
from edgenode.settings import CameraSettings, RegionSettings

MODELS = ("defects", "parts")


def drawn(*regions: dict[str, Any], masks: list[Any] | None = None) -> dict[str, Any]:
    return {"regions": list(regions), "masks": masks or []}


FRACTION = st.floats(0, 1).map(lambda value: round(value, 4))
POINTS = st.lists(st.tuples(FRACTION, FRACTION).map(list), min_size=3, max_size=6)
BOX = st.tuples(FRACTION, FRACTION, FRACTION, FRACTION).filter(
    lambda box: box[0] < box[2] and box[1] < box[3]
)
SHAPE = st.one_of(
    BOX.map(lambda box: {"box": list(box)}),
    POINTS.map(lambda points: {"polygon": points}),
    st.just({}),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(SHAPE, max_size=4), st.lists(POINTS, max_size=2), st.text(max_size=20))
@example([], [], "\x7f")
def test_the_toml_says_what_was_drawn(shapes: list[dict[str, Any]], masks: list[Any], source: str) -> None:
    regions = [{"name": f"r{n}", "model": "parts", **shape} for n, shape in enumerate(shapes)]
    drawing = read_drawing(drawn(*regions, masks=masks), MODELS)
    assert drawing.problems == ()
    (camera,) = tomllib.loads(toml_text(drawing, "line_1", source or "usb:0"))["cameras"]
    assert camera.pop("source") == (source or "usb:0")
    read = CameraSettings(source="usb:0", **camera)
    assert read.regions == [RegionSettings.model_validate(region) for region in regions]
    assert [list(map(list, mask)) for mask in read.masks] == masks


def test_what_the_page_does_not_draw_is_kept() -> None:
    region = {
        "name": "belt",
        "box": [0.1, 0.2, 0.6, 0.9],
        "smoothing": {"window": "500ms", "labels": {"defect": {"enter": 0.9, "leave": 0.4}}},
    }
    camera = CameraSettings.model_validate({"name": "line_1", "source": "usb:0", "regions": [region]})
    drawing = read_drawing(shapes_of(camera), ("defects",))
    assert drawing.regions == tuple(camera.regions)
    (again,) = tomllib.loads(toml_text(drawing, "line_1", None))["cameras"]
    assert CameraSettings(source="usb:0", **again) == camera


def test_a_camera_of_a_file_is_shown_without_its_source() -> None:
    assert "source" not in toml_text(read_drawing(drawn(), ()), "line_1", None)


@pytest.mark.parametrize(
    ("region", "said"),
    [
        ({"name": "Belt"}, "region Belt: name: a name has lower-case letters"),
        ({"name": "belt", "model": "defect"}, 'no model "defect" (did you mean "defects"?)'),
        ({"name": "belt"}, "there are several models: say which one (defects, parts)"),
        ({"name": "belt", "model": "parts", "box": [0.5, 0, 0.5, 1]}, "box is x0 y0 x1 y1"),
        ({"name": "belt", "model": "parts", "polygon": [[0, 0], [1, 1]]}, "polygon: "),
        ({"name": "belt", "model": "parts", "colour": 1}, "colour: extra inputs"),
        (None, "region 1: "),
    ],
)
def test_mistakes_are_told(region: Any, said: str) -> None:
    problems = read_drawing({"regions": [region], "masks": []}, MODELS).problems
    assert any(said in problem for problem in problems), problems


def test_a_name_twice_and_a_mask_of_two_corners_are_told() -> None:
    belt = {"name": "belt", "model": "parts"}
    problems = read_drawing(drawn(belt, belt, masks=[[[0, 0], [1, 1]]]), MODELS).problems
    assert problems[0] == "region belt: another region has this name"
    assert problems[1].startswith("mask 1: ")


def test_a_new_picture_replaces_the_old_and_a_failure_leaves_it() -> None:
    taken = [b"\x89PNG first", b"\xff\xd8 second"]

    def take() -> bytes:
        if not taken:
            raise SourceError("the camera is gone")
        return taken.pop(0)

    desk = RegionsDesk(Subject(CameraSettings(name="line_1", source="usb:0"), (), None), take)
    desk.refresh()
    first = desk.get("/picture/1")
    assert first is not None
    assert (first.body, first.content_type) == (b"\x89PNG first", "image/png")
    desk.refresh()
    assert desk.get("/picture/1") is None
    with pytest.raises(EdgeNodeError, match="gone"):
        desk.post("/api/picture", {})
    second = desk.get("/picture/2")
    assert second is not None
    assert second.content_type == "image/jpeg"
