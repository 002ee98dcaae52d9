"""Runs the demo: a whole node on drawn scenes, an embedded broker, a real subscriber, a live table.

Needs the extra `demo` (amqtt, rich). Everything it writes goes into a temporary folder that is removed.
"""

from __future__ import annotations

import json
import logging
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import TextIO

from edgenode.clock import SystemClock
from edgenode.delivery.subscriber import Arrival, Subscriber
from edgenode.demo.scenario import scenes_of, settings_of, true_events
from edgenode.demo.screens import Screen, screen_for
from edgenode.demo.state import DemoState, Links, Tally
from edgenode.demo.summary import summary
from edgenode.desk import Hooks
from edgenode.node.node import Node
from edgenode.records import Decision, Event, JsonObject

HTTP_PORT = 9464
PICTURE_EVERY_S = 2
"""How often the live page asks each camera it shows for a picture."""


@dataclass(frozen=True, slots=True)
class DemoOptions:
    seconds: float | None = None
    """How long; None until Ctrl-C."""
    json: bool = False
    """Print nothing but one JSON summary at the end."""
    seed: int = 7
    """Which line and which junction are drawn."""
    fps: float = 10.0
    http_port: int = HTTP_PORT
    """A free one is taken instead where it is in use; 0 always takes a free one."""


def run_demo(options: DemoOptions, out: TextIO | None = None) -> JsonObject:
    """Run until the time is over, SIGINT or SIGTERM; then stop everything and return the summary, which is
    also printed to `out` (default: standard output). Raises EdgeNodeError when a part cannot start or fails.
    """
    out = out if out is not None else sys.stdout
    stop = threading.Event()
    with (
        tempfile.TemporaryDirectory(prefix="edgenode-demo-") as folder,
        _signals_set(stop),
        _Demo(options, Path(folder)) as demo,
    ):
        demo.watch(stop, screen_for(out, silent=options.json))
        result = demo.result()
    if options.json:
        print(json.dumps(result, indent=2), file=out, flush=True)
    else:
        print(_farewell(result), file=out, flush=True)
    return result


class _Demo:
    """The node, its subscriber and the tally. Started on entering, stopped on leaving, by one thread."""

    def __init__(self, options: DemoOptions, folder: Path) -> None:
        self._options = options
        self._clock = SystemClock()
        self._scenes = scenes_of(options.seed)
        settings = settings_of(self._scenes, folder / "state", options.fps, _free_port(options.http_port))
        self._rules = tuple(rule.name for rule in settings.rules)
        self._began_s, self._cpu_began_s = self._clock.monotonic(), time.process_time()
        self._tally = Tally(self._scenes, self._rules, self._began_s)
        self._notices = _NoticeHandler(self._tally)
        self._node = Node(
            settings, folder, self._clock, Hooks(on_decision=self._decided, on_event=self._event)
        )
        self._subscriber: Subscriber | None = None
        self._links: Links | None = None

    def __enter__(self) -> _Demo:
        logging.getLogger().addHandler(self._notices)
        try:
            self._node.start()
            self._look_on()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._subscriber is not None:
            self._subscriber.stop()
        self._node.stop()
        logging.getLogger().removeHandler(self._notices)

    def watch(self, stop: threading.Event, screen: Screen) -> None:
        """Let the node run and show it until `stop` is set or the time is over. Raises EdgeNodeError."""
        shown_s = -1e9

        def beat() -> None:
            nonlocal shown_s
            self._receive()
            now_s = self._clock.monotonic()
            if now_s - shown_s >= screen.refresh_s:
                shown_s = now_s
                screen.show(self._state(now_s))
            if self._options.seconds is not None and now_s - self._began_s >= self._options.seconds:
                stop.set()

        try:
            while not stop.is_set():
                self._node.supervise(stop, beat)
        finally:
            screen.close()

    def result(self) -> JsonObject:
        """The summary, as of now."""
        self._receive()
        now_s = self._clock.monotonic()
        first_s = self._tally.first_s
        expected = true_events(self._scenes, now_s if first_s is None else first_s, now_s)
        return summary(self._state(now_s), expected, None if first_s is None else first_s - self._began_s)

    def _state(self, now_s: float) -> DemoState:
        return self._tally.state(now_s, time.process_time() - self._cpu_began_s, self._links)

    def _look_on(self) -> None:
        settings = self._node.settings
        topics = f"{settings.mqtt.base_topic}/{settings.node.name}/#"
        host, port = "127.0.0.1", self._node.mqtt_port
        address = self._node.http_address or ("127.0.0.1", 0)
        here = f"http://{address[0]}:{address[1]}"
        page = f"{here}/?refresh={PICTURE_EVERY_S}"
        self._links = Links(page, f"{here}/metrics", host, port, topics)
        subscriber = Subscriber(host, port, topics)
        subscriber.start()
        self._subscriber = subscriber

    def _receive(self) -> None:
        if self._subscriber is None:
            return
        now_s = self._clock.monotonic()
        for arrival in self._subscriber.take():
            self._tally.message(now_s, _latency_s(arrival))

    def _decided(self, decision: Decision) -> None:
        self._tally.decision(decision, self._clock.monotonic())

    def _event(self, event: Event) -> None:
        self._tally.event(event)


class _NoticeHandler(logging.Handler):
    """Warnings go where they are seen, not across the table."""

    def __init__(self, tally: Tally) -> None:
        super().__init__(logging.WARNING)
        self._tally = tally

    def emit(self, record: logging.LogRecord) -> None:
        self._tally.notice(f"{record.name}: {record.getMessage()}")


@contextmanager
def _signals_set(stop: threading.Event) -> Iterator[None]:
    """SIGINT and SIGTERM set `stop` while this lasts; signals belong to the main thread alone."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def on_signal(number: int, frame: FrameType | None) -> None:
        del number, frame
        stop.set()

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _free_port(wanted: int) -> int:
    """`wanted` if nobody listens there, else 0: the system's choice."""
    if wanted:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", wanted))
            except OSError:
                return 0
    return wanted


def _latency_s(arrival: Arrival) -> float | None:
    """Seconds from the capture that a live message tells of to its arrival."""
    if arrival.retained:
        return None
    try:
        content = json.loads(arrival.payload)
        captured_at = datetime.fromisoformat(content["captured_at"])
    except (ValueError, KeyError, TypeError):
        return None
    return (arrival.received_at - captured_at.astimezone(UTC)).total_seconds()


def _farewell(result: JsonObject) -> str:
    """The summary for people."""
    events = ", ".join(
        f"{rule} {count['started']} (happened: {_range(count['least'], count['most'])})"
        for rule, count in result["events"].items()
    )
    regions = ", ".join(
        f"{name} {share['right']:.1%} of {share['of']}" for name, share in result["accuracy"].items() if share
    )
    return (
        f"{result['seconds']:.0f} s, {result['classifications']} classifications, "
        f"{result['mqtt_messages_received']} messages received from the broker\n"
        f"events: {events}\nmodels right: {regions or 'nothing was classified'}"
    )


def _range(least: int, most: int) -> str:
    return f"{least}" if least == most else f"{least} to {most}"
