"""Fixtures: real camera servers on loopback, ended with the test whatever happens in it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.servers.black_hole import BlackHole
from tests.servers.http_camera import Behaviour, HttpCamera
from tests.servers.rtsp_server import RtspServer

StartRtsp = Callable[..., RtspServer]
StartHttp = Callable[[Behaviour], HttpCamera]


@pytest.fixture
def rtsp_camera() -> Iterator[StartRtsp]:
    """`rtsp_camera(clip, "--loop", …)` starts a server (see tests/servers/rtsp.py) and returns its handle."""
    servers: list[RtspServer] = []

    def start(clip: Path, *options: str) -> RtspServer:
        server = RtspServer(clip, *options)
        servers.append(server)
        try:
            return server.start()
        except FileNotFoundError as missing:
            if os.environ.get("CI"):
                raise
            pytest.skip(str(missing))

    yield start
    for server in servers:
        server.kill()


@pytest.fixture
def rtsp_server(rtsp_camera: StartRtsp) -> Callable[..., str]:
    """`rtsp_server(clip, loop=True, shared=False) -> url`. Not shared, a client sees the clip from its
    start."""

    def start(clip: Path, *, loop: bool = True, shared: bool = False) -> str:
        options = [*(["--loop"] if loop else []), *(["--shared"] if shared else [])]
        return rtsp_camera(clip, *options).url

    return start


@pytest.fixture
def http_camera() -> Iterator[StartHttp]:
    """`http_camera(Behaviour(…))` starts an HTTP camera and returns it."""
    with ExitStack() as stack:
        yield lambda behaviour: stack.enter_context(HttpCamera(behaviour))


@pytest.fixture
def black_hole() -> Iterator[BlackHole]:
    """A TCP listener that accepts and stays silent."""
    with BlackHole() as hole:
        yield hole
