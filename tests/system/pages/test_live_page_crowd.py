"""Hours of a busy fleet in some seconds: the live page stays within its bounds and misses nothing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.system.daemon import eventually
from tests.system.pages.crowd import Crowd, Publisher
from tests.system.pages.live import browser_broker, static_host

CROWD = Crowd()


@pytest.mark.slow
def test_200_cameras_and_100_events_a_second_stay_within_bounds(page: Page, tmp_path: Path) -> None:
    broker, url = browser_broker(tmp_path / "broker", "max_queued_messages 100000")
    broker.start()
    try:
        with static_host() as host, Publisher(broker.port, CROWD) as publisher:
            page.goto(f"{host}?broker={url}")
            expect(page.locator("li.camera")).to_have_count(CROWD.cameras)
            expect(page.locator(".tile").first).to_contain_text(re.compile(r"170 of 200"))
            begun = publisher.sent["events"]
            eventually(lambda: publisher.sent["events"] - begun > 2500, "2500 events", patience_s=120.0)
            assert page.locator("#side-list > li").count() <= 40
            assert page.evaluate("document.querySelectorAll('*').length") < 12_000
            page.locator("#nav-events").click()
            rows = page.locator("#event-list > li")
            expect(rows).to_have_count(200)
            page.locator("#filter-text").fill("cam_117")
            expect(rows.locator(".event-place").first).to_contain_text("cam_117")
            page.locator("#nav-cameras").click()
            page.locator("#camera-search").fill("cam_199")
            expect(page.locator("li.camera:visible")).to_have_count(1)
            expect(page.locator("li.camera:visible img")).to_be_visible()
            page.locator("#camera-search").fill("")
            page.locator("#camera-problems").check()
            expect(page.locator("#camera-count")).to_have_text(re.compile(r"\d+ of 200"))
        open_now = page.locator(".tile", has_text="Events a minute").locator(".tile-note")
        # what was sent has all come: no start without its end but those twenty that are open
        expect(open_now).to_have_text("20 open now")
    finally:
        broker.kill()
