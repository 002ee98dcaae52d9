"""The browser that page tests use: what it shows, and that axe sees what it should see."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page, expect

from tests.browser import axe_violations, screenshot

GOOD = '<!doctype html><html lang="en"><title>t</title><main><h1>Fine</h1><p>All is well.</p></main></html>'
BAD = (
    "<!doctype html><html><main><h1>Poor</h1><img src='data:,'><p style='color:#ccc'>faint</p></main></html>"
)


def test_a_page_is_shown_and_can_be_photographed(page: Page, tmp_path: Path) -> None:
    page.set_content(GOOD)
    expect(page.get_by_role("heading", name="Fine")).to_be_visible()
    assert screenshot(page, tmp_path / "page.png").stat().st_size > 1000


def test_axe_finds_nothing_on_a_good_page_and_the_faults_of_a_bad_one(page: Page) -> None:
    page.set_content(GOOD)
    assert axe_violations(page) == []
    page.set_content(BAD)
    rules = {line.split(" ")[0] for line in axe_violations(page)}
    assert {"html-has-lang", "image-alt", "color-contrast"} <= rules
