"""What whole-daemon tests are built from: a folder with clips, models and a configuration, and its node."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgenode.records import U8
from tests.clips import write_clip
from tests.models import make_model
from tests.servers.mosquitto import MosquittoBroker, free_port
from tests.system.daemon import Daemon
from tests.system.listener import Listener

NODE = "line-7"
ROOT = f"edgenode/v1/{NODE}"
FPS = 25


def flat(value: int, width: int = 64, height: int = 48) -> U8:
    """A grey picture with enough texture not to be taken for a dead camera."""
    picture = np.full((height, width, 3), value, dtype=np.uint8)
    picture[::4, ::4] = 255 - value
    return picture


def moving(value: int, number: int, width: int = 64, height: int = 48) -> U8:
    """`flat` with a small square that is elsewhere in each frame, as with a working camera."""
    picture = flat(value, width, height)
    x = number * 3 % (width - 8)
    picture[height // 2 : height // 2 + 8, x : x + 8] = 255 - value
    return picture


def blinking_clip(path: Path, intervals: list[tuple[str, float]], fps: int = FPS, size: int = 64) -> Path:
    """A clip that is `dark` and `bright` in turn: (label, seconds)."""
    pictures: list[U8] = []
    for label, seconds in intervals:
        value = 235 if label == "bright" else 20
        for _ in range(round(seconds * fps)):
            pictures.append(moving(value, len(pictures), size, size * 3 // 4))
    return write_clip(path, pictures, fps, gop=fps)


class Plant:
    """One node's folder. `write` makes the configuration of what was added so far."""

    def __init__(self, folder: Path, mqtt_port: int) -> None:
        self.folder = folder
        self.mqtt_port = mqtt_port
        self.http_port = free_port()
        self.sections: dict[str, dict[str, Any]] = {
            "node": {"name": NODE, "state_dir": str(folder / "state"), "drain": "2s"},
            "mqtt": {"host": "127.0.0.1", "port": mqtt_port},
            "http": {"listen": f"127.0.0.1:{self.http_port}"},
            "models.tiny": {"file": "tiny.onnx"},
            "inference": {"max_age": "30s"},  # a machine that stalls must not cost a test its only sample
        }
        self.cameras: list[dict[str, Any]] = []
        self.rules: list[dict[str, Any]] = []
        self.config = folder / "edgenode.toml"
        make_model(folder / "tiny.onnx")

    def clip(self, *intervals: tuple[str, float], name: str = "clip.mp4") -> str:
        """A clip in the folder; its source."""
        blinking_clip(self.folder / name, list(intervals))
        return name

    def camera(self, name: str, source: str, **more: Any) -> None:
        smoothing = more.pop("smoothing", {"window": "200ms"})
        regions = more.pop("regions", [{"name": "frame", "smoothing": smoothing}])
        self.cameras.append({"name": name, "source": source, **more, "regions": regions})

    def rule(self, name: str, when: str, **more: Any) -> None:
        self.rules.append({"name": name, "when": when, **more})

    def text(self) -> str:
        parts = [_table(f"[{name}]", values) for name, values in self.sections.items()]
        parts += [_table("[[cameras]]", camera) for camera in self.cameras]
        parts += [_table("[[rules]]", rule) for rule in self.rules]
        return "\n".join(parts)

    def write(self) -> Path:
        self.config.write_text(self.text())
        return self.config

    def node(self, environment: dict[str, str] | None = None, sabotage: str | None = None) -> Daemon:
        """The node of this configuration, not started."""
        return Daemon(self.write(), environment, sabotage)

    def listener(self) -> Listener:
        return Listener(self.mqtt_port, ROOT)


def _table(header: str, values: dict[str, Any]) -> str:
    return "\n".join([header, *(f"{key} = {_toml(value)}" for key, value in values.items()), ""])


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(each)}" for key, each in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value)


StartNode = Callable[..., Daemon]


@pytest.fixture
def plant(tmp_path: Path, mosquitto_broker: MosquittoBroker) -> Plant:
    """An empty plant with a running broker."""
    return Plant(tmp_path, mosquitto_broker.port)


@pytest.fixture
def listener(plant: Plant) -> Iterator[Listener]:
    """Hears everything from before the node's start."""
    with plant.listener() as each:
        yield each


@pytest.fixture
def start() -> Iterator[StartNode]:
    """`start(plant)` starts a node that is killed after the test, whatever happens in it."""
    with ExitStack() as stack:

        def begin(
            plant: Plant, environment: dict[str, str] | None = None, sabotage: str | None = None
        ) -> Daemon:
            return stack.enter_context(plant.node(environment, sabotage))

        yield begin
