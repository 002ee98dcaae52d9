"""A hash chain over events and their pictures: proves that none was altered, removed or put in later.

Each link's hash is sha256(previous hash ‖ "\\n" ‖ canonical JSON of {"event": payload, "evidence": sha256 of
the picture or null}), so that a change anywhere changes every hash after it. Canonical JSON: keys sorted, no
spaces, UTF-8, no NaN (as RFC 8785, except that numbers are written as Python writes them).

The chain cannot know by itself that links at its end are missing: keep the newest hash elsewhere and give it
to `verify` as `head`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass

from edgenode.records import JsonObject

GENESIS = "0" * 64
"""What the first link follows."""


@dataclass(frozen=True, slots=True)
class ChainLink:
    """One event in the chain. Hashes are lower-case hexadecimal sha256."""

    previous: str
    payload: JsonObject
    evidence: str | None
    hash: str


@dataclass(frozen=True, slots=True)
class BrokenLink:
    """Where a chain is broken; `position` counts from 0, and is the chain's length when its end is
    missing."""

    position: int
    reason: str


def canonical(payload: JsonObject) -> bytes:
    """The one way of writing `payload`. Raises ValueError for NaN and TypeError for what JSON doesn't
    know."""
    return json.dumps(
        payload, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def link_hash(previous: str | None, payload: JsonObject, evidence_sha256: str | None) -> str:
    """The hash of the link that follows `previous`; None stands for GENESIS."""
    previous = GENESIS if previous is None else previous
    body = canonical({"event": payload, "evidence": evidence_sha256})
    return hashlib.sha256(previous.encode() + b"\n" + body).hexdigest()


def link(previous: str, payload: JsonObject, evidence_sha256: str | None = None) -> ChainLink:
    """The link for `payload` after the one whose hash is `previous` (GENESIS for the first)."""
    return ChainLink(previous, payload, evidence_sha256, link_hash(previous, payload, evidence_sha256))


def verify(links: Iterable[ChainLink], start: str = GENESIS, head: str | None = None) -> BrokenLink | None:
    """The first link that is broken, or None when all hold. `start`: the hash the first link follows."""
    before, count = start, 0
    for position, each in enumerate(links):
        if each.previous != before:
            return BrokenLink(
                position, "does not follow the one before it: something was removed, added or moved"
            )
        if link_hash(each.previous, each.payload, each.evidence) != each.hash:
            return BrokenLink(position, "the event or its picture's hash was altered")
        before, count = each.hash, position + 1
    if head is not None and before != head:
        return BrokenLink(count, "the chain does not end with the hash that is known: its end was removed")
    return None
