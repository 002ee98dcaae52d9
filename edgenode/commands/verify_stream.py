"""`edgenode verify-stream`: subscribe, and prove from the numbers of events that nothing is missing."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgenode.cli import read_settings

if TYPE_CHECKING:
    from edgenode.delivery.stream_check import Stream, StreamCheck
    from edgenode.delivery.stream_listener import StreamListener
    from edgenode.settings import MqttSettings

INCOMPLETE = 1
NOTHING_CAME = 3
SHOWN_SPANS = 20


@click.command("verify-stream")
@click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="EDGENODE_CONFIG",
    help="Take broker, TLS files and base topic from this node's configuration, but no user name.",
)
@click.option("--host", help="Broker.  [default: the configuration's, or localhost]")
@click.option("--port", type=click.IntRange(1, 65535))
@click.option("--username", help="An account that may read the events.")
@click.option("--password-file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option("--ca-file", type=click.Path(path_type=Path, dir_okay=False, exists=True), help="Turns TLS on.")
@click.option("--cert-file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option("--key-file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option("--base-topic", help="[default: the configuration's, or edgenode/v1]")
@click.option("--node", "nodes", multiple=True, help="Only this node; repeat for several.  [default: all]")
@click.option(
    "--duration", default="60s", show_default=True, help="How long to listen; 0s: until interrupted."
)
@click.option(
    "--grace", default="10s", show_default=True, help="After that, wait so long for what is still missing."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def verify_stream_command(
    config_path: Path | None, nodes: tuple[str, ...], duration: str, grace: str, as_json: bool, **broker: Any
) -> None:
    """Listen to the events of one node or of all, and prove that none is missing.

    Numbers between the first message and the newest must have come, or be named in a notice of loss (evicted,
    expired, too large …). Repeated messages are told by their contents. What came before the first message and
    what is still on its way after the newest cannot be known.

    Exit code: 0 nothing is missing, 1 something is missing or contradicts itself, 3 no event came.
    """
    from edgenode.delivery.stream_check import StreamCheck
    from edgenode.delivery.stream_listener import StreamListener

    settings = _broker(config_path, broker)
    listen_s, grace_s = _seconds(duration, "--duration"), _seconds(grace, "--grace")
    base = settings.base_topic
    listener = StreamListener(settings, [f"{base}/{node}/events/#" for node in nodes or ("+",)])
    check = StreamCheck(base)
    listener.start()
    try:
        _listen(listener, check, listen_s, grace_s)
    finally:
        listener.stop()
    _report(check, listener, as_json)


def _listen(listener: StreamListener, check: StreamCheck, listen_s: float, grace_s: float) -> None:
    end_s = time.monotonic() + listen_s if listen_s else float("inf")

    def take() -> None:
        for each in listener.take():
            check.take(each.topic, each.payload, each.properties)

    def step(left_s: float) -> None:
        listener.wait(min(left_s, 1.0))
        take()

    try:
        while (left_s := end_s - time.monotonic()) > 0.0:
            step(left_s)
        end_s = time.monotonic() + grace_s
        while (left_s := end_s - time.monotonic()) > 0.0 and any(s.missing for s in check.streams.values()):
            step(left_s)
    except KeyboardInterrupt:
        take()


def _report(check: StreamCheck, listener: StreamListener, as_json: bool) -> None:
    streams = [check.streams[node] for node in sorted(check.streams)]
    complete = all(stream.complete for stream in streams)
    if as_json:
        click.echo(
            json.dumps(
                {
                    "complete": complete and bool(streams),
                    "nodes": {stream.node: _as_json(stream) for stream in streams},
                    "strange": check.strange,
                    "subscription_forgotten": listener.forgotten,
                    "not_taken": listener.overrun,
                }
            )
        )
    else:
        for stream in streams:
            click.echo("\n".join(_lines(stream)))
        for text in _remarks(check, listener):
            click.echo(f"note: {text}")
    if not streams:
        click.echo("no event came: nothing is proven", err=True)
        sys.exit(NOTHING_CAME)
    if not complete:
        sys.exit(INCOMPLETE)


def _lines(stream: Stream) -> list[str]:
    head = f"{stream.node}: {stream.messages} messages"
    if stream.seen:
        head += f", seq {stream.seen.first} to {stream.seen.last}"
    head += f", {stream.duplicates} repeated, {stream.late} late, {len(stream.boots)} lives of the process"
    lines = [head]
    if stream.given_up:
        told = ", ".join(f"{count} {reason}" for reason, count in sorted(stream.given_up.items()))
        lines.append(f"{stream.node}: given up and named by the node: {told}")
    lines += [f"{stream.node}: {problem}" for problem in stream.problems]
    missing = stream.missing
    if missing:
        count = sum(span.count for span in missing)
        shown = ", ".join(map(str, missing[:SHOWN_SPANS])) + (" …" if len(missing) > SHOWN_SPANS else "")
        lines.append(f"{stream.node}: {count} MISSING: seq {shown}")
    elif not stream.problems:
        lines.append(f"{stream.node}: nothing is missing")
    return lines


def _as_json(stream: Stream) -> dict[str, Any]:
    return {
        "messages": stream.messages,
        "first_seq": stream.seen.first if stream.seen else None,
        "last_seq": stream.seen.last if stream.seen else None,
        "repeated": stream.duplicates,
        "late": stream.late,
        "boots": len(stream.boots),
        "given_up": dict(stream.given_up),
        "missing": [[span.first, span.last] for span in stream.missing],
        "problems": stream.problems,
    }


def _remarks(check: StreamCheck, listener: StreamListener) -> list[str]:
    remarks = []
    if check.strange:
        remarks.append(f"{check.strange} messages under events/ were no events of this program")
    if listener.forgotten:
        remarks.append(
            f"the broker forgot this subscription {listener.forgotten} times: what is missing may have passed by then"
        )
    if listener.overrun:
        remarks.append(f"{listener.overrun} messages came faster than they could be looked at")
    return remarks


def _broker(config_path: Path | None, given: dict[str, Any]) -> MqttSettings:
    """Where to listen. The node's own account is not taken: shipped access lists do not let it read events."""
    from pydantic import ValidationError

    from edgenode.settings import MqttSettings

    known: dict[str, Any] = {}
    if config_path is not None:
        mqtt = read_settings(config_path).mqtt
        known = {"host": mqtt.host, "port": mqtt.port, "base_topic": mqtt.base_topic, "ca_file": mqtt.ca_file}
    known |= {name: value for name, value in given.items() if value is not None}
    try:
        return MqttSettings(**known, allow_insecure=True)
    except ValidationError as error:
        raise click.UsageError("; ".join(str(each["msg"]) for each in error.errors())) from error


def _seconds(text: str, option: str) -> float:
    from edgenode.settings import parse_duration

    try:
        return float(parse_duration(text))
    except (TypeError, ValueError) as error:
        raise click.BadParameter(str(error), param_hint=option) from error
