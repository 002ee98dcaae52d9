"""A node with drawn scenes, a Mosquitto that browsers reach, and the live page on them."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from playwright.sync_api import Page, expect

import edgenode.telemetry
from edgenode.demo.scenario import MODELS
from tests.servers.mosquitto import MosquittoBroker, free_port
from tests.system.daemon import Daemon
from tests.system.plant import NODE, Plant

LIVE = Path(edgenode.telemetry.__file__).parent / "live"
CAMERAS = {"line_1": "line", "junction": "junction"}
REGIONS = {"line_1": {"belt": "line_parts"}, "junction": {"signal": "signal_light", "stop_line": "stop_line"}}
BOXES = {"belt": [0.25, 0.2, 0.75, 0.8], "signal": [0.5, 0.0, 0.6, 0.4], "stop_line": [0.45, 0.4, 0.65, 0.8]}
SMOOTHING = {"window": "250ms", "enter": 0.6, "leave": 0.4}


def browser_broker(folder: Path, *lines: str) -> tuple[MosquittoBroker, str]:
    """A broker, not started, with a listener for browsers, and that listener's address."""
    port = free_port()
    listener = (f"listener {port} 127.0.0.1", "protocol websockets", "socket_domain ipv4")
    return MosquittoBroker(folder, (*lines, *listener)), f"ws://127.0.0.1:{port}"


@dataclass(frozen=True)
class Site:
    """What one module's tests look at."""

    broker: MosquittoBroker
    broker_url: str
    node: Daemon

    @property
    def url(self) -> str:
        return self.node.url("/")


@contextmanager
def running_site(folder: Path) -> Iterator[Site]:
    """The broker and the node, ended afterwards whatever happens."""
    broker, url = browser_broker(folder / "broker")
    broker.start()
    try:
        with drawn_plant(folder, broker.port, url).node() as node:
            node.wait_until_ready()
            yield Site(broker, url, node)
    finally:
        broker.kill()


def drawn_plant(folder: Path, mqtt_port: int, broker_url: str | None) -> Plant:
    """Two drawn cameras with their models, and rules that often have something to say."""
    plant = Plant(folder, mqtt_port)
    if broker_url is not None:
        plant.sections["http"]["broker_url"] = broker_url
    plant.sections = {name: section for name, section in plant.sections.items() if name != "models.tiny"}
    for model in sorted({model for regions in REGIONS.values() for model in regions.values()}):
        plant.sections[f"models.{model}"] = {"file": str(MODELS / f"{model}.onnx")}
    for camera, scene in CAMERAS.items():
        regions = [
            {"name": name, "model": model, "box": BOXES[name], "smoothing": SMOOTHING}
            for name, model in REGIONS[camera].items()
        ]
        plant.camera(camera, f"synthetic:{scene}?seed=7&fps=10", fps=10, regions=regions)
    plant.rule("belt_used", 'line_1.belt != "empty"', severity="warning", snapshot=True)
    plant.rule("stop", 'junction.signal == "red"', severity="critical", snapshot=True)
    return plant


@contextmanager
def static_host(folder: Path = LIVE) -> Iterator[str]:
    """The page from a web server that knows nothing of a node; its address."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def open_live(page: Page, url: str) -> None:
    """Returns when the page hears the broker and shows both cameras."""
    page.goto(url)
    expect(page.locator("#connection")).to_have_text("live")
    expect(page.locator("li.camera")).to_have_count(len(CAMERAS))


__all__ = ["CAMERAS", "LIVE", "NODE", "Site", "browser_broker", "open_live", "running_site", "static_host"]
