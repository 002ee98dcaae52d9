"""`docs/topics.md`: topics, payloads and commands for people who write subscribers."""

from __future__ import annotations

import json
from typing import Any

from edgenode.delivery import model_payloads as model_payloads_module
from edgenode.delivery import payloads as payloads_module
from edgenode.delivery.payloads import PAYLOADS, json_schemas
from edgenode.records import JsonObject, Message
from scripts.reference.examples import TOPICS, example_messages
from scripts.reference.inventory import CHANNELS, COMMANDS, Channel
from scripts.reference.source_text import attribute_docstrings, cell

_HEAD = """# Topics, payloads, commands

<!-- Written by `make reference` from edgenode/delivery; changes here are lost. -->

All topics begin with `<base_topic>/<node>`, by default `edgenode/v1/` and the host name. JSON in UTF-8, times in RFC
3339 and UTC. `docs/asyncapi.yaml` says the same for machines.

- Ignore keys you do not know. A key never changes its meaning under one base topic.
- A camera is up only while the node's state is `online` or `degraded` too: a node that lost its connection is
  `offline` by its last will, and leaves the states of its cameras as they were.
- Events arrive at least once. De-duplicate by `id` and `n`; a gap in `seq` is a missing message, or one that
  `events/_outbox` explains.
- With MQTT 5 events carry CloudEvents 1.0 attributes (`specversion`, `id`, `source`, `type`, `time`) as user
  properties, beside content type and expiry. With 3.1.1 these properties are missing and nothing else.

| topic | retained | QoS | expiry | what |
|---|---|---|---|---|
"""
_COMMANDS = """
## Commands

Publish a JSON object, or nothing for a command without arguments, on `commands/<verb>` with QoS 1 and **not**
retained. At most 4 KiB; `commands.rate` a second, ten unless set; `commands.disabled` refuses single ones. The reply
goes to the request's response topic (MQTT 5, with its correlation data), otherwise to `replies/<verb>`. Every request
that is let in is answered exactly once.

    mosquitto_pub -t edgenode/v1/gateway-7/commands/snapshot -q 1 -m '{"args": {"camera": "line_1"}}'

| verb | arguments | reply's `data` | what |
|---|---|---|---|
"""
_CODES = """
Codes of errors: `unknown_verb` `disabled` `too_large` `invalid` `expired` `busy` `stopping` `unknown_camera`
`unknown_rule` `unknown_model` `bad_arguments` `no_frame` `retry` (try again later) `failed` `refused`
`internal` (see the node's log).
"""


def topics_page() -> str:
    schemas, examples = json_schemas(), example_messages()
    described_schemas(schemas)
    parts = [_HEAD]
    for channel in CHANNELS:
        message = examples[channel.member]
        parts.append(
            f"| `{_shown(channel)}` | {'yes' if message.retain else 'no'} | {message.qos} "
            f"| {expiry(channel, message)} | {cell(channel.text)} |\n"
        )
    for channel in CHANNELS:
        parts += _section(channel, examples[channel.member], schemas)
    parts += [_COMMANDS]
    parts += [f"| `{each.verb}` | {each.args} | {each.data} | {each.text} |\n" for each in COMMANDS]
    return "".join([*parts, _CODES])


def described_schemas(schemas: dict[str, JsonObject]) -> None:
    """Adds to each property what the payload's source says of it."""
    docs = attribute_docstrings(payloads_module) | attribute_docstrings(model_payloads_module)
    for name, schema in schemas.items():
        _describe(PAYLOADS[name].__name__, schema, docs)
        for inner, definition in schema.get("$defs", {}).items():
            _describe(inner, definition, docs)


def _describe(model: str, schema: JsonObject, docs: dict[tuple[str, str], str]) -> None:
    for key, value in schema.get("properties", {}).items():
        if (model, key) in docs:
            value["description"] = docs[model, key]


def expiry(channel: Channel, message: Message) -> str:
    if channel.outbox:
        return "what remains of `outbox.max_age`"
    if channel.direction == "receive":
        return "as the sender says"
    return f"{message.expiry_s} s" if message.expiry_s is not None else "none"


def _shown(channel: Channel) -> str:
    return channel.address.replace("{", "<").replace("}", ">")


def _section(channel: Channel, message: Message, schemas: dict[str, JsonObject]) -> list[str]:
    parts = [f"\n## `{_shown(channel)}`\n\n{channel.text}\n"]
    topic = message.topic.removeprefix(f"{TOPICS.root}/")
    if channel.payload is None:
        return [*parts, f"\nA JPEG, as on `{topic}`.\n"]
    schema = schemas[channel.payload]
    parts.append("\n| key | type | what |\n|---|---|---|\n")
    parts += _rows("", schema, schema)
    shown = json.dumps(json.loads(message.payload), indent=2, ensure_ascii=False)
    return [*parts, f"\nOn `{topic}`:\n\n```json\n{shown}\n```\n"]


def _rows(prefix: str, schema: JsonObject, root: JsonObject) -> list[str]:
    rows = []
    for key, value in schema["properties"].items():
        kind, below = _kind(value, root)
        rows.append(f"| `{prefix}{key}` | {cell(kind)} | {cell(value.get('description', ''))} |\n")
        if below is not None and below["title"] != "ModelReference":
            rows += _rows(f"{prefix}{key}.", below, root)
    return rows


def _kind(schema: JsonObject, root: JsonObject) -> tuple[str, JsonObject | None]:
    """In words, and the object whose keys follow."""
    if "$ref" in schema:
        below: JsonObject = root["$defs"][schema["$ref"].rpartition("/")[2]]
        name = "`name` `version` `sha256`" if below["title"] == "ModelReference" else "object"
        return name, below
    if "anyOf" in schema:
        options = [_kind(each, root) for each in schema["anyOf"]]
        below_any = next((below for _, below in options if below is not None), None)
        return " or ".join(kind for kind, _ in options), below_any
    if "enum" in schema:
        return " ".join(f"`{each}`" for each in schema["enum"]), None
    if "const" in schema:
        return f"`{schema['const']}`", None
    if schema["type"] == "array":
        kind, below_item = _kind(schema["items"], root)
        return f"list of {kind}s", below_item
    words: dict[Any, str] = {"string": "text", "integer": "integer", "number": "number", "object": "object"}
    if schema.get("format") == "date-time":
        return "time", None
    return words.get(schema["type"], str(schema["type"])), None
