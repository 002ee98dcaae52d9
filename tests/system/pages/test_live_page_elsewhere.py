"""The live page from a host that is no node, at brokers that ask who comes, and in the demo."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import paho.mqtt.publish as publish
import pytest
from playwright.sync_api import Page, expect

from tests.browser import axe_violations
from tests.system.daemon import PATIENCE_S, REPOSITORY
from tests.system.pages.live import browser_broker, static_host

STATE = {"reason": "", "since": "2026-01-01T00:00:00.000000Z", "boot": "b", "version": "0.1.0"}
PASSWORD = "op3rator-password"


def tell(port: int, topic: str, content: object, **more: object) -> None:
    payload = content if isinstance(content, bytes) else json.dumps(content)
    publish.single(f"edgenode/v1/{topic}", payload, qos=1, retain=True, port=port, **more)  # type: ignore[arg-type]


def test_from_a_static_host_it_asks_for_the_broker_and_keeps_no_password(page: Page, tmp_path: Path) -> None:
    users = tmp_path / "users"
    subprocess.run(["mosquitto_passwd", "-c", "-b", str(users), "operator", PASSWORD], check=True)
    users.chmod(0o644)
    broker, url = browser_broker(tmp_path / "broker", "allow_anonymous false", f"password_file {users}")
    broker.start()
    try:
        with static_host() as host:
            auth = {"username": "operator", "password": PASSWORD}
            tell(broker.port, "gateway-9/state", {**STATE, "state": "degraded", "reason": "disk"}, auth=auth)
            form = page.get_by_role("dialog", name="Connection")
            page.goto(f"{host}?broker=nonsense")
            expect(form.get_by_role("alert")).to_contain_text("Write an address like")
            page.goto(host)
            expect(form).to_be_visible()
            form.get_by_label("Broker over WebSockets").fill("mqtt://127.0.0.1:1883")
            form.get_by_role("button", name="Connect").click()
            expect(form.get_by_role("alert")).to_contain_text("ws:// or wss://")
            assert axe_violations(page) == []
            form.get_by_label("Broker over WebSockets").fill(url)
            form.get_by_role("button", name="Connect").click()
            expect(form.get_by_role("alert")).to_contain_text("refuses this user and password")
            form.get_by_label("User,").fill("operator")
            form.get_by_label("Password", exact=True).fill(PASSWORD)
            form.get_by_role("button", name="Connect").click()
            expect(page.locator("#connection")).to_have_text("live")
            expect(page.locator("#alarm-list")).to_contain_text("gateway-9 is degraded")
            kept = page.evaluate("JSON.stringify(localStorage)")
            assert url in kept
            assert PASSWORD not in kept
            assert "operator" not in kept
            page.locator("#connect").click()
            form.get_by_label("Keep user and password").check()
            form.get_by_role("button", name="Connect").click()
            page.reload()
            expect(page.locator("#connection")).to_have_text("live")
            page.locator("#connect").click()
            form.get_by_role("button", name="Forget").click()
            assert PASSWORD not in page.evaluate("JSON.stringify(localStorage)")
    finally:
        broker.kill()


def test_a_node_that_goes_takes_its_cameras_along(page: Page, tmp_path: Path) -> None:
    broker, url = browser_broker(tmp_path / "broker")
    broker.start()
    camera = {
        "state": "online",
        "reason": "",
        "since": STATE["since"],
        "fps": 5,
        "reconnects": 0,
        "codec": "h264",
    }
    try:
        with static_host() as host:
            tell(broker.port, "gateway-9/state", {**STATE, "state": "online"})
            for name in ("door", "gate"):
                tell(broker.port, f"gateway-9/cameras/{name}/state", {**camera, "width": 640, "height": 480})
            page.goto(f"{host}?broker={url}")
            expect(page.locator("li.camera .status")).to_have_text(["online", "online"])
            tell(broker.port, "gateway-9/state", {**STATE, "state": "offline"})
            expect(page.locator("li.camera .status")).to_have_text(["node is away", "node is away"])
            expect(page.locator("#alarm-list li")).to_have_count(1)
            tell(
                broker.port, "gateway-9/info", {"version": "1", "cameras": [{"name": "gate", "regions": []}]}
            )
            expect(page.locator("li.camera h3")).to_have_text(["gate"])
            tell(broker.port, "gateway-9/state", b"")
            expect(page.locator("li.camera")).to_have_count(0)
    finally:
        broker.kill()


def test_the_demo_has_its_live_page_on_the_built_in_broker(page: Page) -> None:
    pytest.importorskip("amqtt")
    command = [sys.executable, "-m", "edgenode", "demo", "--http-port", "0"]
    demo = subprocess.Popen(
        command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        assert demo.stdout is not None
        told = re.match(r"live page (http://\S+)", demo.stdout.readline())
        assert told is not None
        page.goto(told.group(1))
        expect(page.locator("#connection")).to_have_text("live")
        expect(page.locator("li.camera .status")).to_have_text(["online", "online"])
        expect(page.locator("li.camera img").first).to_be_visible()
        expect(page.locator("li.camera polygon")).to_have_count(3)
        demo.send_signal(signal.SIGINT)
        said = demo.communicate(timeout=PATIENCE_S)[0]
    finally:
        demo.kill()
        demo.wait()
    assert demo.returncode == 0, said
    assert "Traceback" not in said
