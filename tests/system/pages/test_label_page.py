"""The labelling page in a real browser: by keyboard alone, and nothing said is lost."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser import PHONE, axe_violations, screenshot
from tests.system.pages.command import PageCommand
from tests.system.pages.pictures import fill


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def answered(page: Page, number: int, of: int) -> None:
    expect(page.locator("#count")).to_have_text(re.compile(rf"^{number} of {of} answered"))


def sorted_names(out: Path) -> dict[str, int]:
    return {
        folder.name: len(list(folder.glob("*.png")))
        for folder in sorted(out.iterdir())
        if folder.is_dir() and list(folder.glob("*.png"))
    }


def test_pictures_are_labelled_by_keyboard_and_survive_a_kill(
    page: Page, tmp_path: Path, stack: ExitStack
) -> None:
    truth = fill(tmp_path / "state", 6)
    first = PageCommand(stack, tmp_path, "label", "state")
    page.goto(first.link)
    answered(page, 0, 6)
    assert "token" not in page.url
    expect(page.locator("#facts")).to_contain_text("the shadow model says otherwise")
    expect(page.locator("#facts")).to_contain_text("defect 81.0 %")
    screenshot(page, tmp_path / "label-light.png")
    assert axe_violations(page) == []

    page.keyboard.press("1")
    answered(page, 1, 6)
    page.keyboard.press("2")
    answered(page, 2, 6)
    page.keyboard.press("2")  # wrong
    answered(page, 3, 6)
    page.keyboard.press("u")
    answered(page, 2, 6)
    page.keyboard.press("1")
    answered(page, 3, 6)
    first.end(signal.SIGKILL)
    assert sorted_names(tmp_path / "labelled") == {"defect": 1, "ok": 2}
    page.keyboard.press("1")
    expect(page.locator("#message")).to_contain_text("does not answer")
    answered(page, 3, 6)

    again = PageCommand(stack, tmp_path, "label", "state")
    page.emulate_media(color_scheme="dark")
    page.goto(again.link)
    answered(page, 3, 6)
    page.keyboard.press("s")
    page.keyboard.press("x")
    answered(page, 4, 6)
    page.keyboard.press("z")
    screenshot(page, tmp_path / "label-dark.png")
    assert axe_violations(page) == []
    for _ in range(2):
        number = int(page.locator("#picture").get_attribute("alt").split()[1]) - 1  # type: ignore[union-attr]
        before = page.locator("#count").text_content()
        page.keyboard.press("1" if truth[number] == "ok" else "2")
        expect(page.locator("#count")).not_to_have_text(before or "")
    answered(page, 6, 6)
    expect(page.locator("#done")).to_be_visible()
    expect(page.locator("#fit")).to_have_text(f"edgenode-trainer fit {Path('labelled')} --out model.onnx")
    assert axe_violations(page) == []
    said = again.end(signal.SIGINT)
    assert "unusable: 1" in said
    assert "edgenode-trainer fit labelled --out model.onnx" in said
    counts = sorted_names(tmp_path / "labelled")
    assert sum(counts.values()) == 6
    assert counts["_unusable"] == 1


def test_several_labels_at_once_a_new_one_and_a_small_screen(
    page: Page, tmp_path: Path, stack: ExitStack
) -> None:
    fill(tmp_path / "state", 3)
    labelling = PageCommand(
        stack, tmp_path, "label", "state", "--several", "--labels", "part,scratch", "--out", "set"
    )
    page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
    page.goto(labelling.link)
    answered(page, 0, 3)
    page.fill("#new", "hole")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="hole")).to_be_visible()
    page.fill("#new", "../out")
    page.keyboard.press("Enter")
    expect(page.locator("#message")).to_contain_text("may not begin")
    page.locator("#stage").focus()
    for key in ("1", "3"):
        page.keyboard.press(key)
    expect(page.get_by_role("button", name="hole")).to_have_attribute("aria-pressed", "true")
    screenshot(page, tmp_path / "label-phone.png")
    assert axe_violations(page) == []
    page.keyboard.press("Enter")
    answered(page, 1, 3)
    page.keyboard.press("Enter")
    answered(page, 2, 3)
    rows = (tmp_path / "set" / "labels.csv").read_text().splitlines()
    assert rows[0] == "path,labels,group"
    assert sorted(row.split(",")[1] for row in rows[1:]) == ["", "part;hole"]
    labelling.end(signal.SIGINT)
