"""A real Chromium for tests of pages: Debian's, driven by Playwright, without a display and without a network.

Ask for `page`. A test fails afterwards when its page threw, or broke its own Content-Security-Policy. Playwright's
event loop runs on the test's thread while the browser lives, so the browser ends with the module.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Error, Page, expect, sync_playwright

PATIENCE_MS = 60_000
DESKTOP = (1280, 800)
PHONE = (360, 740)
expect.set_options(timeout=PATIENCE_MS)
ARGUMENTS = (
    "--no-sandbox",  # CI is root, and Chromium refuses its sandbox there; pages are our own
    "--disable-gpu",
    "--disable-dev-shm-usage",  # containers have 64 MiB of it
    "--disable-background-networking",
    "--disable-component-update",
    "--no-proxy-server",
)
_AXE = {
    "runOnly": {
        "type": "tag",
        "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    },
    "resultTypes": ["violations"],
}


def program() -> str | None:
    """The system's Chromium."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for a module's tests."""
    found = program()
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("chromium is not installed: apt install chromium")
        pytest.skip("chromium is not installed: apt install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=found, args=list(ARGUMENTS), chromium_sandbox=False
        )
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A fresh, light page of desktop size with nothing stored; `page.set_viewport_size` and `page.emulate_media`
    change it."""
    context = browser.new_context(
        viewport={"width": DESKTOP[0], "height": DESKTOP[1]}, color_scheme="light", reduced_motion="reduce"
    )
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    faults: list[str] = []

    def on_error(error: Error) -> None:
        faults.append(str(error))

    def on_console(message: ConsoleMessage) -> None:
        if "Content Security Policy" in message.text:
            faults.append(message.text)

    page.on("pageerror", on_error)
    page.on("console", on_console)
    yield page
    context.close()
    assert not faults, f"the page failed: {faults}"


def axe_violations(page: Page, rules: Sequence[str] = ()) -> list[str]:
    """What axe finds wrong on the page as it is now, by `rules` or by all it has for WCAG 2.2 AA: one line for each
    rule and element. Empty is good."""
    options = {**_AXE, "runOnly": {"type": "rule", "values": list(rules)}} if rules else _AXE
    found: dict[str, Any] = Axe().run(page, options=options).response
    return [
        f"{rule['id']} ({rule['impact']}): {rule['help']}: {node['target']} {node['html'][:160]}"
        for rule in found["violations"]
        for node in rule["nodes"]
    ]


def screenshot(page: Page, path: Path) -> Path:
    """A picture of what the page shows now, for people to look at."""
    path.parent.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=path)
    return path
