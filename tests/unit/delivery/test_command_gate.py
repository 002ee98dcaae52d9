"""The gate of commands: what it lets in, by size, form, rate and setting. Replies, abuse: tests/system/delivery."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import paho.mqtt.client as paho
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edgenode.clock import ManualClock
from edgenode.delivery.commands import BURST_S, MAX_REQUEST_BYTES, CommandRequest, CommandWorker, Gate
from edgenode.delivery.link_options import Received, received
from edgenode.delivery.topics import Topics
from edgenode.node.commands import VERBS
from edgenode.records import JsonObject, Message
from edgenode.settings import CommandSettings

TOPICS = Topics("edgenode/v1", "gateway-7")
CANARY = "hunter2-canary"


class Tally:
    def __init__(self) -> None:
        self.commands: list[tuple[str, bool]] = []

    def command(self, verb: str, ok: bool) -> None:
        self.commands.append((verb, ok))


def gate(clock: ManualClock | None = None, **limits: object) -> Gate:
    return Gate(
        TOPICS, VERBS, Tally(), clock if clock is not None else ManualClock(), CommandSettings(**limits)
    )


def asked(verb: str, payload: bytes = b"{}", **more: object) -> Received:
    return Received(**{"topic": TOPICS.command(verb), "payload": payload, "retain": False, "qos": 1, **more})


def code(answer: CommandRequest | Message | None) -> str:
    assert isinstance(answer, Message)
    return str(json.loads(answer.payload)["error"]["code"])


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_every_command_can_be_switched_off_by_itself(verb: str) -> None:
    one = gate(disabled=[verb])
    assert code(one.admit(asked(verb))) == "disabled"
    assert all(isinstance(one.admit(asked(other)), CommandRequest) for other in VERBS - {verb})
    assert code(gate(disabled=["all"]).admit(asked(verb))) == "disabled"


@pytest.mark.parametrize("rate", [0.5, 3.0, 10.0, 100.0])
def test_no_more_than_the_rate_is_let_in(rate: float) -> None:
    clock = ManualClock()
    limited = gate(clock, rate=rate)
    admitted = 0
    for step in range(6000):
        clock.set(step / 100.0)
        admitted += limited.admit(asked("explain")) is not None
    assert 60.0 * rate * 0.95 <= admitted <= 60.0 * rate + max(1.0, BURST_S * rate)
    assert limited.unanswered == 6000 - admitted


def test_refused_requests_use_up_the_rate_too() -> None:
    limited = gate(rate=1.0)
    answers = [limited.admit(asked("nonsense")) for _ in range(10)]
    assert len([answer for answer in answers if answer is not None]) == 2


REQUESTS = {
    "topic": st.one_of(st.text(), st.sampled_from(sorted(VERBS)).map(TOPICS.command)),
    "payload": st.one_of(
        st.binary(max_size=200),
        st.recursive(st.none() | st.floats() | st.text(max_size=9), lambda each: st.lists(each) | st.dictionaries(
            st.sampled_from(["args", "transaction", "expires_at", "x"]), each)).map(lambda v: json.dumps(v).encode()),
        st.integers(1, 4000).map(lambda depth: b'{"args":' + b"[" * depth),
    ),
    "retain": st.booleans(),
    "response": st.one_of(st.none(), st.text(max_size=40)),
    "correlation": st.one_of(st.none(), st.binary(max_size=20)),
    "expiry": st.one_of(st.none(), st.integers(0, 2**32 - 1)),
}  # fmt: skip


def harmless(
    topic: str,
    payload: bytes,
    retain: bool,
    response: str | None,
    correlation: bytes | None,
    expiry: int | None,
) -> None:
    answer = gate().admit(Received(topic, payload, retain, 1, response, correlation, expiry))
    if isinstance(answer, Message):
        assert not answer.topic.startswith(TOPICS.command(""))
        assert json.loads(answer.payload)["status"] == "error"
    if isinstance(answer, CommandRequest):
        assert answer.verb in VERBS
        assert not retain


@given(**REQUESTS)
def test_nothing_that_arrives_harms_the_gate(**request: object) -> None:
    harmless(**request)  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.timeout(4 * 3600)
@settings(max_examples=100_000, deadline=None, suppress_health_check=list(HealthCheck))
@given(**REQUESTS)
def test_a_hundred_thousand_that_arrive_harm_it_neither(**request: object) -> None:
    harmless(**request)  # type: ignore[arg-type]


def test_an_old_request_is_not_done_later() -> None:
    clock = ManualClock()
    body = {"transaction": "1", "expires_at": (clock.now() + timedelta(seconds=5)).isoformat()}
    assert isinstance(gate(clock).admit(asked("reload", json.dumps(body).encode())), CommandRequest)
    body["expires_at"] = "0001-01-01T00:00:00+00:00"
    assert code(gate(clock).admit(asked("reload", json.dumps(body).encode()))) == "expired"
    body["expires_at"] = "9999-12-31T23:59:59+00:00"
    assert isinstance(gate(clock).admit(asked("reload", json.dumps(body).encode())), CommandRequest)
    body["expires_at"] = datetime(2030, 1, 1, tzinfo=UTC).replace(tzinfo=None).isoformat()
    assert code(gate(clock).admit(asked("reload", json.dumps(body).encode()))) == "invalid"


def test_what_is_done_and_what_is_refused_stands_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    replies: list[Message] = []
    run = worker({"explain": lambda args: {}}, replies)
    request = gate().admit(
        asked("explain", b'{"args": {"rule": "lit\\nCRITICAL forged"}, "transaction": "7"}')
    )
    assert isinstance(request, CommandRequest)
    run.offer(request)
    run.start()
    run.stop()
    assert run.join(60.0)
    gate().admit(asked("explain", b"x" * (MAX_REQUEST_BYTES + 1)))
    gate().admit(asked("explain", retain=True))
    lines = [record.getMessage() for record in caplog.records]
    assert any('"rule": "lit\\nCRITICAL forged"' in line and '"7"' in line for line in lines)
    assert any("explain was refused: too_large" in line for line in lines)
    assert any("was dropped" in line for line in lines)
    assert not any("\n" in line for line in lines)


def worker(verbs: dict[str, Callable[[JsonObject], JsonObject]], replies: list[Message]) -> CommandWorker:
    return CommandWorker(verbs, replies.append, Tally(), ManualClock())


@pytest.mark.parametrize(
    ("topic", "payload", "properties", "kept"),
    [
        (b"a/commands/x", b"{}", {}, 2),
        (b"a/commands/x", b"x" * 1_000_000, {}, 8192),
        (b"a" * 60_000, b"{}", {}, None),
        (b"a/commands/x", b"{}", {"ResponseTopic": "r" * 60_000}, None),
        (b"a/commands/x", b"{}", {"CorrelationData": b"c" * 60_000}, None),
        (b"\xff\xfe", b"{}", {}, None),
    ],
)
def test_little_of_what_is_too_large_is_kept(
    topic: bytes, payload: bytes, properties: dict[str, object], kept: int | None
) -> None:
    message = paho.MQTTMessage(topic=topic)
    message.payload, message.qos = payload, 1
    message.properties = Properties(PacketTypes.PUBLISH)
    for name, value in properties.items():
        setattr(message.properties, name, value)
    told = received(message)
    assert (None if told is None else len(told.payload)) == kept
    assert kept != 8192 or code(gate().admit(asked("explain", told.payload if told else b""))) == "too_large"
