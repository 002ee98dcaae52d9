"""The live page in a real browser, on a real broker and a real node."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import paho.mqtt.publish as publish
import pytest
from playwright.sync_api import Page, Response, expect

from tests.browser import PHONE, axe_violations
from tests.system.daemon import eventually
from tests.system.pages.live import NODE, Site, open_live, running_site

MAX_PAGE_BYTES = 300 * 1024


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running_site(tmp_path_factory.mktemp("site")) as site:
        yield site


def card(page: Page, camera: str) -> str:
    return f'li.camera[data-key="{NODE}/{camera}"]'


def test_cameras_regions_and_a_picture_that_was_asked_for_are_shown(page: Page, site: Site) -> None:
    open_live(page, site.url)
    junction = page.locator(card(page, "junction"))
    expect(junction.locator(".status")).to_have_text("online")
    expect(junction.locator(".region")).to_have_count(2)
    expect(junction.locator(".region b").first).to_have_text(re.compile("red|green|amber|yellow"))
    expect(junction.locator("polygon")).to_have_count(2)
    assert junction.locator("polygon").first.get_attribute("points") == "0.5,0 0.6,0 0.6,0.4 0.5,0.4"
    junction.get_by_role("button").click()
    dialog = page.get_by_role("dialog", name="junction")
    dialog.get_by_role("button", name="Ask for a picture").click()
    picture = dialog.locator("img")
    expect(picture).to_be_visible()
    eventually(lambda: picture.evaluate("each => each.naturalWidth") > 100, "the picture is decoded")
    expect(dialog.get_by_role("row", name=re.compile("stop_line"))).to_contain_text("stop_line 1")
    page.keyboard.press("Escape")
    expect(junction.locator("img")).to_be_visible()


def test_events_arrive_with_their_evidence_and_can_be_filtered(page: Page, site: Site) -> None:
    open_live(page, site.url)
    first = page.locator("#side-list button.event", has=page.locator("img")).first
    expect(first).to_be_visible()
    first.click()
    dialog = page.locator("#event-dialog")
    expect(dialog.get_by_role("img")).to_be_visible()
    expect(dialog).to_contain_text("its fingerprint is the one the event names")
    page.keyboard.press("Escape")
    page.locator("#nav-events").click()
    rows = page.locator("#event-list button.event")
    expect(rows.first).to_be_visible()
    page.locator("#filter-text").fill("no such camera")
    expect(page.locator("#section-events").get_by_text("No event fits the filter.")).to_be_visible()
    expect(rows).to_have_count(0)
    page.get_by_role("button", name="Clear").click()
    expect(rows.first).to_be_visible()


def test_what_the_node_measures_is_shown(page: Page, site: Site) -> None:
    open_live(page, site.url)
    tile = page.locator(".tile", has_text="Classified a second").locator(".tile-value")
    expect(tile).to_have_text(re.compile(r"^[1-9][\d.]*$"))
    page.locator("#nav-nodes").click()
    node = page.locator("li.node")
    expect(node).to_contain_text("Measured by this node")
    expect(node).to_contain_text("belt_used, stop")
    expect(node.get_by_role("row", name=re.compile("line_parts"))).to_be_visible()


def test_a_broker_that_goes_is_told_and_everything_comes_back_with_it(page: Page, site: Site) -> None:
    open_live(page, site.url)
    site.broker.stop()
    try:
        expect(page.get_by_role("alert").first).to_contain_text("what is shown may be old")
        expect(page.locator("#connection")).to_have_text("broker away")
        expect(page.locator("#announcements")).to_contain_text("connection to the broker is lost")
    finally:
        site.broker.start()
    expect(page.locator("#connection")).to_have_text("live")
    expect(page.locator("#banner")).to_be_hidden()
    expect(page.locator("#overall")).to_have_text("all is well")


def test_it_is_light_and_dark_as_the_system_or_the_operator_says(page: Page, site: Site) -> None:
    open_live(page, site.url)

    def ground() -> str:
        return str(page.evaluate("getComputedStyle(document.documentElement).backgroundColor"))

    light = ground()
    page.emulate_media(color_scheme="dark")
    dark = ground()
    assert light != dark
    theme = page.locator("#theme")
    theme.click()
    assert ground() == light
    page.reload()
    expect(theme).to_have_text("light")
    assert ground() == light
    theme.click()
    page.emulate_media(color_scheme="light")
    assert ground() == dark


def test_everything_can_be_reached_and_left_with_the_keyboard(page: Page, site: Site) -> None:
    open_live(page, site.url)

    def focused() -> str:
        return str(page.evaluate("document.activeElement.id || document.activeElement.className"))

    walked = []
    for _ in range(12):
        page.keyboard.press("Tab")
        walked.append(focused())
        if walked[-1] == "open":
            break
    expected = ["skip", "nav-cameras", "nav-events", "nav-nodes", "connect", "theme"]
    assert walked == [*expected, "camera-search", "camera-problems", "open"]
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    page.keyboard.press("ArrowRight")
    assert "line_1" in str(page.evaluate("document.activeElement.getAttribute('aria-label')"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog", name="line_1")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert "line_1" in str(page.evaluate("document.activeElement.getAttribute('aria-label')"))


def test_axe_finds_nothing_in_any_section_or_dialog_light_or_dark(page: Page, site: Site) -> None:
    open_live(page, site.url)
    topic = f"edgenode/v1/{NODE}-other/state"
    alarm = {
        "state": "offline",
        "reason": "",
        "since": "2026-01-01T00:00:00.000000Z",
        "boot": "b",
        "version": "0",
    }
    publish.single(topic, json.dumps(alarm), qos=1, retain=True, port=site.broker.port)
    found: dict[str, list[str]] = {}

    def look(where: str) -> None:
        found[where] = axe_violations(page)
        page.emulate_media(color_scheme="dark")
        found[f"{where}, dark"] = axe_violations(page, rules=("color-contrast",))  # only colours differ
        page.emulate_media(color_scheme="light")

    try:
        expect(page.locator("#alarms")).to_be_visible()
        expect(page.locator("#side-list button.event").first).to_be_visible()
        look("cameras")
        page.locator(card(page, "line_1")).get_by_role("button").click()
        look("camera")
        page.keyboard.press("Escape")
        page.locator("#side-list button.event").first.click()
        look("event")
        page.keyboard.press("Escape")
        page.locator("#connect").click()
        look("connection")
        page.keyboard.press("Escape")
        for section in ("events", "nodes"):
            page.locator(f"#nav-{section}").click()
            look(section)
    finally:
        publish.single(topic, b"", qos=1, retain=True, port=site.broker.port)
    expect(page.locator("#alarms")).to_be_hidden()
    assert {where: lines for where, lines in found.items() if lines} == {}


def test_a_phone_shows_it_without_scrolling_sideways(page: Page, site: Site) -> None:
    page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
    open_live(page, site.url)
    for section in ("cameras", "events", "nodes"):
        page.locator(f"#nav-{section}").click()
        expect(page.locator(f"#section-{section}")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE[0], section
    assert axe_violations(page) == []


def test_the_page_is_light_and_asks_nobody_but_its_node(page: Page, site: Site) -> None:
    answers: list[Response] = []
    sockets: list[str] = []

    def heard(answer: Response) -> None:
        answers.append(answer)

    page.on("response", heard)
    page.on("websocket", lambda socket: sockets.append(socket.url))
    open_live(page, site.url)
    mine = [
        each
        for each in answers
        if each.url.split("/")[-1].split("?")[0] not in ("metrics", "status.json")
        and not each.url.startswith("blob:")  # a picture that came over the broker meanwhile
    ]
    whole = sum(len(each.body()) for each in mine)
    sent = sum(each.request.sizes()["responseBodySize"] for each in mine)
    print(f"page weight: {whole} bytes, {sent} as sent, {len(mine)} files")
    assert len({each.url for each in mine}) == 4
    assert sent < whole <= MAX_PAGE_BYTES
    blobs = ("blob:",)
    assert {each.url for each in answers if not each.url.startswith((site.url, *blobs))} == set()
    assert {url.rstrip("/") for url in sockets} == {site.broker_url}


def test_words_of_a_camera_or_a_broker_never_become_markup(page: Page, site: Site) -> None:
    open_live(page, site.url)
    evil = '<img src=x onerror="document.title=1"><script>document.title=2</script>'
    state = {
        "state": "offline",
        "reason": evil,
        "since": evil,
        "fps": 1,
        "reconnects": evil,
        "width": 1,
        "height": 1,
    }
    topic = f"edgenode/v1/{NODE}-evil/cameras/{evil.replace('/', '')}/state"
    publish.single(topic, json.dumps({**state, "codec": evil}), qos=1, retain=False, port=site.broker.port)
    expect(page.locator("li.camera")).to_have_count(3)
    expect(page.locator("#alarm-list")).to_contain_text("<script>")
    assert page.title() == "edgenode live"
    assert page.locator("li.camera img[src=x]").count() == 0


def test_strange_messages_are_passed_over_and_the_next_ones_shown(page: Page, site: Site) -> None:
    open_live(page, site.url)
    root = f"edgenode/v1/{NODE}-odd"
    odd = [
        ("info", {"cameras": 5}),
        ("info", {"cameras": [None, {"name": 3}, {"name": "a", "regions": [None]}]}),
        ("info", {"cameras": [{"name": "b", "regions": [{"name": "r", "model": 7, "outline": "here"}]}]}),
        ("state", [1, 2]),
        ("cameras/b/state", {"state": 9, "since": [], "fps": "fast", "width": -1}),
        ("cameras/b/regions/r/state", {"label": {}, "probability": "x", "model": "m"}),
        ("cameras/b/regions/r/classification", {"label": None}),
        ("events/r", {"id": "odd", "n": "x", "rule": "r", "started_at": 4, "severity": 1}),
        ("events/r/snapshot", "no picture"),
        ("events/_outbox", {"lost": 3}),
        ("models/m", {"sha256": 1}),
    ]
    try:
        for topic, content in odd:
            publish.single(f"{root}/{topic}", json.dumps(content), qos=1, port=site.broker.port)
        expect(page.locator(f'li.camera[data-key="{NODE}-odd/b"]')).to_be_visible()
        for section in ("events", "nodes", "cameras"):
            page.locator(f"#nav-{section}").click()
        state = {"state": "online", "reason": "", "fps": 5, "since": "2026-01-01T00:00:00.000000Z"}
        publish.single(f"{root}/cameras/b/state", json.dumps(state), qos=1, port=site.broker.port)
        expect(page.locator(f'li.camera[data-key="{NODE}-odd/b"] .status')).to_have_text("online")
    finally:
        publish.single(f"{root}/state", b"", qos=1, retain=True, port=site.broker.port)
    expect(page.locator("li.camera")).to_have_count(2)
