"""`edgenode verify`: prove that a file of events is what the node published, whole and unaltered."""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgenode.errors import DataError

if TYPE_CHECKING:
    from edgenode.decision.evidence import ChainLink

EVENT_TYPES = frozenset({"start", "update", "end"})


@dataclass(frozen=True, slots=True)
class ChainedEvent:
    """One event of the file, its place in it, and its link."""

    line: int
    seq: int
    evidence: str | None
    link: ChainLink


def read_events(path: Path) -> list[ChainedEvent]:
    """The chained events of a file with one JSON payload a line, by `seq`; repeated ones once.

    Other payloads (notices of loss, states) are passed over. Raises DataError naming the line.
    """
    found: dict[int, ChainedEvent] = {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            payload = json.loads(line)
        except ValueError as error:
            raise DataError(f"{path}, line {number}: no JSON: {error}") from error
        if not isinstance(payload, dict) or payload.get("event_type") not in EVENT_TYPES:
            continue
        event = _chained(path, number, payload)
        if event.seq in found and found[event.seq].link != event.link:
            raise DataError(f"{path}, line {number}: another event with seq {event.seq} says something else")
        found.setdefault(event.seq, event)
    return [found[seq] for seq in sorted(found)]


def _chained(path: Path, number: int, payload: dict[str, Any]) -> ChainedEvent:
    from edgenode.decision.evidence import ChainLink

    chain = payload.pop("chain", None)
    seq, evidence = payload.get("seq"), payload.get("evidence")
    if not isinstance(chain, dict) or not all(
        isinstance(chain.get(key), str) for key in ("previous", "hash")
    ):
        raise DataError(
            f"{path}, line {number}: the event carries no link: chains begin with `chain = true` under [outbox]"
        )
    if not isinstance(seq, int) or not (evidence is None or isinstance(evidence, str)):
        raise DataError(f"{path}, line {number}: seq or evidence is not what an event has")
    return ChainedEvent(number, seq, evidence, ChainLink(chain["previous"], payload, evidence, chain["hash"]))


def picture_problems(events: list[ChainedEvent], folder: Path) -> list[str]:
    """Events whose picture is not in `folder` as it was. Files are found by content, whatever their names."""
    try:
        hashes = {
            hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.rglob("*") if file.is_file()
        }
    except OSError as error:
        raise DataError(f"{error.filename}: cannot be read: {error.strerror}") from error
    return [
        f"event with seq {event.seq}: no file in {folder} has its picture's sha256 {event.evidence}"
        for event in events
        if event.evidence is not None and event.evidence not in hashes
    ]


@click.command("verify")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--pictures", type=click.Path(path_type=Path, file_okay=False), help="Folder with the evidence pictures."
)
@click.option(
    "--after", help="Hash that the first event follows, for an extract; default: the chain's beginning."
)
@click.option("--head", help="Hash of the newest event, noted elsewhere: proves that the end is not missing.")
def verify_command(file: Path, pictures: Path | None, after: str | None, head: str | None) -> None:
    """Prove that no event in FILE (one JSON payload a line) was altered, removed or put in later.

    Exit code 1 when something is not as it was.
    """
    from edgenode.decision.evidence import GENESIS, verify

    events = read_events(file)
    if not events:
        raise DataError(f"{file}: holds no event")
    problems = []
    broken = verify([event.link for event in events], after or GENESIS, head)
    if broken is not None:
        at = events[broken.position] if broken.position < len(events) else None
        where = "the end" if at is None else f"line {at.line} (seq {at.seq})"
        problems.append(f"{file}, {where}: {broken.reason}")
        if broken.position == 0 and at is not None and at.link.previous != (after or GENESIS):
            problems.append(f"for an extract of a longer chain, say --after {at.link.previous}")
    if pictures is not None:
        problems.extend(picture_problems(events, pictures))
    if problems:
        for problem in problems:
            click.echo(problem, err=True)
        sys.exit(1)
    shown = sum(event.evidence is not None for event in events)
    told = (
        f", {shown} pictures" if pictures is not None else f", {shown} name a picture that was not looked at"
    )
    click.echo(f"{file}: {len(events)} events, none altered or missing{told if shown else ''}")
    click.echo(f"newest hash: {events[-1].link.hash}")
    if head is None:
        click.echo("whether newer ones were cut off shows only with --head, a hash noted elsewhere")
