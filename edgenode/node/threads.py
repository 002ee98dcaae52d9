"""Which threads of a node must make progress, and how long each may be silent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgenode.capture.ticker import ticker
from edgenode.delivery.publisher import COMMAND_LIMIT_S, LINK_LIMIT_S
from edgenode.pipeline import STALL_LIMIT_S

if TYPE_CHECKING:
    from edgenode.node.node import Node
    from edgenode.telemetry.http import HttpServer

SLOW_COMMAND_MARGIN_S = 600.0
"""Beside the time for fetching a model: proving it, and waiting for another one's turn."""


def watch_threads(node: Node, http: HttpServer | None) -> None:
    """After the start. Cameras and models are watched by the pipeline, as they come and go."""
    publisher = node.publisher
    node.health.watch("camera-reports", lambda: ticker.heartbeat_s, STALL_LIMIT_S)
    node.health.watch("publisher", lambda: publisher.heartbeat_s, STALL_LIMIT_S)
    node.health.watch("mqtt", lambda: publisher.link_heartbeat_s, LINK_LIMIT_S)
    node.health.watch("evidence", lambda: node.desk.evidence_heartbeat_s, STALL_LIMIT_S)
    if http is not None:
        node.health.watch("http", lambda: http.heartbeat_s, STALL_LIMIT_S)
    watch_commands(node)


def watch_commands(node: Node) -> None:
    """A command that never ends fails the node: no other would be done any more. After a reload again."""
    node.health.watch("commands", lambda: node.publisher.command_heartbeat_s, COMMAND_LIMIT_S)
    limit_s = node.settings.rollout.timeout + SLOW_COMMAND_MARGIN_S
    node.health.watch("slow-commands", lambda: node.publisher.slow_command_heartbeat_s, limit_s)
