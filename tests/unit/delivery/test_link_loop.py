"""Waiting for the network."""

from __future__ import annotations

import fcntl
import resource
import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from edgenode.delivery.link_loop import Knock

FAR_UP = 1500
"""A descriptor that `select` would refuse; as high as the sockets of a node with more than a hundred cameras."""


@pytest.fixture
def sockets() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A pair, the first of them with a descriptor from `FAR_UP` on."""
    limit, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard <= FAR_UP:
        pytest.skip(f"only {hard} files may be open here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(limit, FAR_UP + 10), hard))
    near, far = socket.socketpair()
    high = socket.socket(fileno=fcntl.fcntl(near.fileno(), fcntl.F_DUPFD_CLOEXEC, FAR_UP))
    near.close()
    with closing(high), closing(far):
        yield high, far
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


def test_a_connection_is_served_beside_a_thousand_open_files(
    sockets: tuple[socket.socket, socket.socket],
) -> None:
    high, far = sockets
    knock = Knock()
    try:
        assert not knock.wait(high, False, 0.0)
        assert not knock.wait(high, True, 10.0), "it can be written at once, and there is nothing to read"
        far.send(b"x")
        assert knock.wait(high, False, 10.0)
        assert high.recv(10) == b"x"
        knock.knock()
        assert not knock.wait(high, False, 10.0)
        far.close()
        assert knock.wait(high, False, 10.0), "reading it tells that the other side is gone"
    finally:
        knock.close()
