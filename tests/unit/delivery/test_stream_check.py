"""What the numbers of a stream prove: gaps, explanations, repetitions, contradictions."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from edgenode.delivery.seq_set import SeqSet, Span
from edgenode.delivery.stream_check import Stream, StreamCheck

BASE = "edgenode/v1"
ranges = st.lists(st.tuples(st.integers(1, 60), st.integers(0, 8)), max_size=20)


def of(spans: list[tuple[int, int]]) -> tuple[SeqSet, set[int]]:
    found, model = SeqSet(), set[int]()
    for first, length in spans:
        found.add(first, first + length)
        model |= set(range(first, first + length + 1))
    return found, model


@given(ranges, ranges)
def test_ranges_are_what_a_plain_set_would_be(
    here: list[tuple[int, int]], other: list[tuple[int, int]]
) -> None:
    found, model = of(here)
    explained, named = of(other)
    assert {seq for span in found for seq in range(span.first, span.last + 1)} == model
    assert all((seq in found) == (seq in model) for seq in range(80))
    spans = list(found)
    assert all(b.first > a.last + 1 for a, b in pairwise(spans)), "ranges that touch are one"
    gaps = {seq for span in found.gaps(explained) for seq in range(span.first, span.last + 1)}
    assert gaps == (set(range(min(model), max(model))) - model - named if model else set())


def event(seq: int, event_id: str = "", n: int = 0, boot: str = "b1", **more: Any) -> bytes:
    return json.dumps({"seq": seq, "id": event_id or f"e{seq}", "n": n, "boot": boot, **more}).encode()


def notice(seq: int, *lost: tuple[str, int | None, int | None, int | None]) -> bytes:
    named = [
        {"reason": reason, "count": count, "first_seq": first, "last_seq": last}
        for reason, count, first, last in lost
    ]
    return json.dumps({"seq": seq, "boot": "b1", "lost": named}).encode()


def stream(*payloads: bytes) -> Stream:
    check = StreamCheck(BASE)
    for payload in payloads:
        name = "_outbox" if b'"lost"' in payload else "lit"
        check.take(f"{BASE}/gateway-7/events/{name}", payload)
    assert check.strange == 0
    return check.streams["gateway-7"]


def test_a_whole_stream_from_wherever_it_begins_is_complete() -> None:
    found = stream(*(event(seq) for seq in range(41, 141)))
    assert found.complete
    assert (found.messages, found.seen.first, found.seen.last) == (100, 41, 140)


def test_a_gap_is_missing_until_it_is_filled_or_named() -> None:
    found = stream(event(1), event(2), event(6), event(7))
    assert found.missing == [Span(3, 5)]
    assert not found.complete
    found = stream(event(1), event(2), event(6), event(4), event(3), event(5))
    assert found.complete
    assert found.late == 3
    found = stream(event(1), event(6), notice(7, ("evicted", 3, 2, 4)), event(8))
    assert found.missing == [Span(5, 5)]
    found = stream(event(1), event(6), notice(7, ("evicted", 3, 2, 4), ("dropped", 1, 5, 5)), event(8))
    assert found.complete
    assert found.given_up == {"evicted": 3, "dropped": 1}


def test_a_damaged_file_explains_all_up_to_its_last_number() -> None:
    assert stream(event(1), event(2), notice(10_001, ("set_aside", None, None, 10_000))).complete


def test_losses_without_a_number_are_told() -> None:
    found = stream(event(1), notice(2, ("inbox_full", 12, None, None)))
    assert found.complete
    assert found.given_up == {"inbox_full": 12}


def test_repeated_messages_are_told_from_contradictions() -> None:
    found = stream(event(1), event(2), event(1), event(2), event(3, boot="b2"))
    assert found.complete
    assert (found.duplicates, found.late, len(found.boots)) == (2, 0, 2)
    assert stream(event(1), event(1, label="other")).problems == ["two messages with seq 1 differ"]
    twice = stream(event(1, "a", 3), event(2, "a", 3))
    assert twice.problems == ["event a, n 3 has two numbers: seq 1 and 2"]


def test_pictures_have_their_number_in_a_property() -> None:
    check = StreamCheck(BASE)
    check.take(f"{BASE}/gateway-7/events/lit", event(1))
    check.take(f"{BASE}/gateway-7/events/lit/snapshot", b"\xff\xd8", (("event_id", "e1"), ("seq", "2")))
    check.take(f"{BASE}/gateway-7/events/lit", event(3))
    assert check.streams["gateway-7"].complete
    assert check.streams["gateway-7"].messages == 3


def test_nodes_are_kept_apart_and_strange_messages_counted() -> None:
    check = StreamCheck(BASE)
    check.take(f"{BASE}/gateway-7/events/lit", event(1))
    check.take(f"{BASE}/gateway-8/events/lit", event(3))
    for payload in (b"", b"[]", b"{}", b'{"seq": "x"}', b"\xff"):
        check.take(f"{BASE}/gateway-7/events/lit", payload)
    check.take(f"{BASE}/gateway-7/events/lit/snapshot", b"\xff\xd8")
    check.take(f"{BASE}/gateway-7/state", b"{}")
    check.take("other/gateway-7/events/lit", event(9))
    assert set(check.streams) == {"gateway-7", "gateway-8"}
    assert all(each.complete for each in check.streams.values())
    assert check.strange == 6


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 40)), max_size=80))
def test_numbers_can_be_taken_out_again(steps: list[tuple[bool, int]]) -> None:
    found, model = SeqSet(), set[int]()
    for put, number in steps:
        if put:
            found.add(number)
            model.add(number)
        else:
            found.remove(number)
            model.discard(number)
    assert {n for span in found for n in range(span.first, span.last + 1)} == model
    assert all(number in found for number in model)
