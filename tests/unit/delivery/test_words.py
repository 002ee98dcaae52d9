"""Payloads, identities, limits of the mailbox and the small judgements around the link."""

from __future__ import annotations

import json
import threading
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edgenode.clock import ManualClock
from edgenode.delivery.identity import ClockCheck, ClockReading, Uuid7
from edgenode.delivery.link_options import QUICK_LOSSES, Suspicion
from edgenode.delivery.mailbox import MAX_EVENT_BYTES, MAX_EVENTS, Mailbox
from edgenode.delivery.messages import (
    Origin,
    classification_message,
    event_message,
    event_snapshot_message,
    info_message,
    state_message,
)
from edgenode.delivery.mqtt5_properties import PackedProperties
from edgenode.delivery.payloads import PAYLOADS, json_schemas
from edgenode.delivery.topics import Topics
from edgenode.records import Event, EventType, Message, ModelIdentity, Prediction, Severity

AT = datetime(2026, 11, 23, 20, 50, 37, 326000, tzinfo=UTC)
ORIGIN = Origin(Topics("edgenode/v1", "gateway-7"), "6f0c1d0a", "0.1.0", 812)
MODEL = ModelIdentity("surface", "3", "ab" * 32)


def an_event(number: int = 0, severity: Severity = Severity.WARNING) -> Event:
    return Event(
        f"id{number}", 0, EventType.START, "scratch", severity, "line_1", "belt", "defect", 0.91,
        AT, None, AT, "3 of 5", MODEL,
    )  # fmt: skip


def a_prediction(label: str = "defect", region: str = "belt") -> Prediction:
    return Prediction(
        "line_1",
        region,
        MODEL,
        ("ok", "defect"),
        np.array([0.25, 0.75], np.float32),
        label,
        0.75,
        9,
        1.0,
        AT,
        2,
    )


def test_an_event_is_the_same_bytes_every_time() -> None:
    message = event_message(ORIGIN, an_event(), 412, ClockReading("synchronised", 2.1e-5))
    assert message.payload == (
        b'{"schema":"edgenode/v1","id":"id0","n":0,"seq":412,"boot":"6f0c1d0a","node":"gateway-7",'
        b'"clock":"synchronised","clock_offset_s":0.000021,"rule":"scratch","event_type":"start","severity":"warning","camera":"line_1",'
        b'"region":"belt","label":"defect","probability":0.91,"value":null,'
        b'"started_at":"2026-11-23T20:50:37.326000Z","ended_at":null,"captured_at":"2026-11-23T20:50:37.326000Z",'
        b'"reason":"3 of 5","model":{"name":"surface","version":"3","sha256":"' + b"ab" * 32 + b'"},'
        b'"evidence":null,"snapshot_seq":null,"chain":null}'
    )
    assert (message.topic, message.qos, message.retain) == ("edgenode/v1/gateway-7/events/scratch", 1, False)
    assert dict(message.user_properties) == {
        "specversion": "1.0",
        "id": "id0-0",
        "source": "/edgenode/v1/gateway-7",
        "type": "edgenode.event.start",
        "time": "2026-11-23T20:50:37.326000Z",
    }


def test_times_of_other_zones_become_utc() -> None:
    message = state_message(ORIGIN, "online", "", AT.astimezone(tz=None))
    assert json.loads(message.payload)["since"] == "2026-11-23T20:50:37.326000Z"
    assert message.retain


def test_a_node_cannot_contradict_who_it_is() -> None:
    said = json.loads(info_message(ORIGIN, {"node": "other", "schema": "x", "cameras": ["line_1"]}).payload)
    assert (said["node"], said["schema"], said["cameras"]) == ("gateway-7", "edgenode/v1", ["line_1"])


def test_a_picture_names_its_event() -> None:
    message = event_snapshot_message(ORIGIN, an_event(), b"\xff\xd8", 7)
    assert (message.content_type, message.payload) == ("image/jpeg", b"\xff\xd8")
    assert ("event_id", "id0") in message.user_properties
    assert ("seq", "7") in message.user_properties


def test_every_payload_has_a_schema() -> None:
    schemas = json_schemas()
    assert set(schemas) == set(PAYLOADS)
    assert "schema" in schemas["event"]["properties"]
    assert schemas["event"]["properties"]["captured_at"] == {
        "format": "date-time",
        "title": "Captured At",
        "type": "string",
    }


def test_a_classification_is_light_and_short_lived() -> None:
    message = classification_message(ORIGIN.topics, a_prediction())
    assert (message.qos, message.retain, message.expiry_s) == (0, False, 30)
    assert json.loads(message.payload)["probabilities"] == {"ok": 0.25, "defect": 0.75}


TEXT = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Cn"], exclude_characters="\ufeff", max_codepoint=0xFFFD),
    max_size=80,
)
"""What paho's own reader lets through: no control characters and no byte order mark (the standard allows that one)."""


def test_a_zero_character_is_refused_before_the_broker_does() -> None:
    with pytest.raises(ValueError, match="zero"):
        PackedProperties(Message("t", b"x", user_properties=(("id", "a\0b"),)))


@given(
    expiry=st.none() | st.integers(0, 2**32 - 1),
    content=st.sampled_from(["", "application/json", "image/jpeg"]),
    pairs=st.lists(st.tuples(TEXT, TEXT), max_size=6),
    correlation=st.none() | st.binary(max_size=40),
)
def test_properties_are_what_paho_would_write(
    expiry: int | None, content: str, pairs: list[tuple[str, str]], correlation: bytes | None
) -> None:
    message = Message("t", b"x", 1, False, expiry, content, tuple(pairs), correlation)
    packed = PackedProperties(message).pack()
    read: Any = Properties(PacketTypes.PUBLISH)
    read.unpack(packed)
    assert getattr(read, "MessageExpiryInterval", None) == expiry
    assert getattr(read, "ContentType", "") == content
    assert [tuple(pair) for pair in getattr(read, "UserProperty", [])] == pairs
    assert getattr(read, "CorrelationData", None) == correlation


@given(steps=st.lists(st.integers(-3, 3), min_size=2, max_size=60))
def test_ids_sort_by_their_making_even_when_the_clock_steps_back(steps: list[int]) -> None:
    clock = ManualClock(AT)
    make = Uuid7(clock)
    ids = []
    for step in steps:
        clock.set(max(0.0, clock.monotonic() + step / 1000.0))
        ids.append(make())
    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)
    assert {uuid.UUID(each).version for each in ids} == {7}


def test_a_burst_in_one_millisecond_stays_in_order() -> None:
    make = Uuid7(ManualClock(AT))
    ids = [make() for _ in range(10_000)]
    assert ids == sorted(set(ids))


def test_without_the_kernels_word_the_flag_file_decides(tmp_path: Path) -> None:
    flag = tmp_path / "synchronized"
    clock = ManualClock()
    check = ClockCheck(clock, status_file=tmp_path / "missing", flag_file=flag)
    assert check.quality() == "unsynchronised"
    flag.touch()
    assert check.quality() == "unsynchronised"
    clock.advance(31.0)
    assert check.quality() == "synchronised"


def test_the_inbox_sheds_pictures_and_the_least_severe_first() -> None:
    box = Mailbox(threading.Event(), "off")
    box.put_event(an_event(0, Severity.CRITICAL), None, 0.0)
    for number in range(1, MAX_EVENTS + 10):
        box.put_event(an_event(number, Severity.INFO), None, 0.0)
    assert box.events_waiting == MAX_EVENTS
    assert box.take_lost_events() == 10
    taken = box.take_events(10_000, 2**30)
    assert taken[0].event.severity is Severity.CRITICAL
    assert taken[1].event.id == "id11"
    for number in range(3):
        box.put_event(an_event(number), b"x" * (MAX_EVENT_BYTES // 2), 0.0)
    assert [h.jpeg is None for h in box.take_events(10, 2**30)] == [True, True, False]


def test_classifications_on_change_and_once_a_second() -> None:
    box = Mailbox(threading.Event(), "on_change")
    said = []
    for now_s, label in [(0.0, "ok"), (0.2, "ok"), (0.4, "defect"), (0.9, "defect"), (1.5, "defect")]:
        box.put_prediction(a_prediction(label), now_s)
        while (prediction := box.take_prediction()) is not None:
            said.append((now_s, prediction.label))
    assert said == [(0.0, "ok"), (0.4, "defect"), (1.5, "defect")]
    box.put_prediction(a_prediction("ok"), 2.0)
    box.put_prediction(a_prediction("defect"), 2.1)
    newest = box.take_prediction()
    assert newest is not None
    assert newest.label == "defect"
    assert box.take_prediction() is None


@pytest.mark.parametrize(("policy", "count"), [("all", 3), ("off", 0)])
def test_classification_policies(policy: Any, count: int) -> None:
    box = Mailbox(threading.Event(), policy)
    for _ in range(3):
        box.put_prediction(a_prediction(), 0.0)
    assert len([1 for _ in iter(box.take_prediction, None)]) == count


def test_a_restarting_broker_is_no_second_node() -> None:
    suspicion = Suspicion(15.0)
    for _ in range(20):
        assert not suspicion.lost(1.0, 0, closed=True)
        suspicion.alone()
    lost = [suspicion.lost(1.0, 0, closed=True) for _ in range(QUICK_LOSSES)]
    assert lost == [False] * (QUICK_LOSSES - 1) + [True]
    assert not suspicion.lost(60.0, 0, closed=True)


def test_a_poor_network_is_no_second_node() -> None:
    suspicion = Suspicion(15.0)
    assert not any(suspicion.lost(1.0, 0, closed=False) for _ in range(50))


def test_a_broker_that_gives_another_reason_is_no_second_node() -> None:
    suspicion = Suspicion(15.0)
    assert not any(suspicion.lost(1.0, 0x8B, closed=True) for _ in range(50))


def test_a_broker_that_tells_of_the_second_node_is_believed_at_once() -> None:
    assert Suspicion(15.0).lost(3600.0, 0x8E, closed=True)


def test_the_state_of_a_node_is_one_of_the_known_words() -> None:
    with pytest.raises(ValueError, match="state"):
        state_message(ORIGIN, "fine", "", AT + timedelta(seconds=1))
