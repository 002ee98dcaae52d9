"""Discovery in the form Home Assistant accepts, and how it is taken back."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgenode.delivery.home_assistant import (
    CameraFacts,
    NodeFacts,
    RegionFacts,
    RuleFacts,
    announced,
    discovery,
    discovery_messages,
)
from edgenode.delivery.topics import Topics
from edgenode.records import CameraStatus

FACTS = NodeFacts(
    topics=Topics("edgenode/v1", "gateway-7"),
    version="0.1.0",
    cameras=(
        CameraFacts("line_1", (RegionFacts("belt", ("ok", "defect", "unknown", "invalid")),)),
        CameraFacts("gate", (RegionFacts("frame", ()),)),
    ),
    rules=(RuleFacts("defective_part", snapshot=True), RuleFacts("slow_line", snapshot=False)),
)
COMMON = {
    "platform", "unique_id", "name", "availability", "availability_mode", "entity_category", "qos",
    "json_attributes_topic",
}  # fmt: skip
REQUIRED = {
    "binary_sensor": {"state_topic"},
    "sensor": {"state_topic"},
    "event": {"state_topic", "event_types"},
    "image": {"image_topic"},
    "button": {"command_topic"},
}
OPTIONAL = {
    "binary_sensor": {"device_class", "value_template"},
    "sensor": {"device_class", "value_template", "options"},
    "event": set(),
    "image": {"content_type"},
    "button": {"payload_press"},
}
"""Of home-assistant.io/integrations/<platform>.mqtt: keys beyond these would be refused or ignored."""
Device = dict[str, Any]


def devices() -> list[Device]:
    return list(discovery(FACTS).values())


def entities() -> list[dict[str, Any]]:
    return [entity for device in devices() for entity in device["components"].values()]


def test_there_is_one_device_for_the_node_and_one_for_each_camera() -> None:
    assert list(discovery(FACTS)) == [
        "homeassistant/device/gateway-7/config",
        "homeassistant/device/gateway-7/line_1/config",
        "homeassistant/device/gateway-7/gate/config",
    ]
    node, *cameras = [device["device"] for device in devices()]
    assert {camera["via_device"] for camera in cameras} == set(node["identifiers"])
    assert len({device["identifiers"][0] for device in (node, *cameras)}) == 3


def test_every_topic_has_the_form_that_home_assistant_listens_to() -> None:
    form = re.compile(r"homeassistant/device/(?:[a-zA-Z0-9_-]+/)?[a-zA-Z0-9_-]+/config")
    assert all(form.fullmatch(topic) for topic in discovery(FACTS))


def test_every_device_names_itself_and_its_origin() -> None:
    for device in devices():
        assert set(device) == {"device", "origin", "qos", "components"}
        assert device["device"]["identifiers"]
        assert device["origin"]["name"]


def test_every_entity_has_the_keys_of_its_platform_and_no_others() -> None:
    for entity in entities():
        platform = entity["platform"]
        keys = set(entity)
        assert keys >= REQUIRED[platform] | {"platform", "unique_id", "name"}
        assert keys <= REQUIRED[platform] | OPTIONAL[platform] | COMMON


def test_unique_ids_are_unique() -> None:
    ids = [entity["unique_id"] for entity in entities()]
    assert len(set(ids)) == len(ids)


def test_an_enumeration_has_options_and_options_need_an_enumeration() -> None:
    for entity in entities():
        assert (entity.get("device_class") == "enum") == ("options" in entity)
    belt = discovery(FACTS)["homeassistant/device/gateway-7/line_1/config"]["components"]["region_belt"]
    assert belt["options"] == ["ok", "defect", "unknown", "invalid"]


def test_what_tells_of_a_lost_connection_does_not_become_unavailable_by_it() -> None:
    node, camera, _ = devices()
    assert "availability" not in node["components"]["connectivity"]
    assert [each["topic"] for each in camera["components"]["connectivity"]["availability"]] == [
        FACTS.topics.state
    ]
    assert len(camera["components"]["region_belt"]["availability"]) == 2


def test_topics_are_those_the_node_publishes_on() -> None:
    node, line, _ = devices()
    assert node["components"]["rule_defective_part"]["state_topic"] == FACTS.topics.event("defective_part")
    assert node["components"]["rule_defective_part"]["event_types"] == ["start", "update", "end"]
    assert node["components"]["evidence_defective_part"]["image_topic"] == FACTS.topics.event_snapshot(
        "defective_part"
    )
    assert "evidence_slow_line" not in node["components"]
    assert line["components"]["snapshot"]["image_topic"] == FACTS.topics.camera_snapshot("line_1")
    assert json.loads(line["components"]["take_snapshot"]["payload_press"]) == {"args": {"camera": "line_1"}}


def shown(template: str, state: str) -> str:
    """What Home Assistant makes of a state: its templates are Jinja's, with the payload as `value_json`."""
    jinja2 = pytest.importorskip("jinja2")
    return str(jinja2.Template(template).render(value_json={"state": state}))


@pytest.mark.parametrize(
    ("state", "connected", "problem"),
    [
        (CameraStatus.ONLINE, "ON", "OFF"),
        (CameraStatus.STALE, "ON", "ON"),
        (CameraStatus.OFFLINE, "OFF", "ON"),
        (CameraStatus.DISABLED, "OFF", "OFF"),
        (CameraStatus.FAILED, "OFF", "ON"),
        (CameraStatus.FROZEN, "ON", "ON"),
        (CameraStatus.BLIND, "ON", "ON"),
        (CameraStatus.MOVED, "ON", "ON"),
        (CameraStatus.ENDED, "ON", "OFF"),
    ],
)
def test_a_camera_in_each_state(state: CameraStatus, connected: str, problem: str) -> None:
    camera = devices()[1]["components"]
    assert shown(camera["connectivity"]["value_template"], state.value) == connected
    assert shown(camera["problem"]["value_template"], state.value) == problem
    availability = camera["region_belt"]["availability"][1]
    available = "online" if connected == "ON" else "offline"
    assert shown(availability["value_template"], state.value) == available
    assert available in (availability["payload_available"], availability["payload_not_available"])


@pytest.mark.parametrize(
    ("state", "connected", "problem", "available"),
    [
        ("online", "ON", "OFF", "online"),
        ("degraded", "ON", "ON", "online"),
        ("stopped", "OFF", "OFF", "offline"),
        ("offline", "OFF", "OFF", "offline"),
    ],
)
def test_a_node_in_each_state(state: str, connected: str, problem: str, available: str) -> None:
    node = devices()[0]["components"]
    assert state in node["state"]["options"]
    assert shown(node["connectivity"]["value_template"], state) == connected
    assert shown(node["problem"]["value_template"], state) == problem
    for entity in entities():
        if "availability" in entity:
            assert shown(entity["availability"][0]["value_template"], state) == available


def test_every_state_of_a_camera_is_tried_above() -> None:
    assert len(CameraStatus) == 9


def test_messages_are_retained() -> None:
    messages = discovery_messages(discovery(FACTS), {})
    assert all(message.retain and message.qos == 1 and message.payload for message in messages)


def test_a_camera_that_is_gone_is_emptied() -> None:
    before = announced(discovery(FACTS))
    after = discovery(replace(FACTS, cameras=FACTS.cameras[:1]))
    empty = [message.topic for message in discovery_messages(after, before) if not message.payload]
    assert empty == ["homeassistant/device/gateway-7/gate/config"]


def test_a_rule_that_is_gone_leaves_its_platform_alone() -> None:
    before = announced(discovery(FACTS))
    node = discovery_messages(discovery(replace(FACTS, rules=FACTS.rules[:1])), before)[0]
    assert json.loads(node.payload)["components"]["rule_slow_line"] == {"platform": "event"}


@given(
    st.lists(st.from_regex(r"[a-z][a-z0-9_]{0,5}", fullmatch=True), unique=True, max_size=4),
    st.lists(st.from_regex(r"[a-z][a-z0-9_]{0,5}", fullmatch=True), unique=True, max_size=4),
)
def test_whatever_was_announced_is_either_wanted_or_taken_back(first: list[str], second: list[str]) -> None:
    def facts(names: list[str]) -> NodeFacts:
        return replace(
            FACTS,
            cameras=tuple(CameraFacts(name, (RegionFacts(name, ()),)) for name in names),
            rules=tuple(RuleFacts(name, snapshot=True) for name in names),
        )

    before, wanted = announced(discovery(facts(first))), discovery(facts(second))
    said = {message.topic: message.payload for message in discovery_messages(wanted, before)}
    for topic, components in before.items():
        assert topic in said
        if topic not in wanted:
            assert said[topic] == b""
            continue
        body = json.loads(said[topic])["components"]
        for name, platform in components.items():
            assert body[name]["platform"] == platform
            assert (name in wanted[topic]["components"]) == (len(body[name]) > 1)


@pytest.mark.parametrize("base", ["edgenode/v1", "plant/vision"])
def test_the_base_topic_is_kept(base: str) -> None:
    facts = replace(FACTS, topics=Topics(base, "gateway-7"))
    text = json.dumps(discovery(facts))
    assert (f'"{base}/gateway-7/state"') in text
    assert ("edgenode/v1/" in text) == (base == "edgenode/v1")


def test_a_device_that_is_gone_loses_its_components_before_it_is_forgotten() -> None:
    """Home Assistant 2025.1 takes nothing away at an empty message on a topic with a level for the node."""
    everything = discovery(FACTS)
    topic = "homeassistant/device/gateway-7/gate/config"
    emptied, forgotten = discovery_messages({}, {topic: announced(everything)[topic]})
    body = json.loads(emptied.payload)
    assert body["device"] == {"identifiers": everything[topic]["device"]["identifiers"]}
    assert set(body["components"]) == set(everything[topic]["components"])
    assert all(set(each) == {"platform"} for each in body["components"].values())
    assert (emptied.topic, emptied.retain) == (topic, False)
    assert (forgotten.topic, forgotten.payload, forgotten.retain) == (topic, b"", True)
