"""What rules can see: the latest decision of each region, which rules are active, and the time."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import nan

from edgenode.records import INVALID, NONE, UNKNOWN, Decision, ModelIdentity

from .instruments import Instrument

RegionKey = tuple[str, str]
"""(camera, region)"""


@dataclass(frozen=True, slots=True)
class RegionLabels:
    """The labels of the model that classifies a region."""

    labels: tuple[str, ...]
    multi_label: bool = False


@dataclass(frozen=True, slots=True)
class Inventory:
    """Every name a rule may use. A region whose labels cannot be known (None) takes any label."""

    regions: Mapping[RegionKey, RegionLabels | None]
    rules: tuple[str, ...] = ()


class Fact:
    """The latest decision of one region, as rules read it. Until there is one: `unknown`, probabilities
    NaN."""

    __slots__ = ("camera", "decision", "label", "name", "present", "region")

    def __init__(self, camera: str, region: str) -> None:
        self.camera = camera
        self.region = region
        self.name = f"{camera}.{region}"
        self.label = UNKNOWN
        self.present: tuple[str, ...] = ()
        self.decision: Decision | None = None

    def take(self, decision: Decision) -> bool:
        """Make `decision` the latest; whether another label (or set of labels) holds now."""
        changed = self.decision is None or decision.label != self.label or decision.present != self.present
        self.decision = decision
        self.label = decision.label
        self.present = decision.present
        return changed

    def has(self, label: str) -> bool:
        return label == self.label or label in self.present

    def probability(self, label: str | None) -> float:
        """Smoothed score of `label` (None: the decided one). NaN while nothing can be said of it."""
        if self.decision is None or self.label == INVALID:
            return nan
        if label is None:
            return self.decision.probability
        return self.decision.scores.get(label, nan)

    @property
    def model(self) -> ModelIdentity | None:
        return None if self.decision is None else self.decision.model


class World:
    """The facts that compiled expressions are bound to. Owned and moved on by the rule set alone."""

    __slots__ = ("active", "facts", "instruments", "inventory", "now_s")

    def __init__(self, inventory: Inventory) -> None:
        self.inventory = inventory
        self.facts = {key: Fact(*key) for key in inventory.regions}
        self.active: dict[str, bool] = dict.fromkeys(inventory.rules, False)
        self.instruments: dict[str, Instrument] = {}
        """By the canonical text of the call, so that equal calls of several rules are one."""
        self.now_s = 0.0

    def labels_of(self, key: RegionKey) -> tuple[str, ...] | None:
        """Labels a region may be compared with beside `unknown` and `invalid`."""
        known = self.inventory.regions[key]
        if known is None:
            return None
        return (*known.labels, NONE) if known.multi_label and NONE not in known.labels else known.labels


def nearest(word: str, names: Iterable[str]) -> str:
    """`; did you mean "x"?` when a name resembles `word`, otherwise nothing."""
    candidates = list(names)
    match = difflib.get_close_matches(word, candidates, n=1, cutoff=0.55)
    if not match:
        folded = [name for name in candidates if name.lower() == word.lower()]
        match = folded[:1]
    return f'; did you mean "{match[0]}"?' if match else ""
