"""Home Assistant's MQTT discovery, device based (Home Assistant 2024.12 and later): pure functions from what a
node has to the retained messages that say so.

One message for the node and one for each camera. Every entity names its availability itself: a shared one
would make the connectivity sensor unavailable exactly when it has something to say.
https://www.home-assistant.io/integrations/mqtt/#device-discovery-payload
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from edgenode.delivery.messages import JPEG, forget_message
from edgenode.delivery.topics import OUTBOX_RULE, Topics
from edgenode.records import JsonObject, Message

PREFIX = "homeassistant"
_NODE_UP = "value_json.state in ['online', 'degraded']"
_CAMERA_UP = "value_json.state not in ['offline', 'disabled', 'failed']"
_CAMERA_WELL = "value_json.state in ['online', 'disabled', 'ended']"
_NODE_STATES = ("online", "degraded", "stopped", "offline")

Announced = dict[str, dict[str, str]]
"""Topic to {component: platform}: what Home Assistant was told, as little of it as taking it back needs."""


@dataclass(frozen=True, slots=True)
class RegionFacts:
    name: str
    states: tuple[str, ...]
    """Every label its state can have; empty where nobody knows them."""


@dataclass(frozen=True, slots=True)
class CameraFacts:
    name: str
    regions: tuple[RegionFacts, ...]


@dataclass(frozen=True, slots=True)
class RuleFacts:
    name: str
    snapshot: bool


@dataclass(frozen=True, slots=True)
class NodeFacts:
    topics: Topics
    version: str
    cameras: tuple[CameraFacts, ...]
    rules: tuple[RuleFacts, ...]

    @property
    def id(self) -> str:
        """Of the node's device; ids of its parts begin with it. Names have no dots, so ids cannot meet."""
        return f"edgenode.{self.topics.node}"


def discovery(facts: NodeFacts) -> dict[str, JsonObject]:
    """Topic to configuration: the node's device first, then its cameras'."""
    node = facts.topics.node
    found = {f"{PREFIX}/device/{node}/config": _node_device(facts)}
    for camera in facts.cameras:
        found[f"{PREFIX}/device/{node}/{camera.name}/config"] = _camera_device(facts, camera)
    return found


def announced(wanted: Mapping[str, JsonObject]) -> Announced:
    return {
        topic: {name: entity["platform"] for name, entity in device["components"].items()}
        for topic, device in wanted.items()
    }


def discovery_messages(wanted: Mapping[str, JsonObject], before: Announced) -> list[Message]:
    """What turns the devices of `before` into the `wanted` ones.

    A component that is gone must stay with its platform alone: left out, Home Assistant would keep it. A device that
    is gone gets such a message of all its components, and then an empty one that takes it from the broker: the empty
    one alone takes away nothing (2025.1) where the topic has a level between `device` and the last, which access
    lists need; it is answered with a warning that there is nothing to clean up, which then is true.
    """
    messages: list[Message] = []
    for topic, components in before.items():
        if topic not in wanted:
            messages += [_emptied(topic, components), forget_message(topic)]
    for topic, device in wanted.items():
        gone = {
            name: {"platform": platform}
            for name, platform in before.get(topic, {}).items()
            if name not in device["components"]
        }
        body = {**device, "components": {**device["components"], **gone}}
        messages.append(Message(topic, json.dumps(body, ensure_ascii=False).encode(), qos=1, retain=True))
    return messages


def _emptied(topic: str, components: Mapping[str, str]) -> Message:
    """The device of `topic` without its components. Not kept by the broker."""
    names = topic.removeprefix(f"{PREFIX}/device/").removesuffix("/config").split("/")
    body = {
        "device": {"identifiers": [".".join(["edgenode", *names])]},
        "origin": {"name": "edgenode"},
        "components": {name: {"platform": platform} for name, platform in components.items()},
    }
    return Message(topic, json.dumps(body).encode(), qos=1, retain=False)


def _node_device(facts: NodeFacts) -> JsonObject:
    topics = facts.topics
    components: dict[str, JsonObject] = {
        "connectivity": {
            "platform": "binary_sensor",
            "name": "Connectivity",
            "device_class": "connectivity",
            "entity_category": "diagnostic",
            "state_topic": topics.state,
            "value_template": _on_if(_NODE_UP),
        },
        "problem": {
            "platform": "binary_sensor",
            "name": "Problem",
            "device_class": "problem",
            "state_topic": topics.state,
            "value_template": _on_if("value_json.state == 'degraded'"),
            "json_attributes_topic": topics.state,
            "availability": [_node_availability(topics)],
        },
        "state": {
            "platform": "sensor",
            "name": "State",
            "device_class": "enum",
            "options": list(_NODE_STATES),
            "entity_category": "diagnostic",
            "state_topic": topics.state,
            "value_template": "{{ value_json.state }}",
            "json_attributes_topic": topics.state,
        },
        "lost_messages": {
            "platform": "event",
            "name": "Lost messages",
            "entity_category": "diagnostic",
            "event_types": ["loss"],
            "state_topic": topics.event(OUTBOX_RULE),
            "availability": [_node_availability(topics)],
        },
    }
    for rule in facts.rules:
        components[f"rule_{rule.name}"] = {
            "platform": "event",
            "name": rule.name,
            "event_types": ["start", "update", "end"],
            "state_topic": topics.event(rule.name),
            "availability": [_node_availability(topics)],
        }
        if rule.snapshot:
            components[f"evidence_{rule.name}"] = {
                "platform": "image",
                "name": f"{rule.name} evidence",
                "content_type": JPEG,
                "image_topic": topics.event_snapshot(rule.name),
                "availability": [_node_availability(topics)],
            }
    about = {"identifiers": [facts.id], "name": topics.node}
    return _device(facts, about, facts.id, components)


def _camera_device(facts: NodeFacts, camera: CameraFacts) -> JsonObject:
    topics = facts.topics
    state = topics.camera_state(camera.name)
    node_only = [_node_availability(topics)]
    components: dict[str, JsonObject] = {
        "connectivity": {
            "platform": "binary_sensor",
            "name": "Connectivity",
            "device_class": "connectivity",
            "entity_category": "diagnostic",
            "state_topic": state,
            "value_template": _on_if(_CAMERA_UP),
            "json_attributes_topic": state,
            "availability": node_only,
        },
        "problem": {
            "platform": "binary_sensor",
            "name": "Problem",
            "device_class": "problem",
            "state_topic": state,
            "value_template": _on_if(f"not ({_CAMERA_WELL})"),
            "json_attributes_topic": state,
            "availability": node_only,
        },
        "snapshot": {
            "platform": "image",
            "name": "Snapshot",
            "content_type": JPEG,
            "image_topic": topics.camera_snapshot(camera.name),
            "availability": node_only,
        },
        "take_snapshot": {
            "platform": "button",
            "name": "Take snapshot",
            "command_topic": topics.command("snapshot"),
            "payload_press": json.dumps({"args": {"camera": camera.name}}),
            "availability": node_only,
        },
    }
    for region in camera.regions:
        components[f"region_{region.name}"] = _region_entity(topics, camera.name, region)
    identifier = f"{facts.id}.{camera.name}"
    about = {
        "identifiers": [identifier],
        "name": f"{topics.node} {camera.name}",
        "via_device": facts.id,
    }
    return _device(facts, about, identifier, components)


def _region_entity(topics: Topics, camera: str, region: RegionFacts) -> JsonObject:
    state = topics.region_state(camera, region.name)
    entity: JsonObject = {
        "platform": "sensor",
        "name": region.name,
        "state_topic": state,
        "value_template": "{{ value_json.label }}",
        "json_attributes_topic": state,
        "availability_mode": "all",
        "availability": [
            _node_availability(topics),
            _availability(topics.camera_state(camera), _CAMERA_UP),
        ],
    }
    if region.states:
        entity |= {"device_class": "enum", "options": list(region.states)}
    return entity


def _device(
    facts: NodeFacts, about: JsonObject, identifier: str, components: Mapping[str, JsonObject]
) -> JsonObject:
    return {
        "device": {**about, "manufacturer": "edgenode", "sw_version": facts.version},
        "origin": {"name": "edgenode", "sw_version": facts.version},
        "qos": 1,
        "components": {
            name: {**entity, "unique_id": f"{identifier}.{name}"} for name, entity in components.items()
        },
    }


def _node_availability(topics: Topics) -> JsonObject:
    return _availability(topics.state, _NODE_UP)


def _availability(topic: str, condition: str) -> JsonObject:
    return {
        "topic": topic,
        "value_template": f"{{{{ 'online' if {condition} else 'offline' }}}}",
        "payload_available": "online",
        "payload_not_available": "offline",
    }


def _on_if(condition: str) -> str:
    return f"{{{{ 'ON' if {condition} else 'OFF' }}}}"
