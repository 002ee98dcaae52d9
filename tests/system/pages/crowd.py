"""A fleet of drawn nodes that fills the live page: 200 cameras and 100 events a second, told by plain MQTT."""

from __future__ import annotations

import hashlib
import itertools
import json
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime

import cv2
import numpy as np
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from edgenode.capture.scenes import scene_named

BASE = "edgenode/v1"
LABELS = ("clear", "vehicle", "unknown", "queue")
RULES = (("red_light_running", "critical"), ("queue_too_long", "warning"), ("gate_opened", "info"))
STATES = ("online",) * 17 + ("offline", "blind", "stale")
OUTLINES = (
    [[0.1, 0.3], [0.5, 0.3], [0.5, 0.9], [0.1, 0.9]],
    [[0.55, 0.1], [0.9, 0.15], [0.85, 0.7], [0.5, 0.6]],
)


@dataclass(frozen=True)
class Crowd:
    nodes: int = 4
    cameras: int = 200
    events_per_s: float = 100.0
    """Each begins and ends: two messages."""
    classifications_per_s: float = 400.0
    states_per_s: float = 40.0
    pictures_per_s: float = 10.0
    """So many of the events have one."""


class Publisher:
    """Tells the fleet's retained state at `start`, then publishes at the asked rates until `stop`."""

    def __init__(self, port: int, crowd: Crowd) -> None:
        self.crowd = crowd
        self.sent: dict[str, int] = {"events": 0, "pictures": 0, "messages": 0}
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="crowd", protocol=mqtt.MQTTv5)
        self._client.max_inflight_messages_set(200)
        self._port = port
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="crowd")
        self._pictures = _pictures()
        self._cameras = [
            (f"gateway-{number % crowd.nodes + 1}", f"cam_{number:03d}") for number in range(crowd.cameras)
        ]
        self._open: list[dict[str, object]] = []
        self._seq = itertools.count(1)

    def __enter__(self) -> Publisher:
        self._client.connect("127.0.0.1", self._port)
        self._client.loop_start()
        self._retained()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._client.disconnect()
        self._client.loop_stop()

    def _put(self, topic: str, content: object, *, retain: bool = False, qos: int = 1) -> None:
        payload = content if isinstance(content, bytes) else json.dumps(content).encode()
        self._client.publish(f"{BASE}/{topic}", payload, qos=qos, retain=retain)
        self.sent["messages"] += 1

    def _retained(self) -> None:
        for node in sorted({node for node, _ in self._cameras}):
            state = {"state": "online", "reason": "", "since": _now(), "boot": "b", "version": "0.1.0"}
            self._put(f"{node}/state", state, retain=True)
            cameras = [
                {
                    "name": name,
                    "regions": [
                        {"name": f"lane_{n + 1}", "model": "lanes", "outline": outline}
                        for n, outline in enumerate(OUTLINES)
                    ],
                }
                for of, name in self._cameras
                if of == node
            ]
            info = {"version": "0.1.0", "started_at": _now(), "machine": "x86_64", "provider": "cpu"}
            self._put(
                f"{node}/info", {**info, "cameras": cameras, "rules": [r for r, _ in RULES]}, retain=True
            )
        for number, (node, name) in enumerate(self._cameras):
            state_word = STATES[number % len(STATES)]
            camera = {"state": state_word, "reason": "" if state_word == "online" else "no route to host"}
            more = {
                "since": _now(),
                "fps": 5.0,
                "reconnects": 0,
                "width": 640,
                "height": 360,
                "codec": "h264",
            }
            self._put(f"{node}/cameras/{name}/state", {**camera, **more}, retain=True)
            self._put(f"{node}/cameras/{name}/snapshot", self._picture(number), retain=True)
            for region in range(len(OUTLINES)):
                self._region(number, region)

    def _run(self) -> None:
        """Each kind of message keeps its own pace on one clock; what is late is made up for."""
        crowd = self.crowd
        paces = [
            (crowd.classifications_per_s, self._classification),
            (crowd.events_per_s - crowd.pictures_per_s, self._event),
            (crowd.states_per_s, lambda n: self._region(n * 7, n % 2)),
            (crowd.pictures_per_s, lambda n: self._event(n, pictured=True)),
        ]
        done = [0] * len(paces)
        began_s = time.monotonic()
        while not self._stop.wait(0.02):
            elapsed_s = time.monotonic() - began_s
            for index, (rate, act) in enumerate(paces):
                while done[index] < elapsed_s * rate:
                    done[index] += 1
                    act(done[index])

    def _classification(self, number: int) -> None:
        node, name = self._cameras[number % len(self._cameras)]
        said = {"label": LABELS[number % 2], "probability": 0.7 + number % 29 / 100, "captured_at": _now()}
        self._put(f"{node}/cameras/{name}/regions/lane_{number % 2 + 1}/classification", said, qos=0)

    def _region(self, number: int, region: int) -> None:
        node, name = self._cameras[number % len(self._cameras)]
        state = {
            "camera": name,
            "region": f"lane_{region + 1}",
            "label": LABELS[(number + region) % len(LABELS)],
            "probability": 0.6 + number % 39 / 100,
            "since": _now(),
            "captured_at": _now(),
            "reason": "",
            "model": {"name": "lanes", "version": "3", "sha256": "0" * 64},
            "event_id": None,
        }
        self._put(f"{node}/cameras/{name}/regions/lane_{region + 1}/state", state, retain=True)

    def _event(self, number: int, *, pictured: bool = False) -> None:
        """One event begins and, once twenty are open, the oldest ends."""
        node, name = self._cameras[number * 13 % len(self._cameras)]
        rule, severity = RULES[number % len(RULES)]
        picture = self._picture(number) + number.to_bytes(4, "big")  # JPEG readers stop before what follows
        step: dict[str, object] = {
            "id": f"01a0-{next(self._seq):08d}",
            "n": 0,
            "seq": next(self._seq),
            "node": node,
            "rule": rule,
            "event_type": "start",
            "severity": severity,
            "camera": name,
            "region": f"lane_{number % 2 + 1}",
            "label": LABELS[number % 2],
            "probability": 0.93,
            "value": None,
            "started_at": _now(),
            "ended_at": None,
            "captured_at": _now(),
            "reason": "drawn",
            "clock": "synchronised",
            "model": None,
            "evidence": hashlib.sha256(picture).hexdigest() if pictured else None,
        }
        self._put(f"{node}/events/{rule}", step)
        self.sent["events"] += 1
        if pictured:
            self._put(f"{node}/events/{rule}/snapshot", picture)
            self.sent["pictures"] += 1
        self._open.append(step)
        if len(self._open) > 20:
            over = self._open.pop(0)
            end = {"n": 1, "seq": next(self._seq), "event_type": "end", "ended_at": _now(), "evidence": None}
            self._put(f"{over['node']}/events/{over['rule']}", {**over, **end})

    def _picture(self, number: int) -> bytes:
        return self._pictures[number % len(self._pictures)]


def _pictures() -> list[bytes]:
    """A few JPEGs of drawn scenes, 640 by 360."""
    found = []
    for name in ("junction", "line"):
        scene = scene_named(name, 7)
        for second in range(0, 24, 3):
            rgb = scene.draw(float(second))
            small = cv2.resize(np.ascontiguousarray(rgb[:, :, ::-1]), (640, 360))
            found.append(cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes())
    return found


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
