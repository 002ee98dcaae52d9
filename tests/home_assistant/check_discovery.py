"""Run by `make test-home-assistant` inside Home Assistant's own environment: its MQTT integration gets what a node
announces, must make every entity of it, say no word of warning, and forget what is taken back."""

from __future__ import annotations

import json
import logging
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from homeassistant.core import HomeAssistant
from homeassistant.helpers import device_registry, entity_registry
from pytest_homeassistant_custom_component.common import async_fire_mqtt_message

STEPS = dict(json.loads(Path(os.environ["EDGENODE_HA_MESSAGES"]).read_text(encoding="utf-8")))


@pytest.fixture
def expected_lingering_timers() -> bool:
    """The integration's own housekeeping goes on until the process ends."""
    return True


async def send(hass: HomeAssistant, step: str) -> None:
    for topic, payload in STEPS[step]:
        async_fire_mqtt_message(hass, topic, payload)
        for _ in range(3):  # what is taken away goes in several steps
            await hass.async_block_till_done(wait_background_tasks=True)


def wanted(step: str) -> Counter[str]:
    """Platforms of what `step` announces; a component with its platform alone is taken back."""
    bodies = [json.loads(payload) for _, payload in STEPS[step] if payload]
    components = [each for body in bodies for each in body["components"].values()]
    return Counter(each["platform"] for each in components if len(each) > 1)


def made(hass: HomeAssistant) -> Counter[str]:
    entities = entity_registry.async_get(hass).entities.values()
    return Counter(entity.domain for entity in entities if entity.platform == "mqtt")


async def test_what_a_node_announces_becomes_entities_and_goes_again(
    hass: HomeAssistant, mqtt_mock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.clear()
    await send(hass, "announce")
    assert made(hass) == wanted("announce")
    devices = device_registry.async_get(hass).devices
    ours = [each for each in devices.values() if each.manufacturer == "edgenode"]
    assert len(ours) == 3
    (node,) = [each for each in ours if each.via_device_id is None]
    assert {each.via_device_id for each in ours if each is not node} == {node.id}

    await send(hass, "states")
    states = {state.entity_id: state for state in hass.states.async_all()}
    assert len(states) >= sum(wanted("announce").values())
    shown = {entity_id: state.state for entity_id, state in states.items()}
    assert "defect" in shown.values(), shown
    (event,) = [each for each in states.values() if each.domain == "event" and each.state not in ("unknown",)]
    assert event.attributes["event_type"] in ("start", "update", "end")
    on = [
        entity_id
        for entity_id, state in shown.items()
        if entity_id.endswith("connectivity") and state == "on"
    ]
    assert len(on) == 3, shown
    unavailable = [entity_id for entity_id, state in shown.items() if state == "unavailable"]
    assert not unavailable

    await send(hass, "fewer")
    assert made(hass) == wanted("fewer")
    assert len([each for each in devices.values() if each.manufacturer == "edgenode"]) == 2
    await send(hass, "none")
    assert made(hass) == Counter()
    assert not [each for each in devices.values() if each.manufacturer == "edgenode"]
    said = [
        record.getMessage()
        for record in caplog.records
        if record.levelno >= logging.WARNING
        and record.name.startswith("homeassistant")
        and record.name != "homeassistant.helpers.frame"  # of its own code, now and then
    ]
    # answers the empty message that takes a device from the broker when its entities are gone
    assert [text for text in said if not text.startswith("No device components to cleanup")] == []
