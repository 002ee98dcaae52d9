from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgenode.decision.evidence import GENESIS, ChainLink, canonical, link, verify


def chain(payloads: list[dict[str, Any]]) -> list[ChainLink]:
    links: list[ChainLink] = []
    for i, payload in enumerate(payloads):
        before = links[-1].hash if links else GENESIS
        links.append(link(before, payload, f"{i:064x}" if i % 2 else None))
    return links


PAYLOADS: list[dict[str, Any]] = [{"seq": i, "rule": "bad", "probability": i / 7} for i in range(6)]


def test_hash_is_what_the_documentation_says() -> None:
    text = GENESIS + '\n{"event":{"a":"ü","b":1},"evidence":null}'
    assert link(GENESIS, {"b": 1, "a": "ü"}).hash == hashlib.sha256(text.encode()).hexdigest()


def test_whole_chain_holds() -> None:
    links = chain(PAYLOADS)
    assert verify(links) is None
    assert verify(links, head=links[-1].hash) is None
    assert verify(links[2:], start=links[1].hash) is None
    assert verify([]) is None


@given(st.integers(0, 5), st.sampled_from(["payload", "evidence", "removed", "moved", "added", "rehashed"]))
def test_any_change_is_found_at_its_place(place: int, what: str) -> None:
    links = chain(PAYLOADS)
    head, old = links[-1].hash, links[place]
    expected = place
    if what == "payload":
        links[place] = replace(old, payload={**old.payload, "rule": "good"})
    elif what == "evidence":
        links[place] = replace(old, evidence="f" * 64)
    elif what == "removed":
        del links[place]
    elif what == "moved":
        links.append(links.pop(place))
        if place == 5:
            return
    elif what == "added":
        links.insert(place, link(old.previous, {"seq": 99}))
        expected = place + 1
    else:
        links[place] = link(old.previous, {**old.payload, "rule": "good"}, old.evidence)
        expected = place + 1
    broken = verify(links, head=head)
    assert broken is not None
    assert broken.position == expected


def test_missing_end_shows_only_with_the_known_head() -> None:
    links = chain(PAYLOADS)
    assert verify(links[:4]) is None
    broken = verify(links[:4], head=links[-1].hash)
    assert broken is not None
    assert (broken.position, "end was removed" in broken.reason) == (4, True)


def test_order_of_keys_does_not_matter_and_nan_is_refused() -> None:
    assert canonical({"a": 1, "b": [2, None]}) == canonical({"b": [2, None], "a": 1})
    with pytest.raises(ValueError, match="JSON"):
        canonical({"a": float("nan")})
