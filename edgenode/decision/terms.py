"""The checked parts of an expression."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from edgenode.records import INVALID, UNKNOWN

from .facts import Fact
from .instruments import Instrument

STATE, NUMBER, TRUTH, TEXT, LIST, WRONG = (
    "a region's state",
    "a number",
    "a truth",
    "a text",
    "a list",
    "wrong",
)


@dataclass(slots=True)
class Term:
    """A checked part of an expression. `fact` belongs to states, `value` to constants; `about` is the region
    whose probability a number is."""

    kind: str
    run: Callable[[], Any]
    fact: Fact | None = None
    value: Any = None
    about: Fact | None = None


@dataclass(slots=True)
class Used:
    """What an expression depends on, in the order of naming."""

    facts: list[Fact] = field(default_factory=list)
    rules: list[str] = field(default_factory=list)
    instruments: list[Instrument] = field(default_factory=list)
    atoms: list[tuple[Fact, Callable[[], bool]]] = field(default_factory=list)
    """Comparisons of one region's state, to tell which region made a condition hold."""
    named: list[tuple[Fact, str]] = field(default_factory=list)
    """The labels that states are compared with."""
    counted: list[tuple[Fact, str]] = field(default_factory=list)
    """The same inside functions that count: what an event of a counting rule is about."""
    scored: bool = False
    """Whether probabilities matter, not labels alone."""
    timed: bool = False
    """Whether the value may change with nothing observed."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """A condition bound to a world's facts. `holds()` tells whether it is true now."""

    text: str
    holds: Callable[[], bool]
    used: Used


def doubt(used: Used) -> Callable[[], bool]:
    """Whether a condition cannot be relied on now: a region it names is unknown or invalid, and it doesn't
    ask for just that."""
    facts = list(used.facts)
    doubtful = frozenset({UNKNOWN, INVALID} - {label for _, label in used.named})
    if len(facts) == 1:
        only = facts[0]
        return lambda: only.label in doubtful
    return lambda: any(fact.label in doubtful for fact in facts)
