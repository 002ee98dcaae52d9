"""Notifications over real datagram sockets, by path and in the abstract namespace."""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgenode.telemetry.notify import Notifier


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    """What NOTIFY_SOCKET would say, and the socket behind it."""
    name = str(tmp_path / "notify") if request.param == "path" else f"@edgenode-{secrets.token_hex(8)}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind("\0" + name[1:] if name.startswith("@") else name)
        receiver.settimeout(60)
        yield name, receiver


def received(receiver: socket.socket) -> list[str]:
    return receiver.recv(4096).decode().split("\n")


def test_each_message_is_one_datagram(manager: tuple[str, socket.socket]) -> None:
    name, receiver = manager
    notifier = Notifier({"NOTIFY_SOCKET": name})
    assert notifier.supervised
    assert notifier.ready("3 cameras")
    assert received(receiver) == ["READY=1", "STATUS=3 cameras"]
    assert notifier.status("broker away")
    assert received(receiver) == ["STATUS=broker away"]
    assert notifier.watchdog()
    assert received(receiver) == ["WATCHDOG=1"]
    assert notifier.stopping()
    assert received(receiver) == ["STOPPING=1"]


def test_reloading_carries_the_monotonic_time(manager: tuple[str, socket.socket]) -> None:
    name, receiver = manager
    before = time.monotonic_ns() // 1000
    assert Notifier({"NOTIFY_SOCKET": name}).reloading()
    first, second = received(receiver)
    assert first == "RELOADING=1"
    assert before <= int(second.removeprefix("MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000


def test_a_status_with_line_breaks_cannot_set_another_variable(manager: tuple[str, socket.socket]) -> None:
    name, receiver = manager
    assert Notifier({"NOTIFY_SOCKET": name}).status("camera said:\nWATCHDOG=trigger\n")
    assert received(receiver) == ["STATUS=camera said: WATCHDOG=trigger"]


@pytest.mark.parametrize("address", ["", "@", "relative", "/nowhere/at/all", "vsock:2:1234"])
def test_without_a_manager_nothing_is_sent_and_nothing_fails(address: str) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": address})
    assert not notifier.ready()
    assert not notifier.watchdog()


@pytest.mark.parametrize(
    ("environ", "interval_s"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdog_interval_comes_from_the_environment(
    environ: dict[str, str], interval_s: float | None
) -> None:
    assert Notifier(environ).watchdog_interval_s == interval_s
