"""The live page on a gateway's broker as shipped: TLS, an account that only reads, one that also asks."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.servers.certificates import Authority
from tests.servers.mosquitto import MosquittoBroker, free_port
from tests.system.daemon import REPOSITORY
from tests.system.pages.live import NODE, drawn_plant

FILES = REPOSITORY / "mosquitto"
PASSWORDS = {"dashboard": "d4shboard-password", "operator": "op3rator-password"}


@dataclass(frozen=True)
class Gateway:
    broker: MosquittoBroker
    browser_url: str
    authority: Authority


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    """The shipped files with the paths and ports of the test."""
    authority = Authority(tmp_path / "certs")
    server = authority.server("localhost", "127.0.0.1")
    server.cert_file.rename(authority.folder / "server.crt")
    server.key_file.rename(authority.folder / "server.key")
    authority.client(NODE)
    users, acl = tmp_path / "users", tmp_path / "acl"
    for number, (name, password) in enumerate(PASSWORDS.items()):
        create = ["-c"] if number == 0 else []
        subprocess.run(["mosquitto_passwd", *create, "-b", str(users), name, password], check=True)
    acl.write_text((FILES / "acl").read_text())
    for file in (users, acl):
        file.chmod(0o600)
    broker, port = MosquittoBroker(tmp_path / "broker"), free_port()
    text = "\n".join((FILES / name).read_text() for name in ("gateway.conf", "browsers.conf"))
    for old, new in {
        "listener 8883": f"listener {broker.port} 127.0.0.1",
        "listener 9001": f"listener {port} 127.0.0.1",
        "/etc/mosquitto/certs": str(authority.folder),
        "/etc/mosquitto/edgenode.acl": str(acl),
        "/etc/mosquitto/edgenode.users": str(users),
    }.items():
        assert old in text
        text = text.replace(old, new)
    user = ["user root"] if os.getuid() == 0 else []
    path = broker.folder / "gateway.conf"
    path.write_text("\n".join([text, *user, "persistence false", "log_dest stderr", ""]))
    broker.start(path)
    yield Gateway(broker, f"wss://127.0.0.1:{port}", authority)
    broker.kill()


def test_a_dashboard_sees_everything_and_asks_for_nothing_an_operator_asks(
    gateway: Gateway, browser: Browser, tmp_path: Path
) -> None:
    (tmp_path / "node").mkdir()
    plant = drawn_plant(tmp_path / "node", gateway.broker.port, gateway.browser_url)
    mine = gateway.authority.identity(NODE)
    plant.sections["mqtt"] |= {
        "ca_file": str(gateway.authority.ca_file),
        "cert_file": str(mine.cert_file),
        "key_file": str(mine.key_file),
    }
    with plant.node() as node:
        node.wait_until_ready()
        # as if the operator's browser knew the plant's authority
        context = browser.new_context(ignore_https_errors=True)
        page = context.new_page()
        page.goto(node.url("/"))
        form = page.get_by_role("dialog", name="Connection")
        camera = page.get_by_role("dialog", name="junction")

        def ask_as(user: str) -> None:
            form.get_by_label("User,").fill(user)
            form.get_by_label("Password", exact=True).fill(PASSWORDS[user])
            form.get_by_role("button", name="Connect").click()
            expect(page.locator("#connection")).to_have_text("live")
            expect(page.locator("li.camera .status")).to_have_text(["online", "online"])
            page.locator("li.camera", has_text="junction").get_by_role("button").click()
            camera.get_by_role("button", name="Ask for a picture").click()

        expect(form).to_contain_text("refuses")  # who gave no name
        ask_as("dashboard")
        expect(camera.locator("#camera-answer")).to_have_text(re.compile("this account may only read"))
        page.keyboard.press("Escape")
        page.locator("#connect").click()
        ask_as("operator")
        expect(camera.locator("img")).to_be_visible()
        expect(camera.locator("#camera-answer")).to_have_text("")
        context.close()
