"""The regions page in a real browser: by mouse, by keyboard and by finger, and the TOML is what the node reads."""

from __future__ import annotations

import re
import signal
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from edgenode.configuration.check import prove
from tests.browser import PHONE, axe_violations, screenshot
from tests.system.pages.command import PageCommand
from tests.system.plant import Plant, StartNode


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def point(page: Page, x: float, y: float) -> tuple[float, float]:
    box = page.locator("#picture").bounding_box()
    assert box is not None
    return box["x"] + x * box["width"], box["y"] + y * box["height"]


def drag(page: Page, start: tuple[float, float], end: tuple[float, float]) -> None:
    page.mouse.move(*point(page, *start))
    page.mouse.down()
    page.mouse.move(*point(page, *end), steps=3)
    page.mouse.up()


def camera(page: Page) -> dict[str, Any]:
    (found,) = tomllib.loads(page.locator("#toml").text_content() or "")["cameras"]
    return dict(found)


def test_regions_are_drawn_moved_and_named_on_a_picture_from_the_running_node(
    page: Page, plant: Plant, start: StartNode, stack: ExitStack, tmp_path: Path
) -> None:
    plant.camera(
        "line_1",
        plant.clip(("dark", 2.0), ("bright", 2.0)),
        loop=True,
        fps=5,
        masks=[[[0.8, 0.0], [1.0, 0.0], [1.0, 0.3]]],
        regions=[{"name": "belt", "box": [0.1, 0.2, 0.4, 0.6], "smoothing": {"window": "200ms"}}],
    )
    start(plant).wait_until_ready()
    command = PageCommand(stack, tmp_path, "regions", "--config", str(plant.config))
    page.goto(command.link)
    expect(page.get_by_role("button", name="belt, box")).to_be_visible()
    assert page.locator("#picture").get_attribute("width") == "64"

    page.keyboard.press("b")
    drag(page, (0.5, 0.5), (0.75, 0.9))
    expect(page.locator("#toml")).to_contain_text("region_1")
    page.get_by_label("Name").fill("tray")
    drag(page, (0.6, 0.6), (0.7, 0.55))
    expect(page.locator("#toml")).to_contain_text(re.compile(r'tray"\n  box = \[0\.6'))
    before = camera(page)["regions"][0]["box"]
    page.get_by_role("button", name="belt, box").focus()
    page.keyboard.press("Shift+ArrowRight")
    page.get_by_role("button", name="corner 3 of belt").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("m")
    for corner in ((0.02, 0.7), (0.2, 0.7), (0.1, 0.95)):
        page.mouse.click(*point(page, *corner))
    page.keyboard.press("Enter")
    expect(page.locator("#list")).to_contain_text("mask 2")
    expect(page.locator("#toml")).to_contain_text("0.605")
    screenshot(page, tmp_path / "regions-light.png")
    assert axe_violations(page) == []

    written = camera(page)
    belt, tray = written["regions"]
    assert belt["box"] == pytest.approx([before[0] + 0.05, before[1], before[2] + 0.05, before[3] + 0.005])
    assert belt["smoothing"] == {"window": 0.2}
    assert tray["name"] == "tray"
    assert tray["box"] == pytest.approx([0.6, 0.45, 0.85, 0.85], abs=0.02)
    assert len(written["masks"]) == 2

    page.get_by_label("Name").or_(page.locator("#list button").first).first.click()
    page.locator("#list button", has_text="tray").click()
    page.get_by_label("Name").fill("Tray!")
    expect(page.locator("#problems")).to_contain_text("lower-case letters")
    page.get_by_label("Name").fill("tray")
    expect(page.locator("#problems")).to_be_empty()
    page.keyboard.press("Escape")

    plant.cameras[0]["regions"], plant.cameras[0]["masks"] = written["regions"], written["masks"]
    assert [region.name for region in prove(plant.write(), {}).settings.cameras[0].regions] == [
        "belt",
        "tray",
    ]
    command.end(signal.SIGINT)


def test_a_clip_alone_is_enough_and_a_finger_and_the_keyboard_can_draw(
    browser: Browser, plant: Plant, stack: ExitStack, tmp_path: Path
) -> None:
    clip = plant.clip(("bright", 1.0))
    command = PageCommand(stack, plant.folder, "regions", clip, "--camera", "gate")
    context = browser.new_context(
        viewport={"width": PHONE[0], "height": PHONE[1]}, has_touch=True, color_scheme="dark"
    )
    stack.callback(context.close)
    page = context.new_page()
    page.goto(command.link)
    expect(page.locator("#toml")).to_contain_text(f'source = "{clip}"')
    page.get_by_role("button", name="Polygon").tap()
    for corner in ((0.2, 0.2), (0.8, 0.2), (0.5, 0.8), (0.2, 0.2)):
        page.touchscreen.tap(*point(page, *corner))
    expect(page.locator("#list")).to_contain_text("region_1")
    page.get_by_role("button", name="Box").focus()
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Box").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#toml")).to_contain_text("region_2")
    screenshot(page, tmp_path / "regions-phone.png")
    assert axe_violations(page) == []
    polygon, box = camera(page)["regions"]
    for corner, wanted in zip(polygon["polygon"], [(0.2, 0.2), (0.8, 0.2), (0.5, 0.8)], strict=True):
        assert corner == pytest.approx(wanted, abs=0.02)
    assert box["box"] == [0.3, 0.3, 0.7, 0.7]
    page.keyboard.press("u")
    expect(page.locator("#toml")).not_to_contain_text("region_2")
    page.locator("#refresh").tap()
    expect(page.locator("#picture")).to_have_attribute("href", "/picture/2")
    command.end(signal.SIGINT)
