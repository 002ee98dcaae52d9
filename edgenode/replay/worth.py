"""What a replay was worth: its events against the truth rule by rule, and against another configuration's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from edgenode.errors import DataError
from edgenode.nearest import suggestion
from edgenode.records import Decision, Event, JsonObject
from edgenode.replay.scoring import (
    EventInterval,
    EventPair,
    EventScore,
    TruthInterval,
    event_intervals,
    match,
    score_events,
)
from edgenode.replay.timeline import Track
from edgenode.settings import Settings

Subjects = Mapping[str, tuple[tuple[str, str, str], ...]]
"""Rule to the (camera, region, label) that its condition names."""
MOVED_S = 0.05
"""Starts that differ by less are the same: one frame at twenty a second."""


@dataclass(frozen=True, slots=True)
class RuleScores:
    """`rules` holds the rules that the truth says something about; `total` counts all their events."""

    rules: dict[str, EventScore]
    unscored: tuple[str, ...]
    """Rules of which the truth says nothing."""

    @property
    def total(self) -> EventScore:
        scores = self.rules.values()
        return EventScore(
            tuple(pair for score in scores for pair in score.pairs),
            tuple(each for score in scores for each in score.false_events),
            tuple(each for score in scores for each in score.missed),
        )

    def text(self) -> str:
        lines = []
        for rule, score in self.rules.items():
            lines.append(f"rule {rule}:")
            lines.extend(f"  {line}" for line in score.text().splitlines())
        if len(self.rules) > 1:
            lines.append("all rules:")
            lines.extend(f"  {line}" for line in self.total.text().splitlines()[:4])
        lines.extend(f"rule {rule}: not scored, the truth says nothing of it" for rule in self.unscored)
        return "\n".join(lines)

    def to_json(self) -> JsonObject:
        return {
            "rules": {rule: _score_json(score) for rule, score in self.rules.items()},
            "total": _score_json(self.total),
            "unscored": list(self.unscored),
        }


def clips_of(settings: Settings) -> dict[str, str]:
    """Camera to the name its source has in a truth file: the file's or folder's name, or the whole source."""
    return {
        camera.name: camera.source if "://" in camera.source else Path(camera.source).name
        for camera in settings.cameras
    }


def intervals_of(events: Iterable[Event], clips: Mapping[str, str], zero_at: datetime) -> list[EventInterval]:
    """Events as intervals in media seconds, named after their camera's clip; by start."""
    by_clip: dict[str, list[Event]] = {}
    only = next(iter(clips.values())) if len(clips) == 1 else ""
    for event in events:
        by_clip.setdefault(only if event.camera is None else clips[event.camera], []).append(event)
    found = [each for clip, of_clip in by_clip.items() for each in event_intervals(of_clip, zero_at, clip)]
    return sorted(found, key=lambda each: (each.start_s, each.rule, each.region))


def score_rules(
    events: Sequence[EventInterval],
    truth: Sequence[TruthInterval],
    settings: Settings,
    subjects: Subjects,
    tolerance_s: float = 0.5,
) -> RuleScores:
    """Score every enabled rule that the truth says something about.

    The truth of a rule are the intervals that give its name as their region; where there are none, those of
    the regions and labels its condition names. True intervals shorter than the rule's `for` need not be
    reported. Raises DataError for truth about clips and regions that this configuration does not have.
    """
    clips = clips_of(settings)
    _refuse_strangers(truth, settings, clips)
    scores: dict[str, EventScore] = {}
    unscored = []
    for rule in settings.rules:
        if not rule.enabled:
            continue
        mine = [each for each in events if each.rule == rule.name]
        own = [each for each in truth if each.region == rule.name]
        if own:
            scores[rule.name] = _by_rule(mine, own, tolerance_s, rule.for_)
            continue
        named = {(clips[camera], region, label) for camera, region, label in subjects[rule.name]}
        places = {(clip, region) for clip, region, _ in named}
        if not any((each.clip, each.region) in places for each in truth):
            unscored.append(rule.name)
            continue
        wanted = [each for each in truth if (each.clip, each.region, each.label) in named]
        scores[rule.name] = score_events(mine, wanted, tolerance_s, rule.for_)
    return RuleScores(scores, tuple(unscored))


def _by_rule(
    events: list[EventInterval], truth: list[TruthInterval], tolerance_s: float, shortest_s: float
) -> EventScore:
    """Truth that names the rule: only clip and time count, whatever region an event gives."""
    renamed = [
        EventInterval(each.clip, each.rule, each.rule, "", each.start_s, each.end_s) for each in events
    ]
    plain = [TruthInterval(each.clip, each.region, "", each.start_s, each.end_s) for each in truth]
    return score_events(renamed, plain, tolerance_s, shortest_s)


def _refuse_strangers(truth: Sequence[TruthInterval], settings: Settings, clips: Mapping[str, str]) -> None:
    regions = {
        (clips[camera.name], region.name) for camera in settings.cameras for region in camera.regions
    } | {(clips[camera.name], "frame") for camera in settings.cameras if not camera.regions}
    rules = {rule.name for rule in settings.rules}
    for each in truth:
        if each.clip not in clips.values():
            raise DataError(f"the truth names the clip {each.clip!r}{suggestion(each.clip, clips.values())}")
        if each.region not in rules and (each.clip, each.region) not in regions:
            known = [region for clip, region in regions if clip == each.clip] + list(rules)
            raise DataError(
                f"the truth names the region {each.region!r} of {each.clip}{suggestion(each.region, known)}"
            )


def _score_json(score: EventScore) -> JsonObject:
    return {
        "precision": score.precision,
        "recall": score.recall,
        "f1": score.f1,
        "pairs": [
            {
                "rule": pair.event.rule,
                **_interval_json(pair.truth),
                "start_error_s": round(pair.start_error_s, 3),
                "end_error_s": None if pair.end_error_s is None else round(pair.end_error_s, 3),
            }
            for pair in score.pairs
        ],
        "false": [{"rule": each.rule, **_interval_json(each)} for each in score.false_events],
        "missed": [_interval_json(each) for each in score.missed],
    }


def _interval_json(each: EventInterval | TruthInterval) -> JsonObject:
    end_s = round(each.end_s, 3) if each.end_s != float("inf") else None
    return {
        "clip": each.clip,
        "region": each.region,
        "label": each.label,
        "start_s": round(each.start_s, 3),
        "end_s": end_s,
    }


@dataclass(frozen=True, slots=True)
class Comparison:
    """Events of two configurations over the same recordings. In a pair, `truth` stands for the event here."""

    both: tuple[EventPair, ...]
    only_here: tuple[EventInterval, ...]
    only_there: tuple[EventInterval, ...]

    @property
    def moved(self) -> tuple[EventPair, ...]:
        """Pairs whose start the other configuration would have reported earlier or later."""
        return tuple(pair for pair in self.both if abs(pair.start_error_s) > MOVED_S)

    def text(self, there: str) -> str:
        lines = [
            f"compared with {there}: {len(self.both)} events in both ({len(self.moved)} with another start), "
            f"{len(self.only_here)} only here, {len(self.only_there)} only there"
        ]
        lines.extend(
            f"  moved: {_place(pair.truth)} from {pair.truth.start_s:.2f} s to {pair.event.start_s:.2f} s "
            f"({pair.start_error_s:+.2f} s)"
            for pair in self.moved
        )
        for name, found in (("only here", self.only_here), ("only there", self.only_there)):
            lines.extend(
                f"  {name}: {_place(each)} {each.start_s:.2f} to {each.end_s:.2f} s (rule {each.rule})"
                for each in found
            )
        return "\n".join(lines)

    def to_json(self) -> JsonObject:
        return {
            "both": [
                {
                    "rule": pair.event.rule,
                    **_interval_json(pair.truth),
                    "start_there_s": round(pair.event.start_s, 3),
                }
                for pair in self.both
            ],
            "only_here": [{"rule": each.rule, **_interval_json(each)} for each in self.only_here],
            "only_there": [{"rule": each.rule, **_interval_json(each)} for each in self.only_there],
        }


def compare(
    here: Sequence[EventInterval], there: Sequence[EventInterval], tolerance_s: float = 0.5
) -> Comparison:
    """Match the events of each rule, clip and region one to one by time, as events are matched with truth."""
    keys = dict.fromkeys((each.rule, each.clip, each.region) for each in [*here, *there])
    both: list[EventPair] = []
    only_here: list[EventInterval] = []
    only_there: list[EventInterval] = []
    for key in keys:
        mine = [each for each in here if (each.rule, each.clip, each.region) == key]
        others = [each for each in there if (each.rule, each.clip, each.region) == key]
        stands = [
            TruthInterval(each.clip, each.region, each.label, each.start_s, each.end_s) for each in mine
        ]
        pairs = match(others, stands, tolerance_s)
        matched_here = {id(pair.truth) for pair in pairs}
        matched_there = {id(pair.event) for pair in pairs}
        both.extend(pairs)
        only_here.extend(
            event for event, stand in zip(mine, stands, strict=True) if id(stand) not in matched_here
        )
        only_there.extend(each for each in others if id(each) not in matched_there)
    return Comparison(
        tuple(sorted(both, key=lambda pair: (pair.truth.start_s, pair.truth.region))),
        tuple(sorted(only_here, key=lambda each: each.start_s)),
        tuple(sorted(only_there, key=lambda each: each.start_s)),
    )


def _place(each: EventInterval | TruthInterval) -> str:
    return f"{each.clip} {each.region} {each.label}"


def tracks_of(
    decisions: Iterable[Decision],
    events: Sequence[EventInterval],
    truth: Sequence[TruthInterval],
    settings: Settings,
    thresholds: Mapping[tuple[str, str], dict[str, tuple[float, float]]],
    zero_at: datetime,
) -> list[Track]:
    """One track for each region that was decided on, for `timeline_png`; truth given by a rule's name stands
    with the regions of that rule's events."""
    clips = clips_of(settings)
    tracks: dict[tuple[str, str], Track] = {}
    for decision in decisions:
        key = (decision.camera, decision.region)
        if key not in tracks:
            tracks[key] = Track(*key, thresholds=thresholds.get(key, {}))
        tracks[key].add(decision, (decision.captured_at - zero_at).total_seconds())
    for (camera, region), track in tracks.items():
        track.events.extend(each for each in events if (each.clip, each.region) == (clips[camera], region))
        rules = {each.rule for each in track.events}
        track.truth.extend(
            each for each in truth if each.clip == clips[camera] and each.region in {region, *rules}
        )
    return list(tracks.values())
