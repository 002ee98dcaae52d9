"""From settings and model cards to the decision stage. Reads time zones from the system, nothing else."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from edgenode.decision.decider import Decider
from edgenode.decision.facts import Inventory, RegionKey, RegionLabels, nearest
from edgenode.decision.region_state import RegionSpec
from edgenode.decision.rule import RuleSpec
from edgenode.decision.rules import RuleSet
from edgenode.decision.schedule import DAYS, Schedule, parse_hours
from edgenode.delivery.identity import uuid7_of
from edgenode.errors import ConfigurationError
from edgenode.inference.card import ModelCard
from edgenode.records import INVALID, NONE, UNKNOWN
from edgenode.settings import CameraSettings, RegionSettings, RuleSettings, ScheduleSettings, Settings


def regions_of(camera: CameraSettings) -> list[RegionSettings]:
    """The camera's regions; without any, one named `frame`, the whole picture."""
    return camera.regions or [RegionSettings()]


def model_of(region: RegionSettings, settings: Settings) -> str | None:
    """The name under `[models]` that classifies a region; None when it is left out and there isn't exactly
    one."""
    if region.model is not None:
        return region.model
    return next(iter(settings.models)) if len(settings.models) == 1 else None


def region_labels(settings: Settings, cards: Mapping[str, ModelCard]) -> dict[RegionKey, RegionLabels | None]:
    """(camera, region) → labels, for every configured region; None where the model's card is not in `cards`.

    `cards`: by the name under `[models]`.
    """
    labels: dict[RegionKey, RegionLabels | None] = {}
    for camera in settings.cameras:
        for region in regions_of(camera):
            model = model_of(region, settings)
            card = cards.get(model) if model is not None else None
            known = None if card is None else RegionLabels(tuple(card.labels), card.task == "multi_label")
            labels[camera.name, region.name] = known
    return labels


def build_decider(settings: Settings, cards: Mapping[str, ModelCard]) -> Decider:
    """The states of all regions. Thresholds of a label, first that is given: `smoothing.labels`; `enter` or
    `leave` of the region; the card's; the defaults. Raises ConfigurationError with all mistakes."""
    problems: list[str] = []
    specs: list[RegionSpec] = []
    for camera in settings.cameras:
        for region in regions_of(camera):
            model = model_of(region, settings)
            card = cards.get(model) if model is not None else None
            specs.append(_region_spec(camera.name, region, card, problems))
    if problems:
        raise ConfigurationError(problems)
    return Decider(specs)


def _region_spec(
    camera: str, region: RegionSettings, card: ModelCard | None, problems: list[str]
) -> RegionSpec:
    smoothing = region.smoothing
    thresholds: dict[str, tuple[float, float]] = {}
    if card is not None and not {"enter", "leave"} & smoothing.model_fields_set:
        thresholds.update({each.label: (each.enter, each.leave) for each in card.thresholds})
    for label, pair in smoothing.labels.items():
        if card is not None and label not in card.labels:
            problems.append(
                f"cameras.{camera}.regions.{region.name}.smoothing.labels: "
                f'model {card.name} has no label "{label}"{nearest(label, card.labels)} '
                f"(it has: {', '.join(card.labels[:12])})"
            )
        thresholds[label] = (pair.enter, pair.leave)
    return RegionSpec(
        camera=camera,
        region=region.name,
        method=smoothing.method,
        window_s=smoothing.window,
        enter=smoothing.enter,
        leave=smoothing.leave,
        hold_s=smoothing.hold,
        thresholds=thresholds,
        abstain_below=smoothing.abstain_below,
        multi_label=card is not None and card.task == "multi_label",
    )


def build_rules(
    settings: Settings,
    labels: Mapping[RegionKey, RegionLabels | None],
    new_id: Callable[[datetime], str] | None = None,
) -> RuleSet:
    """All rules, over the regions of `region_labels`. `new_id`: `uuid7` unless given; replays give
    `replay_ids`.

    Raises ConfigurationError with every mistake of every rule.
    """
    problems = _reserved_names(labels)
    specs = [_rule_spec(rule, problems) for rule in settings.rules]
    try:
        rules = RuleSet(specs, Inventory(labels), new_id if new_id is not None else uuid7)
    except ConfigurationError as error:
        raise ConfigurationError(problems + error.problems) from error
    if problems:
        raise ConfigurationError(problems)
    return rules


def _reserved_names(labels: Mapping[RegionKey, RegionLabels | None]) -> list[str]:
    problems = []
    if any(camera == "rule" for camera, _ in labels):
        problems.append('cameras.rule: "rule" stands for rules in expressions, give the camera another name')
    for (camera, region), known in labels.items():
        if known is not None and known.multi_label and NONE in known.labels:
            problems.append(
                f'cameras.{camera}.regions.{region}: its multi-label model has a label "{NONE}", '
                f"which is the state in which no label is present"
            )
        if known is not None and {UNKNOWN, INVALID} & set(known.labels):
            problems.append(f"cameras.{camera}.regions.{region}: its model uses a reserved label")
    return problems


def _rule_spec(rule: RuleSettings, problems: list[str]) -> RuleSpec:
    if rule.within > 0.0 and not rule.sequence:
        problems.append(f"rules.{rule.name}.within: belongs to a sequence, there is none")
    return RuleSpec(
        name=rule.name,
        when=rule.when,
        sequence=tuple(rule.sequence),
        within_s=rule.within,
        for_s=rule.for_,
        cooldown_s=rule.cooldown,
        schedule=None if rule.schedule is None else _schedule(rule.name, rule.schedule, problems),
        updates=rule.update,
        update_every_s=rule.update_every,
        severity=rule.severity,
        snapshot=bool(rule.snapshot),
        enabled=rule.enabled,
    )


def _schedule(rule: str, settings: ScheduleSettings, problems: list[str]) -> Schedule:
    where = f"rules.{rule}.schedule"
    zone: tzinfo = UTC
    try:
        zone = UTC if settings.timezone == "UTC" else ZoneInfo(settings.timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        hint = nearest(settings.timezone, available_timezones())
        problems.append(
            f'{where}.timezone: no time zone "{settings.timezone}"{hint} (IANA names, such as Europe/Berlin; '
            f"they come with the system's tzdata)"
        )
    ranges: list[tuple[int, int]] = []
    for text in [settings.hours] if isinstance(settings.hours, str) else settings.hours:
        try:
            ranges.append(parse_hours(text))
        except ValueError as error:
            problems.append(f"{where}.hours: {error}")
    days = frozenset(DAYS.index(day) for day in settings.days) or frozenset(range(7))
    return Schedule(tuple(ranges) or ((0, 0),), days, zone)


def uuid7(at: datetime) -> str:
    """A UUID version 7 (RFC 9562, section 5.7): 48 bits of UTC milliseconds, then 74 random bits."""
    return _uuid7(at, int.from_bytes(os.urandom(10)))


def replay_ids(seed: str) -> Callable[[datetime], str]:
    """Identifiers that are the same at every replay: UUID version 7 with counted instead of random bits."""
    count = 0

    def new_id(at: datetime) -> str:
        nonlocal count
        count += 1
        digest = hashlib.sha256(f"{seed}\n{count}".encode()).digest()
        return _uuid7(at, int.from_bytes(digest[:10]))

    return new_id


def _uuid7(at: datetime, noise: int) -> str:
    return uuid7_of(int(at.timestamp() * 1000), noise >> 62, noise)
