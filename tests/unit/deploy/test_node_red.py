"""The example flow is whole, and speaks of topics and commands that exist."""

from __future__ import annotations

import json
from typing import Any

import pytest

from edgenode.delivery.topics import Topics
from scripts.reference.__main__ import ROOT
from scripts.reference.examples import example_messages
from scripts.reference.inventory import COMMANDS

FLOW = json.loads((ROOT / "deploy/node-red/flows.json").read_text(encoding="utf-8"))
NODES: dict[str, dict[str, Any]] = {node["id"]: node for node in FLOW}
WITH_NODE_RED = {
    "tab", "comment", "mqtt-broker", "mqtt in", "mqtt out", "function", "switch", "change", "debug", "inject",
}  # fmt: skip
"""Of nodes.nodered.org: these come with Node-RED itself."""
OUTPUTS = {"mqtt in": 1, "inject": 1, "change": 1, "debug": 0, "mqtt out": 0, "comment": 0}


def fits(pattern: str, topic: str) -> bool:
    """Whether an MQTT filter without `#` covers a topic."""
    levels, given = pattern.split("/"), topic.split("/")
    return len(levels) == len(given) and all(a in ("+", b) for a, b in zip(levels, given, strict=True))


def test_every_wire_leads_to_a_node_of_the_tab() -> None:
    assert len(NODES) == len(FLOW)
    (tab,) = [node["id"] for node in FLOW if node["type"] == "tab"]
    for node in FLOW:
        assert node["type"] in WITH_NODE_RED, node
        if node["type"] in ("tab", "mqtt-broker"):
            continue
        assert node["z"] == tab
        assert len(node["wires"]) == node.get("outputs", OUTPUTS.get(node["type"])), node["id"]
        for target in (target for output in node["wires"] for target in output):
            assert NODES[target]["type"] not in ("tab", "mqtt-broker", "mqtt in", "inject", "comment")
        if node["type"].startswith("mqtt"):
            assert NODES[node["broker"]]["type"] == "mqtt-broker"


@pytest.mark.parametrize(
    "node", [node for node in FLOW if node["type"] == "mqtt in"], ids=lambda node: node["id"]
)
def test_what_is_subscribed_to_is_published(node: dict[str, Any]) -> None:
    topics = Topics("edgenode/v1", "gateway-7")
    published = {
        "json": [topics.event("red_light"), topics.region_state("line_1", "belt"), topics.reply("snapshot")],
        "buffer": [topics.camera_snapshot("line_1")],
    }
    assert len([topic for topic in published[node["datatype"]] if fits(node["topic"], topic)]) == 1


def test_the_command_exists_and_is_not_retained() -> None:
    (change,) = [node for node in FLOW if node["type"] == "change" and "commands" in json.dumps(node)]
    topic, payload = (rule["to"] for rule in change["rules"])
    command = next(
        each for each in COMMANDS if Topics("edgenode/v1", "gateway-7").command(each.verb) == topic
    )
    assert set(json.loads(payload)) == {"args"}
    assert all(f"`{name}`" in command.args for name in json.loads(payload)["args"])
    assert NODES["edgenode_command"]["retain"] == "false"


def test_the_fields_it_reads_are_in_the_payloads() -> None:
    messages = example_messages()
    examples = [json.loads(messages[name].payload) for name in ("event", "region_state")]
    assert {"id", "n", "event_type"} <= set(examples[0])
    assert {"label", "camera", "region"} <= set(examples[1])
