"""Which classified samples are worth a label. Pure: no clock, no threads, no files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from edgenode.records import F32, Prediction
from edgenode.settings.collect import CollectRuleSettings

QUOTA = "quota"


@dataclass(frozen=True, slots=True)
class Choice:
    """Why one sample is kept. `day` is the UTC day whose quota it takes from."""

    rule: CollectRuleSettings
    why: str
    margin: float
    label: str
    day: str


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What the choice depends on and no prediction says."""

    multi_label: frozenset[str] = frozenset()
    """Models that may name several labels at once."""
    abstain_below: Mapping[tuple[str, str], float] = field(default_factory=dict)
    """(camera, region) to the threshold that stands in the configuration instead of the card's."""


def margin_of(probabilities: F32, multi_label: bool) -> float:
    """How decided an answer is, from 0 to 1.

    The lead of the most probable label over the next; of several labels at once, twice the distance of the least
    decided one from one half.
    """
    if multi_label:
        return float(2.0 * np.abs(probabilities - 0.5).min())
    if len(probabilities) < 2:
        return 1.0
    second, first = np.partition(probabilities, -2)[-2:]
    return float(first - second)


class Chooser:
    """Rules in the order of the file; a sample is kept by the first that wants it. Not thread-safe.

    `draw` gives a number from 0 to 1.
    """

    def __init__(
        self, rules: list[CollectRuleSettings], facts: ModelFacts, draw: Callable[[], float]
    ) -> None:
        self._rules = rules
        self._facts = facts
        self._draw = draw
        self._kept: Counter[tuple[str, str, str]] = Counter()
        """(rule, label, day) to how many were kept."""
        self._last_s: dict[tuple[str, str, str], float] = {}
        """(rule, camera, region) to when the last one was chosen."""

    def carry_over(self, before: Chooser) -> None:
        """Go on with the counts of the chooser this one replaces."""
        names = {rule.name for rule in self._rules}
        self._kept = Counter({key: count for key, count in before._kept.items() if key[0] in names})
        self._last_s = {key: at for key, at in before._last_s.items() if key[0] in names}

    def count(self, rule: str, label: str, day: str) -> None:
        """One was kept: by a former process, or just chosen."""
        self._kept[rule, label, day] += 1

    def give_back(self, choice: Choice) -> None:
        """What was chosen was not kept."""
        self._kept[choice.rule.name, choice.label, choice.day] -= 1

    def choose(
        self, prediction: Prediction, second: str | None, refused: Callable[[str, str], None]
    ) -> Choice | None:
        """The choice of the first rule that wants the sample, or None.

        `second` is the shadow's label where this is asked because the shadow has answered: then only
        disagreement counts, else everything but that. `refused` hears (rule, `quota`) where only that was
        in the way.
        """
        margin: float | None = None
        for rule in self._rules:
            if not _covers(rule, prediction):
                continue
            if margin is None:
                multi_label = prediction.model.name in self._facts.multi_label
                margin = margin_of(prediction.probabilities, multi_label)
            place = (rule.name, prediction.camera, prediction.region)
            since_s = prediction.captured_s - self._last_s.get(place, -float("inf"))
            if since_s < rule.pause:
                continue
            why = self._why(rule, prediction, margin, second, since_s)
            if why is None:
                continue
            day = f"{prediction.captured_at:%Y-%m-%d}"
            self._last_s[place] = prediction.captured_s
            if self._kept[rule.name, prediction.label, day] >= rule.per_label:
                refused(rule.name, QUOTA)
                continue
            self._forget_other_days(day)
            self.count(rule.name, prediction.label, day)
            return Choice(rule, why, margin, prediction.label, day)
        return None

    def _why(
        self,
        rule: CollectRuleSettings,
        prediction: Prediction,
        margin: float,
        second: str | None,
        since_s: float,
    ) -> str | None:
        if second is not None:
            return "disagreement" if "disagreement" in rule.why and second != prediction.label else None
        if "abstained" in rule.why and prediction.probability < self._abstain(prediction):
            return "abstained"
        if "low_margin" in rule.why and margin < rule.margin:
            return "low_margin"
        if "periodic" in rule.why and since_s >= rule.every:
            return "periodic"
        return "random" if "random" in rule.why and self._draw() < rule.share else None

    def _abstain(self, prediction: Prediction) -> float:
        if prediction.model.name in self._facts.multi_label:
            return 0.0  # no single number is their confidence
        place = (prediction.camera, prediction.region)
        return self._facts.abstain_below.get(place, prediction.abstain_below)

    def _forget_other_days(self, day: str) -> None:
        """Two days may mix around midnight; older ones are of no use."""
        days = {key[2] for key in self._kept}
        if len(days) > 2:
            latest = sorted(days | {day})[-2:]
            self._kept = Counter({key: count for key, count in self._kept.items() if key[2] in latest})


def _covers(rule: CollectRuleSettings, prediction: Prediction) -> bool:
    return (
        (not rule.models or prediction.model.name in rule.models)
        and (not rule.cameras or prediction.camera in rule.cameras)
        and (not rule.regions or prediction.region in rule.regions)
    )
