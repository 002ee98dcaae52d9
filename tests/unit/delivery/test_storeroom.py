"""How the publisher's thread uses the outbox: when it commits, and what it remembers to tell."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgenode.clock import ManualClock
from edgenode.delivery.identity import ClockCheck
from edgenode.delivery.mailbox import Mailbox
from edgenode.delivery.messages import Origin
from edgenode.delivery.outbox import Outbox
from edgenode.delivery.storeroom import BATCH_EVENTS, FEW_WAITING, Storeroom
from edgenode.delivery.topics import Topics
from edgenode.errors import OutboxError
from edgenode.settings import OutboxSettings
from tests.system.delivery.stage import Tally, event


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> ManualClock:
    """A clock that is 40 ms further after every commit."""
    clock = ManualClock()
    append = Outbox.append_many

    def slowly(self: Outbox, drafts: object) -> list[int]:
        clock.advance(0.04)
        return append(self, drafts)  # type: ignore[arg-type]

    monkeypatch.setattr(Outbox, "append_many", slowly)
    return clock


@pytest.fixture
def room(slow: ManualClock, tmp_path: Path) -> Iterator[tuple[Storeroom, Mailbox]]:
    mailbox = Mailbox(threading.Event(), "off")
    origin = Origin(Topics("edgenode/v1", "gateway-7"), "boot", "0", 1)
    room = Storeroom(tmp_path, OutboxSettings(), origin, ClockCheck(slow), mailbox, Tally(), slow)
    yield room, mailbox
    room.close()


def test_a_slow_disk_leaves_time_for_sending(slow: ManualClock, room: tuple[Storeroom, Mailbox]) -> None:
    storeroom, mailbox = room

    def put(count: int) -> None:
        for number in range(count):
            mailbox.put_event(event(number), None, slow.monotonic())

    put(FEW_WAITING - 1)
    storeroom.store()
    put(1)
    storeroom.store()
    assert mailbox.events_waiting == 0, "next to nothing is to be sent"
    put(10)
    storeroom.store()
    assert mailbox.events_waiting == 10, "twice the commit's time belongs to sending"
    assert storeroom.commit_in_s == pytest.approx(0.08)
    slow.advance(0.09)
    storeroom.store()
    assert mailbox.events_waiting == 0
    put(BATCH_EVENTS + 3)
    storeroom.store()
    assert mailbox.events_waiting == 3, "a full batch waits for nothing"


def test_events_that_cannot_be_stored_after_one_that_never_can_keep_their_order(
    room: tuple[Storeroom, Mailbox], monkeypatch: pytest.MonkeyPatch
) -> None:
    storeroom, mailbox = room

    def full(self: Outbox, drafts: list[object]) -> list[int]:
        # several: one of them cannot be put into words; alone: the disk is full
        raise RuntimeError("no words") if len(drafts) > 1 else OutboxError("outbox: full")

    for number in range(3):
        mailbox.put_event(event(number), None, 0.0)
    with monkeypatch.context() as patch:
        patch.setattr(Outbox, "append_many", full)
        storeroom.store()
    waiting = mailbox.take_events(10, 10**6)
    assert [each.event.id for each in waiting] == [event(number).id for number in range(3)]
