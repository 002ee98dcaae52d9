"""`edgenode replay`: a configuration's files through the whole pipeline, events to a file, scored if asked."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from edgenode.cli import config_option, proven

if TYPE_CHECKING:
    from edgenode.records import CameraReport, Decision, Event, Prediction


class EventFile:
    """The outlet of a replay: one JSON object a line, as it would have been published."""

    def __init__(self, file: IO[str], payload: Callable[[Event, int], str]) -> None:
        self._file = file
        self._payload = payload
        self.events: list[Event] = []

    def publish_event(self, event: Event, jpeg: bytes | None) -> None:
        del jpeg
        self._file.write(self._payload(event, len(self.events)) + "\n")
        self.events.append(event)

    def publish_region_state(self, decision: Decision, event_id: str | None) -> None:
        """States are not part of a replay's result."""

    def publish_classification(self, prediction: Prediction) -> None:
        """Nor are single predictions."""

    def publish_camera(self, report: CameraReport) -> None:
        """Nor camera reports, of which a replay has none."""


class _Unmeasured:
    def stage_seconds(self, stage: str, seconds: float) -> None: ...
    def prediction(self, model: str, probability: float) -> None: ...


def _utc(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


@click.command("replay")
@config_option
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Where the events go; - for stdout.")
@click.option("--start", default="1970-01-01T00:00:00Z", show_default=True, help="UTC of media second 0.")
@click.option("--until", type=float, help="Stop at this media second.")
@click.option("--truth", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="Intervals to score.")
@click.option("--timeline", type=click.Path(path_type=Path, dir_okay=False), help="Write a picture of it here.")
def replay_command(
    config_path: Path,
    out: Path | None,
    start: str,
    until: float | None,
    truth: Path | None,
    timeline: Path | None,
) -> None:
    """Replay the files of a configuration as fast as the machine goes; no frame is dropped."""
    del truth, timeline
    loaded = proven(config_path)
    try:
        begin = _utc(start)
    except ValueError as error:
        raise click.BadParameter(f"{start!r} is no RFC 3339 time", param_hint="--start") from error
    with ExitStack() as stack:
        file: IO[str] = sys.stdout
        if out is not None and str(out) != "-":
            file = stack.enter_context(out.open("w", encoding="utf-8"))
        from edgenode.replaying import run_replay

        outcome = run_replay(loaded.settings, loaded.base_dir, file, begin, until)
    click.echo(
        f"{outcome.count.frames} frames, {outcome.count.samples} samples, {len(outcome.events)} event messages, "
        f"{outcome.count.media_s:.1f} s of media",
        err=True,
    )
    _ = json
