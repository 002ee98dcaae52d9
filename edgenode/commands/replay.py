"""`edgenode replay`: a configuration's files through the whole pipeline, events to a file."""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING, Self

import click

from edgenode import __version__
from edgenode.cli import config_option, moment_of, proven

if TYPE_CHECKING:
    from edgenode.delivery.messages import Origin
    from edgenode.desk import DecisionDesk
    from edgenode.records import CameraReport, Decision, Event, JsonObject, Prediction
    from edgenode.replay.run import ReplayCount
    from edgenode.replay.scoring import TruthInterval
    from edgenode.replay.worth import Subjects
    from edgenode.settings import Settings

PROGRESS_S = 0.2
"""Between two lines about the progress."""
BOOT = "replay"
"""Stands where a live event has the id of the process's life."""


@dataclass(frozen=True, slots=True)
class ReplayOutcome:
    count: ReplayCount
    events: tuple[Event, ...]
    predictions: tuple[Prediction, ...]
    decisions: tuple[Decision, ...]
    """Every decision, changed or not, in order."""
    desk: DecisionDesk
    """As it stands at the end: for `explain`."""
    subjects: Subjects
    """Rule to the (camera, region, label) that its condition names."""
    thresholds: dict[tuple[str, str], dict[str, tuple[float, float]]]
    """(camera, region) to the (enter, leave) of each of its labels."""


class EventFile:
    """The outlet of a replay: each event step as the line of JSON that would have been published."""

    def __init__(self, origin: Origin, file: IO[str] | None, chain: bool = False) -> None:
        self._origin = origin
        self._file = file
        self._chain = chain
        self._head: str | None = None
        self.events: list[Event] = []

    def publish_event(self, event: Event, jpeg: bytes | None) -> None:
        from edgenode.decision.evidence import link_hash
        from edgenode.delivery.identity import ClockReading
        from edgenode.delivery.messages import chained_message, event_message

        del jpeg
        self.events.append(event)
        if self._file is not None:
            message = event_message(
                self._origin, event, len(self.events), ClockReading("unsynchronised", None)
            )
            if self._chain:
                message, self._head = chained_message(message, self._head, link_hash)
            self._file.write(message.payload.decode() + "\n")

    def publish_region_state(self, decision: Decision, event_id: str | None) -> None:
        """States are not part of a replay's file."""

    def publish_classification(self, prediction: Prediction) -> None:
        """Nor are single predictions."""

    def publish_camera(self, report: CameraReport) -> None:
        """Nor camera reports, of which a replay has none."""


class _Unmeasured:
    def stage_seconds(self, stage: str, seconds: float) -> None: ...
    def prediction(self, model: str, probability: float) -> None: ...


def run_replay(
    settings: Settings,
    base_dir: Path,
    file: IO[str] | None = None,
    start: datetime | None = None,
    until_s: float | None = None,
    progress: Callable[[float], None] | None = None,
) -> ReplayOutcome:
    """Replay `settings`' files, writing events to `file`. Raises EdgeNodeError naming what cannot be replayed."""
    from edgenode.decision_setup import build_decider, build_rules, region_labels, replay_ids
    from edgenode.delivery.messages import Origin
    from edgenode.delivery.topics import Topics
    from edgenode.desk import DecisionDesk, Hooks
    from edgenode.replay.run import EPOCH, replay
    from edgenode.wiring import load_classifiers

    start = start if start is not None else EPOCH
    classifiers = load_classifiers(settings, base_dir)
    try:
        cards = {name: classifier.card for name, classifier in classifiers.items()}
        seed = hashlib.sha256(repr((settings.cameras, settings.rules)).encode()).hexdigest()
        labels = region_labels(settings, cards)
        rules = build_rules(settings, labels, replay_ids(seed))
        decider = build_decider(settings, cards)
        thresholds = {
            key: {label: decider.thresholds(*key, label) for label in known.labels}
            for key, known in labels.items()
            if known is not None
        }
        outlet = EventFile(
            Origin(Topics(settings.mqtt.base_topic, settings.node.name), BOOT, __version__, 0),
            file,
            settings.outbox.chain,
        )
        predictions: list[Prediction] = []
        decisions: list[Decision] = []
        desk = DecisionDesk(
            decider,
            rules,
            outlet,
            _Unmeasured(),
            lambda _camera, _index: None,
            Hooks(on_prediction=predictions.append, on_decision=decisions.append),
        )
        count = replay(settings, base_dir, classifiers, desk, start, until_s, progress)
        end_at = start + timedelta(seconds=round(count.media_s, 6))
        desk.end_all("the recording is over", count.media_s, end_at)
    finally:
        for classifier in classifiers.values():
            classifier.close()
    return ReplayOutcome(
        count,
        tuple(outlet.events),
        tuple(predictions),
        tuple(decisions),
        desk,
        rules.subjects(),
        thresholds,
    )


@dataclass(frozen=True, slots=True)
class _Wishes:
    """What is to be told of a replay beside its events."""

    truth: tuple[TruthInterval, ...]
    timeline: Path | None
    other: Path | None
    tolerance_s: float
    start: datetime
    until_s: float | None


@click.command("replay")
@config_option
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="Where the events go; - for stdout."
)
@click.option("--start", default="1970-01-01T00:00:00Z", show_default=True, help="UTC of media second 0.")
@click.option("--until", "until_s", type=click.FloatRange(min=0.0), help="Stop at this media second.")
@click.option(
    "--truth",
    type=click.Path(path_type=Path, dir_okay=False),
    help="CSV clip,region,label,start_s,end_s to score the events with; a region may be a rule's name.",
)
@click.option(
    "--tolerance",
    "tolerance_s",
    type=click.FloatRange(min=0.0),
    default=0.5,
    show_default=True,
    help="Seconds by which an event may miss the truth it reports, or the other configuration's event.",
)
@click.option(
    "--timeline", type=click.Path(path_type=Path, dir_okay=False), help="PNG to draw scores and events into."
)
@click.option(
    "--compare",
    "other",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Another configuration: tell which events it would have changed.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output instead of text.")
def replay_command(
    config_path: Path,
    out: Path | None,
    start: str,
    until_s: float | None,
    truth: Path | None,
    tolerance_s: float,
    timeline: Path | None,
    other: Path | None,
    as_json: bool,
) -> None:
    """Replay the files of a configuration as fast as the machine goes; no frame is dropped."""
    from edgenode.replay.scoring import read_truth

    if as_json and str(out) == "-":
        raise click.UsageError("--json and --out - both write to standard output")
    loaded = proven(config_path)
    true = () if truth is None else tuple(read_truth(truth))
    wishes = _Wishes(true, timeline, other, tolerance_s, moment_of(start, "--start"), until_s)
    with ExitStack() as stack:
        file: IO[str] | None = None
        if out is not None:
            file = sys.stdout if str(out) == "-" else stack.enter_context(out.open("w", encoding="utf-8"))
        with Progress() as progress:
            outcome = run_replay(loaded.settings, loaded.base_dir, file, wishes.start, until_s, progress)
    summary, text = _told(outcome, loaded.settings, wishes)
    if as_json:
        click.echo(json.dumps(summary))
    elif text:
        click.echo(text, err=str(out) == "-")
    click.echo(
        f"{outcome.count.frames} frames, {outcome.count.samples} samples, {len(outcome.events)} event messages, "
        f"{outcome.count.media_s:.1f} s of media",
        err=True,
    )


def _told(outcome: ReplayOutcome, settings: Settings, wishes: _Wishes) -> tuple[JsonObject, str]:
    """The score, the comparison and the picture that were asked for: as JSON, and as text."""
    from edgenode.replay.worth import clips_of, compare, intervals_of, score_rules, tracks_of

    events = intervals_of(outcome.events, clips_of(settings), wishes.start)
    summary: JsonObject = {
        "frames": outcome.count.frames,
        "samples": outcome.count.samples,
        "media_s": round(outcome.count.media_s, 3),
        "events": len(events),
    }
    paragraphs = []
    if wishes.truth:
        scores = score_rules(events, wishes.truth, settings, outcome.subjects, wishes.tolerance_s)
        summary["score"] = scores.to_json()
        paragraphs.append(scores.text())
    if wishes.other is not None:
        loaded = proven(wishes.other)
        with Progress() as progress:
            there = run_replay(loaded.settings, loaded.base_dir, None, wishes.start, wishes.until_s, progress)
        others = intervals_of(there.events, clips_of(loaded.settings), wishes.start)
        comparison = compare(events, others, wishes.tolerance_s)
        summary["comparison"] = comparison.to_json()
        paragraphs.append(comparison.text(str(wishes.other)))
    if wishes.timeline is not None:
        from edgenode.replay.timeline import timeline_png

        tracks = tracks_of(
            outcome.decisions, events, wishes.truth, settings, outcome.thresholds, wishes.start
        )
        wishes.timeline.write_bytes(timeline_png(tracks, ", ".join(clips_of(settings).values())))
    return summary, "\n".join(paragraphs)


class Progress:
    """How far a replay has come, on a terminal's last line; nothing where standard error is no terminal."""

    def __init__(self) -> None:
        self._shown = sys.stderr.isatty()
        self._begun_s = self._told_s = time.monotonic()

    def __call__(self, media_s: float) -> None:
        """Called with each frame's media time."""
        now_s = time.monotonic()
        if self._shown and now_s - self._told_s >= PROGRESS_S:
            self._told_s = now_s
            times = media_s / (now_s - self._begun_s)
            sys.stderr.write(f"\r{media_s:.1f} s of media, {times:.1f} times as fast as it was \x1b[K")
            sys.stderr.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
