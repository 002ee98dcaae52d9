"""Events keep their order while pictures are made, and nobody who decides waits for a JPEG."""

from __future__ import annotations

import hashlib
import threading
import time
from datetime import UTC, datetime
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgenode.evidence_lane import MOST_PICTURES, EvidenceLane
from edgenode.records import Event, EventType, Severity

DEADLINE_S = 30.0
AT = datetime(2026, 1, 1, tzinfo=UTC)


def event(number: int) -> Event:
    return Event(
        str(number), 0, EventType.START, "rule", Severity.INFO, "cam", "r", "defect", 0.9, AT, None, AT, "why"
    )  # fmt: skip


class Receiver:
    def __init__(self) -> None:
        self.got: list[tuple[str, str | None, bytes | None]] = []
        self.threads: list[str] = []

    def send(self, event: Event, jpeg: bytes | None) -> None:
        self.got.append((event.id, event.evidence, jpeg))
        self.threads.append(threading.current_thread().name)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(["none", "picture", "fails"]), max_size=25))
def test_every_event_is_sent_once_in_order_with_its_own_picture(kinds: list[str]) -> None:
    receiver = Receiver()
    lane = EvidenceLane(receiver.send)
    for number, kind in enumerate(kinds):
        jpeg = str(number).encode() if kind == "picture" else None
        lane.put(event(number), None if kind == "none" else partial(lambda made: made, jpeg))
    assert lane.flush(DEADLINE_S)
    assert lane.close(DEADLINE_S)
    assert [each[0] for each in receiver.got] == [str(number) for number in range(len(kinds))]
    for (_, evidence, jpeg), kind in zip(receiver.got, kinds, strict=True):
        assert (jpeg is not None) == (kind == "picture")
        assert evidence == (hashlib.sha256(jpeg).hexdigest() if jpeg is not None else None)


def test_without_a_picture_on_its_way_nothing_is_handed_to_another_thread() -> None:
    receiver = Receiver()
    lane = EvidenceLane(receiver.send)
    lane.put(event(0), None)
    assert receiver.threads == [threading.current_thread().name]
    assert lane.close(DEADLINE_S)


def test_who_decides_does_not_wait_for_a_picture_but_for_room_beyond_some() -> None:
    receiver, go_on = Receiver(), threading.Event()
    lane = EvidenceLane(receiver.send)

    def slow() -> bytes:
        assert go_on.wait(DEADLINE_S)
        return b"jpeg"

    for number in range(MOST_PICTURES):
        lane.put(event(number), slow)
    assert receiver.got == []
    assert not lane.flush(0.0)
    putting = threading.Thread(target=lambda: lane.put(event(MOST_PICTURES), slow))
    putting.start()
    assert putting.is_alive(), "there is no room for another frame"
    go_on.set()
    putting.join(DEADLINE_S)
    assert not putting.is_alive()
    assert lane.close(DEADLINE_S)
    assert [each[0] for each in receiver.got] == [str(number) for number in range(MOST_PICTURES + 1)]


def test_a_picture_that_is_never_done_makes_the_heartbeat_grow_old() -> None:
    """Events wait behind it: the node must not take the thread for one that has nothing to do."""
    receiver, begun, go_on = Receiver(), threading.Event(), threading.Event()
    lane = EvidenceLane(receiver.send)

    def stuck() -> bytes:
        begun.set()
        assert go_on.wait(DEADLINE_S)
        return b"jpeg"

    lane.put(event(0), stuck)
    assert begun.wait(DEADLINE_S)
    beat_s = lane.heartbeat_s
    assert lane.heartbeat_s == beat_s <= time.monotonic()
    go_on.set()
    assert lane.flush(DEADLINE_S)
    assert lane.heartbeat_s > beat_s
    assert lane.close(DEADLINE_S)


def test_a_picture_that_raises_costs_its_event_and_no_other(caplog: pytest.LogCaptureFixture) -> None:
    receiver = Receiver()
    lane = EvidenceLane(receiver.send)

    def broken() -> bytes:
        raise ValueError("no")

    lane.put(event(0), broken)
    lane.put(event(1), lambda: b"jpeg")
    assert lane.close(DEADLINE_S)
    assert [each[0] for each in receiver.got] == ["0", "1"]
    assert receiver.got[0][2] is None
    assert "picture could not be made" in caplog.text


def test_what_comes_after_the_end_is_sent_by_who_brings_it() -> None:
    receiver = Receiver()
    lane = EvidenceLane(receiver.send)
    lane.put(event(0), lambda: b"first")
    assert lane.close(DEADLINE_S)
    lane.put(event(1), lambda: b"second")
    assert [each[2] for each in receiver.got] == [b"first", b"second"]
