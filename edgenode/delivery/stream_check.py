"""Proves from the numbers of events that nothing is missing: what a reader of the stream can know.

Pure: it is handed messages and asked for findings. `seq` counts a node's messages without a gap; a notice on
`/events/_outbox` names the numbers the node gave up, and why; `id` and `n` tell a repeated message.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from edgenode.delivery.seq_set import SeqSet, Span

REMEMBERED = 100_000
"""Messages of a node whose contents are remembered, to tell a repeated one from an altered one."""
NOTICE = "_outbox"
MAX_PROBLEMS = 100


@dataclass(slots=True)
class Stream:
    """What came of one node."""

    node: str
    messages: int = 0
    duplicates: int = 0
    late: int = 0
    """Came after younger ones, as after a replay or when a refused topic was permitted again."""
    boots: set[str] = field(default_factory=set)
    given_up: Counter[str] = field(default_factory=Counter)
    """Messages the node says it gave up, by reason; those without a number too."""
    problems: list[str] = field(default_factory=list)
    """Contents that contradict each other; at most 100."""
    seen: SeqSet = field(default_factory=SeqSet)
    explained: SeqSet = field(default_factory=SeqSet)
    _contents: OrderedDict[int, bytes] = field(default_factory=OrderedDict)
    _steps: OrderedDict[tuple[str, int], int] = field(default_factory=OrderedDict)

    @property
    def missing(self) -> list[Span]:
        """Numbers between the first and the newest that came, that did not come and that no notice names."""
        return self.seen.gaps(self.explained)

    @property
    def complete(self) -> bool:
        return not self.problems and not self.missing

    def take(self, seq: int, step: tuple[str, int] | None, payload: bytes) -> None:
        """A message; `step` is its `id` and `n`, where it is a step of an event."""
        self.messages += 1
        content = hashlib.sha256(payload).digest()
        if seq in self.seen:
            self.duplicates += 1
            if self._contents.get(seq, content) != content:
                self._problem(f"two messages with seq {seq} differ")
            return
        if self.seen and seq < self.seen.last:
            self.late += 1
        self.seen.add(seq)
        self._contents[seq] = content
        _bound(self._contents)
        if step is not None:
            known = self._steps.setdefault(step, seq)
            if known != seq:
                self._problem(f"event {step[0]}, n {step[1]} has two numbers: seq {known} and {seq}")
            _bound(self._steps)

    def give_up(self, reason: str, count: int | None, first: int | None, last: int | None) -> None:
        """A range of a notice. Without `first`, everything up to `last` went with a damaged file."""
        self.given_up[reason] += 1 if count is None else count
        if last is not None:
            self.explained.add(1 if first is None else first, last)

    def _problem(self, text: str) -> None:
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(text)


def _bound(remembered: OrderedDict[Any, Any]) -> None:
    if len(remembered) > REMEMBERED:
        remembered.popitem(last=False)


class StreamCheck:
    """All nodes under one base topic. Called by one thread."""

    def __init__(self, base_topic: str) -> None:
        self._base = base_topic.split("/")
        self.streams: dict[str, Stream] = {}
        self.strange = 0
        """Messages that are no events, or of which the number cannot be seen."""

    def take(self, topic: str, payload: bytes, properties: Sequence[tuple[str, str]] = ()) -> None:
        """A message under `<base>/<node>/events/`. Others are passed over."""
        levels = topic.split("/")
        if levels[: len(self._base)] != self._base or levels[len(self._base) + 1 : len(self._base) + 2] != [
            "events"
        ]:
            return
        node = levels[len(self._base)]
        stream = self.streams.setdefault(node, Stream(node))
        try:
            if levels[-1] == "snapshot":
                stream.take(int(dict(properties)["seq"]), None, payload)
                return
            body = json.loads(payload)
            if levels[-1] == NOTICE:
                for lost in body["lost"]:
                    stream.give_up(lost["reason"], lost["count"], lost["first_seq"], lost["last_seq"])
                stream.take(body["seq"], None, payload)
            else:
                stream.take(body["seq"], (body["id"], body["n"]), payload)
            stream.boots.add(str(body["boot"]))
        except (KeyError, TypeError, ValueError):
            self.strange += 1
