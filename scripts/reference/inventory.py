"""Every topic and every command, with what no signature says: for whom it is, and what it is for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Channel:
    """A topic. `member` is what `Topics` calls it; `payload` a key of `PAYLOADS`, or None for a JPEG."""

    member: str
    address: str
    """Under `<base_topic>/<node>`."""
    parameters: tuple[str, ...]
    payload: str | None
    text: str
    direction: Literal["send", "receive"] = "send"
    outbox: bool = False


CHANNELS = (
    Channel("state", "state", (), "state", "Whether the node works. Also its last will."),
    Channel("info", "info", (), "info", "The birth message: versions, cameras, regions, models, rules."),
    Channel(
        "instance",
        "instance",
        (),
        "instance",
        "Which life of the node came last, and whose place it took. The node reads it: so two of one name notice each "
        "other on any broker.",
    ),
    Channel("camera_state", "cameras/{camera}/state", ("camera",), "camera_state", "What a camera is doing."),
    Channel(
        "region_state",
        "cameras/{camera}/regions/{region}/state",
        ("camera", "region"),
        "region_state",
        "The decided state of a region; sent when it or the event about it changes.",
    ),
    Channel(
        "classification",
        "cameras/{camera}/regions/{region}/classification",
        ("camera", "region"),
        "classification",
        "What the model said, undecided; `mqtt.classification` says how often.",
    ),
    Channel(
        "camera_snapshot",
        "cameras/{camera}/snapshot",
        ("camera",),
        None,
        "The last picture asked for with the command `snapshot`, at most 256 KiB.",
    ),
    Channel("event", "events/{rule}", ("rule",), "event", "Start, updates and end of an event.", outbox=True),
    Channel(
        "event_snapshot",
        "events/{rule}/snapshot",
        ("rule",),
        None,
        "The picture that proves an event. The user properties `event_id`, `n` and `seq` name the event.",
        outbox=True,
    ),
    Channel(
        "outbox_notice",
        "events/_outbox",
        (),
        "outbox_notice",
        "Messages the node gave up, and why: explains gaps in `seq`.",
        outbox=True,
    ),
    Channel(
        "model_event",
        "events/_models",
        (),
        "event",
        "A model that the node took out of service (`label` is `rolled_back`, or `faulty` where nothing could take its "
        "place), or that drifts (`drift`, with the index as `value`).",
        outbox=True,
    ),
    Channel(
        "model",
        "models/{model}",
        ("model",),
        "model",
        "What serves now under this name, what its shadow measured, and what changed last.",
    ),
    Channel(
        "command",
        "commands/{verb}",
        ("verb",),
        "command",
        "Tells the node to do something. A retained, repeated or overly frequent one gets no answer.",
        direction="receive",
    ),
    Channel(
        "reply",
        "replies/{verb}",
        ("verb",),
        "reply",
        "The answer to a command that names no response topic of its own.",
    ),
)
PARAMETERS = {
    "camera": "Name of a camera.",
    "region": "Name of a region; `frame` where the camera has none.",
    "rule": "Name of a rule.",
    "model": "Name under `[models]`.",
    "verb": "Name of a command.",
}


@dataclass(frozen=True, slots=True)
class Command:
    verb: str
    args: str
    """Markdown."""
    data: str
    text: str


COMMANDS = (
    Command(
        "reload",
        "",
        "`requested` `applied` (false: it still runs)",
        "Read the configuration file again, as SIGHUP does; `refused` with the first mistake where it cannot work.",
    ),
    Command(
        "snapshot",
        "`camera`, `draw` (regions and their states, optional)",
        "`camera` `bytes` `captured_at`",
        "Publish the camera's next picture on its `snapshot` topic.",
    ),
    Command("camera_enable", "`camera`", "`camera` `enabled`", "Open a camera again, until the next start."),
    Command("camera_disable", "`camera`", "`camera` `enabled`", "Close a camera, until the next start."),
    Command("rule_enable", "`rule`", "`rule` `enabled`", "Let a rule judge again."),
    Command("rule_disable", "`rule`", "`rule` `enabled`", "Silence a rule; its open event ends."),
    Command(
        "explain",
        "`rule`, `camera` and `at` (RFC 3339; optional)",
        "`rule` `at` `sentences`",
        "Say in words why the rule had an event or none at that time; now, if `at` is left out.",
    ),
    Command(
        "model_install",
        "`url` (https or file), `sha256`, `model` and `then` (`activate` or `shadow`; optional)",
        "`name` `sha256` `bytes` `active` `previous` `shadow`",
        "Fetch a model file from where `[rollout]` permits, prove it, and store it. The reply comes when all is done.",
    ),
    Command(
        "model_activate",
        "`model`, `sha256` (or its beginning)",
        "as `model_install`",
        "Let an installed file serve from the next batch on. It must pass the gate: `docs/models.md`.",
    ),
    Command(
        "model_rollback",
        "`model`",
        "as `model_install`",
        "Let the version before serve again; twice leads forth.",
    ),
    Command(
        "model_shadow",
        "`model`, `sha256` (or its beginning; null ends it)",
        "as `model_install`",
        "Let an installed file answer the same samples beside the one that serves, and measure how they agree.",
    ),
    Command(
        "replay_events",
        "`since` (RFC 3339)",
        "`since` `messages`",
        "Send again what the broker had acknowledged since then. Readers know repetitions by `id` and `n`.",
    ),
)
