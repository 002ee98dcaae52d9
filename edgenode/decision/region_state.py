"""The decided state of one region: smoothed scores, thresholds with hysteresis, minimum hold.

Single-label models. With s(l) the smoothed score of label l, the state changes like this:

- From `unknown`, `invalid` or nothing: to the label with s ≥ enter that has the greatest s/enter.
- From label c: to a label l with s(l) ≥ enter(l), if s(l)/enter(l) > s(c)/leave(c). A sensitive label (low
  thresholds) can so win over a more probable one, and whoever is the state has the advantage of `leave` <
  `enter`.
- From label c, when s(c) < leave(c) and no label enters: to `unknown`.
- To `unknown`, whatever the scores, while the smoothed confidence (the most probable label's calibrated
  probability, averaged over the same window) is under the abstain threshold.
- A label stays at least `hold_s`; `unknown` and `invalid` don't hold.
- `invalid` is entered at once when the camera's picture cannot be trusted and left only after the camera has
  been declared good again, by samples captured after that; the smoothing starts from nothing.

Multi-label models. Each label comes and goes by its own thresholds and hold. `Decision.present` lists the
labels that hold; `Decision.label` is the one of them with the greatest s/enter, or `none`. They don't
abstain: no single number is their confidence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from edgenode.records import INVALID, NONE, UNKNOWN, Decision, JsonObject, ModelIdentity, Prediction

from .smoothing import Smoother, smoother_for

LEAST = 1e-9


@dataclass(frozen=True, slots=True)
class RegionSpec:
    """How one region is decided. Labels without own thresholds use `enter` and `leave`."""

    camera: str
    region: str
    method: str = "exponential"
    window_s: float = 1.0
    enter: float = 0.6
    leave: float = 0.4
    hold_s: float = 0.0
    thresholds: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """label → (enter, leave)"""
    abstain_below: float | None = None
    """None: the one that comes with each prediction (the model card's)."""
    multi_label: bool = False


class RegionState:
    """Decides one region. Called in the order of capture; not thread-safe."""

    __slots__ = (
        "_enter",
        "_fresh_after_s",
        "_index",
        "_labels",
        "_leave",
        "_present_since",
        "_smoother",
        "_untrusted",
        "decision",
        "spec",
    )

    def __init__(self, spec: RegionSpec) -> None:
        self.spec = spec
        self.decision: Decision | None = None
        """The latest one."""
        self._labels: tuple[str, ...] = ()
        self._index: dict[str, int] = {}
        self._enter: list[float] = []
        self._leave: list[float] = []
        self._smoother: Smoother = smoother_for(spec.method, spec.window_s)
        self._untrusted: str | None = None
        self._fresh_after_s: float | None = None
        self._present_since: dict[str, float] = {}

    def observe(self, prediction: Prediction) -> Decision:
        """The state after `prediction`. Raises nothing; a late sample leaves the state as it is."""
        if prediction.labels != self._labels:
            self._adopt(prediction.labels)
        now_s = prediction.captured_s
        if self._untrusted is not None:
            return self._settle(prediction, INVALID, 0.0, f"invalid: {self._untrusted}", {}, ())
        if self._fresh_after_s is not None:
            if now_s <= self._fresh_after_s:
                text = "invalid: this sample is older than the camera's recovery"
                return self._settle(prediction, INVALID, 0.0, text, {}, ())
            self._fresh_after_s = None
        scores, confidence = self._smoother.add(
            now_s, prediction.probabilities.tolist(), prediction.probability
        )
        named = dict(zip(self._labels, scores, strict=True))
        if self.spec.multi_label:
            return self._decide_many(prediction, scores, named)
        label, probability, reason = self._decide_one(now_s, scores, confidence, prediction.abstain_below)
        present = () if label in (UNKNOWN, INVALID) else (label,)
        return self._settle(prediction, label, probability, reason, named, present)

    def distrust(self, reason: str, now_s: float, now_at: datetime) -> Decision | None:
        """The picture cannot be trusted from now on. The decision, or None when that was known already."""
        known = self._untrusted is not None
        self._untrusted = reason
        self._smoother.reset()
        self._present_since.clear()
        if known:
            return None
        before = self.decision
        changed = before is None or before.label != INVALID
        self.decision = Decision(
            camera=self.spec.camera,
            region=self.spec.region,
            label=INVALID,
            probability=0.0,
            raw_label=UNKNOWN if before is None else before.raw_label,
            raw_probability=0.0 if before is None else before.raw_probability,
            reason=f"invalid: {reason}",
            changed=changed,
            since_s=now_s if before is None or changed else before.since_s,
            since_at=now_at if before is None or changed else before.since_at,
            captured_s=now_s,
            captured_at=now_at,
            model=None if before is None else before.model,
        )
        return self.decision

    def trust(self, now_s: float) -> None:
        """The picture is good again; samples captured after `now_s` count."""
        if self._untrusted is not None:
            self._untrusted = None
            self._fresh_after_s = now_s
            self._smoother.reset()

    def _adopt(self, labels: tuple[str, ...]) -> None:
        """Other labels than before: another kind of model, so that nothing gathered can be compared."""
        pair = (self.spec.enter, self.spec.leave)
        thresholds = [self.spec.thresholds.get(label, pair) for label in labels]
        self._labels = labels
        self._index = {label: position for position, label in enumerate(labels)}
        self._enter = [max(enter, LEAST) for enter, _ in thresholds]
        self._leave = [max(leave, LEAST) for _, leave in thresholds]
        self._smoother.reset()
        self._present_since.clear()

    def _decide_one(
        self, now_s: float, scores: list[float], confidence: float, card_abstain: float
    ) -> tuple[str, float, str]:
        before = self.decision
        held = None if before is None else self._index.get(before.label)
        best, best_ratio = -1, 0.0
        for position, score in enumerate(scores):
            enter = self._enter[position]
            if position != held and score >= enter and score / enter > best_ratio:
                best, best_ratio = position, score / enter
        abstain = card_abstain if self.spec.abstain_below is None else self.spec.abstain_below
        if held is not None and before is not None:
            score, leave, label = scores[held], self._leave[held], before.label
            rival = best >= 0 and best_ratio > score / leave
            if confidence >= abstain and not rival and score >= leave:
                return label, score, f"stays {label}: score {score:.2f}, left under {leave:.2f}"
            left_s = self.spec.hold_s - (now_s - before.since_s)
            if left_s > 1e-6:
                return label, score, f"holds {label} for {left_s:.2f} s more: score {score:.2f}"
            if not rival:
                best = -1
        if confidence < abstain:
            return UNKNOWN, confidence, f"unknown: confidence {confidence:.2f} is under {abstain:.2f}"
        if best >= 0:
            score, label = scores[best], self._labels[best]
            return label, score, f"enters {label}: score {score:.2f}, entered from {self._enter[best]:.2f}"
        top = max(range(len(scores)), key=scores.__getitem__)
        text = f"unknown: best is {self._labels[top]} {scores[top]:.2f}, entered from {self._enter[top]:.2f}"
        return UNKNOWN, scores[top], text

    def _decide_many(self, prediction: Prediction, scores: list[float], named: dict[str, float]) -> Decision:
        now_s, since = prediction.captured_s, self._present_since
        for position, label in enumerate(self._labels):
            score = scores[position]
            if label not in since:
                if score >= self._enter[position]:
                    since[label] = now_s
            elif score < self._leave[position] and now_s - since[label] >= self.spec.hold_s - 1e-6:
                del since[label]
        strength = {label: named[label] / self._enter[self._index[label]] for label in since}
        present = tuple(sorted(strength, key=lambda label: (-strength[label], label)))
        if present:
            label, probability = present[0], named[present[0]]
            reason = "present: " + ", ".join(f"{each} {named[each]:.2f}" for each in present[:4])
        else:
            top = max(range(len(scores)), key=scores.__getitem__)
            label, probability = NONE, 1.0 - scores[top]
            reason = f"none: best is {self._labels[top]} with {scores[top]:.2f}"
        return self._settle(prediction, label, probability, reason, named, present)

    def _settle(
        self,
        prediction: Prediction,
        label: str,
        probability: float,
        reason: str,
        scores: Mapping[str, float],
        present: tuple[str, ...],
    ) -> Decision:
        before = self.decision
        if before is None or before.label != label:
            changed, since_s, since_at = True, prediction.captured_s, prediction.captured_at
        else:
            changed, since_s, since_at = False, before.since_s, before.since_at
        self.decision = decision = Decision(
            self.spec.camera,
            self.spec.region,
            label,
            probability,
            prediction.label,
            prediction.probability,
            reason,
            changed,
            since_s,
            since_at,
            prediction.captured_s,
            prediction.captured_at,
            prediction.model,
            scores,
            present,
        )
        return decision

    def export(self) -> JsonObject:
        """Everything a later process needs to go on, as JSON."""
        return {
            "labels": list(self._labels),
            "smoothing": [self.spec.method, self.spec.window_s],
            "smoother": self._smoother.export(),
            "untrusted": self._untrusted,
            "fresh_after_s": self._fresh_after_s,
            "present_since": self._present_since,
            "decision": None if self.decision is None else decision_to_json(self.decision),
        }

    def restore(self, state: JsonObject, offset_s: float) -> None:
        """Go on from an export. Scores gathered with another smoothing or other labels are forgotten."""
        self._adopt(tuple(state["labels"]))
        if list(state["smoothing"]) == [self.spec.method, self.spec.window_s]:
            self._smoother.restore(state["smoother"], offset_s)
        self._untrusted = state["untrusted"]
        fresh = state["fresh_after_s"]
        self._fresh_after_s = None if fresh is None else fresh + offset_s
        self._present_since = {label: since + offset_s for label, since in state["present_since"].items()}
        if state["decision"] is not None:
            self.decision = decision_from_json(state["decision"], offset_s)


def decision_to_json(decision: Decision) -> JsonObject:
    """The decision as JSON, see `decision_from_json`."""
    model = decision.model
    return {
        "camera": decision.camera,
        "region": decision.region,
        "label": decision.label,
        "probability": decision.probability,
        "raw_label": decision.raw_label,
        "raw_probability": decision.raw_probability,
        "reason": decision.reason,
        "since_s": decision.since_s,
        "since_at": decision.since_at.isoformat(),
        "captured_s": decision.captured_s,
        "captured_at": decision.captured_at.isoformat(),
        "model": None if model is None else [model.name, model.version, model.sha256],
        "scores": dict(decision.scores),
        "present": list(decision.present),
    }


def decision_from_json(state: JsonObject, offset_s: float) -> Decision:
    """The decision that was exported by a clock that read `offset_s` less; `changed` is false."""
    model: Any = state["model"]
    return Decision(
        camera=state["camera"],
        region=state["region"],
        label=state["label"],
        probability=state["probability"],
        raw_label=state["raw_label"],
        raw_probability=state["raw_probability"],
        reason=state["reason"],
        changed=False,
        since_s=state["since_s"] + offset_s,
        since_at=datetime.fromisoformat(state["since_at"]),
        captured_s=state["captured_s"] + offset_s,
        captured_at=datetime.fromisoformat(state["captured_at"]),
        model=None if model is None else ModelIdentity(*model),
        scores=dict(state["scores"]),
        present=tuple(state["present"]),
    )


def clock_offset_s(state: JsonObject, now_s: float, now_at: datetime) -> float:
    """How much our monotonic clock reads more than the exporting process's did, by way of UTC.

    Monotonic clocks start anew with each boot; UTC tells how long the pause was. A UTC clock set back in
    between counts as a pause of no time, so that nothing restored lies in the future.
    """
    pause = now_at - datetime.fromisoformat(state["anchor_at"])
    return now_s - (float(state["anchor_s"]) + max(pause, timedelta()).total_seconds())
