"""What the node does when it is told to over MQTT. Handlers run one at a time on the
publisher's command thread.

Each takes the command's arguments and returns the reply's data; EdgeNodeError becomes an error reply.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from edgenode.clock import parse_moment
from edgenode.delivery.commands import CommandError
from edgenode.nearest import suggestion
from edgenode.node.model_commands import MODEL_HANDLERS
from edgenode.records import JsonObject

if TYPE_CHECKING:
    from edgenode.capture.camera import Camera
    from edgenode.node.node import Node

RELOAD_WAIT_S = 20.0
"""How long a reload may take to be answered as done; it goes on after that."""
FRAME_WAIT_S = 2.0
"""How long a snapshot waits for the camera's next frame; other commands wait meanwhile."""


def _reload(node: Node, arguments: JsonObject) -> JsonObject:
    del arguments
    ticket = node.reload_turns.ticket()
    node.reload_requested.set()
    problems = node.reload_turns.wait(ticket, RELOAD_WAIT_S)
    if problems:
        more = f" (and {len(problems) - 1} more, see the node's log)" if len(problems) > 1 else ""
        raise CommandError("refused", f"the former configuration goes on: {problems[0][:1000]}{more}")
    return {"requested": True, "applied": problems is not None}


def _snapshot(node: Node, arguments: JsonObject) -> JsonObject:
    from edgenode.capture.snapshot import encode_snapshot
    from edgenode.node.evidence import with_regions

    name, camera = _camera(node, arguments)
    frame = camera.request_frame(FRAME_WAIT_S)
    if frame is None:
        raise CommandError("no_frame", f"camera {name} gave no frame within {FRAME_WAIT_S:g} s")
    picture = frame.array
    if arguments.get("draw", False):
        labels = {each.region: each.label for each in node.desk.current() if each.camera == name}
        picture = with_regions(node, name, picture, labels)
    jpeg = encode_snapshot(picture)
    node.publisher.publish_snapshot(name, jpeg, None)
    return {"camera": name, "bytes": len(jpeg), "captured_at": frame.captured_at.isoformat()}


def _camera_enabled(node: Node, arguments: JsonObject, *, enabled: bool) -> JsonObject:
    name, camera = _camera(node, arguments)
    camera.set_enabled(enabled)
    return {"camera": name, "enabled": enabled}


def _rule_enabled(node: Node, arguments: JsonObject, *, enabled: bool) -> JsonObject:
    rule = _rule(node, arguments)
    node.desk.set_rule_enabled(rule, enabled, node.clock.monotonic(), node.clock.now())
    return {"rule": rule, "enabled": enabled}


def _explain(node: Node, arguments: JsonObject) -> JsonObject:
    rule = _rule(node, arguments)
    camera = arguments.get("camera")
    at = _moment(arguments.get("at"), node.clock.now())
    explanation = node.desk.explain(camera if isinstance(camera, str) else None, rule, at)
    return {"rule": rule, "at": at.isoformat(), "sentences": list(explanation.sentences)}


def _replay_events(node: Node, arguments: JsonObject) -> JsonObject:
    if "since" not in arguments:
        raise CommandError("bad_arguments", 'say from when: {"since": "2026-01-31T12:00:00Z"}')
    since = _moment(arguments["since"], node.clock.now())
    return {"since": since.isoformat(), "messages": node.publisher.replay(since)}


def _camera(node: Node, arguments: JsonObject) -> tuple[str, Camera]:
    name = arguments.get("camera")
    camera = node.pipeline.camera(name) if isinstance(name, str) else None
    if camera is None or not isinstance(name, str):
        raise CommandError(
            "unknown_camera", f"no camera {name!r}{suggestion(str(name), node.pipeline.cameras())}"
        )
    return name, camera


def _rule(node: Node, arguments: JsonObject) -> str:
    rule = arguments.get("rule")
    names = [each.name for each in node.settings.rules]
    if not isinstance(rule, str) or rule not in names:
        raise CommandError("unknown_rule", f"no rule {rule!r}{suggestion(str(rule), names)}")
    return rule


def _moment(value: object, default: datetime) -> datetime:
    """A UTC instant from RFC 3339 text. Raises CommandError."""
    if value is None:
        return default
    try:
        return parse_moment(str(value))
    except ValueError:
        raise CommandError("bad_arguments", f"{str(value)[:64]!r} is no RFC 3339 time") from None


_HANDLERS: dict[str, Callable[[Node, JsonObject], JsonObject]] = {
    **MODEL_HANDLERS,
    "reload": _reload,
    "snapshot": _snapshot,
    "camera_enable": partial(_camera_enabled, enabled=True),
    "camera_disable": partial(_camera_enabled, enabled=False),
    "rule_enable": partial(_rule_enabled, enabled=True),
    "rule_disable": partial(_rule_enabled, enabled=False),
    "explain": _explain,
    "replay_events": _replay_events,
}
VERBS = frozenset(_HANDLERS)
SLOW_VERBS = frozenset(MODEL_HANDLERS)
"""They load models, and may fetch them first."""


def command_table(node: Node) -> dict[str, Callable[[JsonObject], JsonObject]]:
    """Verb to handler, for the command topics."""
    return {verb: partial(handler, node) for verb, handler in _HANDLERS.items()}
