"""`edgenode replay`: a configuration's files through the whole pipeline, events to a file."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from edgenode import __version__
from edgenode.cli import config_option, moment_of, proven

if TYPE_CHECKING:
    from edgenode.delivery.messages import Origin
    from edgenode.records import CameraReport, Decision, Event, Prediction
    from edgenode.replay import ReplayCount
    from edgenode.settings import Settings

BOOT = "replay"
"""Stands where a live event has the id of the process's life."""


@dataclass(frozen=True, slots=True)
class ReplayOutcome:
    count: ReplayCount
    events: tuple[Event, ...]
    predictions: tuple[Prediction, ...]
    decisions: tuple[Decision, ...]
    """Every decision, changed or not, in order."""


class EventFile:
    """The outlet of a replay: each event step as the line of JSON that would have been published."""

    def __init__(self, origin: Origin, file: IO[str] | None) -> None:
        self._origin = origin
        self._file = file
        self.events: list[Event] = []

    def publish_event(self, event: Event, jpeg: bytes | None) -> None:
        from edgenode.delivery.messages import event_message

        del jpeg
        self.events.append(event)
        if self._file is not None:
            message = event_message(self._origin, event, len(self.events), "unsynchronised")
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
    from edgenode.replay import EPOCH, replay
    from edgenode.wiring import load_classifiers

    start = start if start is not None else EPOCH
    classifiers = load_classifiers(settings, base_dir)
    try:
        cards = {name: classifier.card for name, classifier in classifiers.items()}
        seed = hashlib.sha256(repr((settings.cameras, settings.rules)).encode()).hexdigest()
        rules = build_rules(settings, region_labels(settings, cards), replay_ids(seed))
        outlet = EventFile(
            Origin(Topics(settings.mqtt.base_topic, settings.node.name), BOOT, __version__, 0), file
        )
        predictions: list[Prediction] = []
        decisions: list[Decision] = []
        desk = DecisionDesk(
            build_decider(settings, cards),
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
    return ReplayOutcome(count, tuple(outlet.events), tuple(predictions), tuple(decisions))


@click.command("replay")
@config_option
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="Where the events go; - for stdout."
)
@click.option("--start", default="1970-01-01T00:00:00Z", show_default=True, help="UTC of media second 0.")
@click.option("--until", "until_s", type=click.FloatRange(min=0.0), help="Stop at this media second.")
def replay_command(config_path: Path, out: Path | None, start: str, until_s: float | None) -> None:
    """Replay the files of a configuration as fast as the machine goes; no frame is dropped."""
    loaded = proven(config_path)
    begin = moment_of(start, "--start")
    with ExitStack() as stack:
        file: IO[str] | None = None
        if out is not None:
            file = sys.stdout if str(out) == "-" else stack.enter_context(out.open("w", encoding="utf-8"))
        outcome = run_replay(loaded.settings, loaded.base_dir, file, begin, until_s)
    click.echo(
        f"{outcome.count.frames} frames, {outcome.count.samples} samples, {len(outcome.events)} event messages, "
        f"{outcome.count.media_s:.1f} s of media",
        err=True,
    )
