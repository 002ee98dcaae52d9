"""`edgenode outbox`: what an operator sees of the store, and what he may do to it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from edgenode.cli import main
from edgenode.clock import ManualClock
from edgenode.delivery.outbox import Outbox
from edgenode.delivery.outbox_inspect import stats
from edgenode.delivery.outbox_rows import Draft, OutboxLimits
from edgenode.delivery.payloads import LossRange
from edgenode.node.memory import StateDirectory
from edgenode.records import Message, Severity

NOW = datetime.now(UTC)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A node with four events, the first of them delivered: two old ones, two of a minute ago."""
    (tmp_path / "edgenode.toml").write_text(f'[node]\nstate_dir = "{tmp_path / "state"}"\n')
    clock = ManualClock(NOW - timedelta(hours=2))
    outbox = Outbox(tmp_path / "state" / "outbox", OutboxLimits(), clock)

    def store(rule: str, payload: bytes) -> None:
        topic = f"edgenode/v1/gateway-7/events/{rule}"
        outbox.append_many([Draft(Severity.WARNING, lambda seq: Message(topic, payload), None)])

    store("lit", b'{"a": 1}')
    store("dark", b"{}")
    clock.advance(2 * 3600 - 60.0)
    outbox.ack([each.seq for each in outbox.claim(1)])
    store("lit", b"{}")
    store("lit/snapshot", b"\xff\xd8")
    outbox.close()
    return tmp_path


def run(folder: Path, *arguments: str, stdin: str | None = None) -> Result:
    command, *rest = arguments
    return CliRunner().invoke(
        main, ["outbox", command, "--config", str(folder / "edgenode.toml"), *rest], input=stdin
    )


def lost_named(folder: Path) -> list[tuple[str, int | None, int | None, int | None]]:
    outbox = Outbox(folder / "state" / "outbox", OutboxLimits(), ManualClock(NOW))
    lost: list[LossRange] = []
    while outbox.append_notice(lambda seq, ranges: (lost.extend(ranges), Message("n", b""))[1]):
        pass
    outbox.close()
    return [(each.reason, each.count, each.first_seq, each.last_seq) for each in lost]


def test_stats_list_and_export_agree(folder: Path) -> None:
    counted = json.loads(run(folder, "stats", "--json").stdout)
    assert (counted["appended"], counted["waiting"], counted["acknowledged"]) == (4, 3, 1)
    assert "waiting       3" in run(folder, "stats").stdout
    listed = run(folder, "list").stdout.splitlines()
    assert len(listed) == 4
    assert "acknowledged" in listed[0]
    assert all("waits" in line for line in listed[1:])
    assert len(run(folder, "list", "--waiting", "--limit", "2").stdout.splitlines()) == 2
    exported = [json.loads(line) for line in run(folder, "export").stdout.splitlines()]
    assert [line["seq"] for line in exported] == [1, 2, 3, 4]
    assert exported[0]["payload_text"] == '{"a": 1}'
    assert exported[3]["payload_hex"] == "ffd8"
    assert run(folder, "export", "--out", str(folder / "out.jsonl")).exit_code == 0
    assert len((folder / "out.jsonl").read_text().splitlines()) == 4


def test_replay_makes_delivered_ones_wait_again(folder: Path) -> None:
    assert "0 messages wait again" in run(folder, "replay", "--since", "10s").stdout
    assert "1 messages wait again" in run(folder, "replay", "--since", "1h").stdout
    assert "4" in run(folder, "stats").stdout.splitlines()[1]


@pytest.mark.parametrize(
    ("options", "left", "named"),
    [
        ([], 0, [("dropped", 3, 2, 4)]),
        (["--before", "1h"], 2, [("dropped", 1, 2, 2)]),
        (["--rule", "lit"], 1, [("dropped", 2, 3, 4)]),
        (["--rule", "nothing"], 3, []),
    ],
)
def test_drop_gives_up_what_was_asked_and_names_it(
    folder: Path, options: list[str], left: int, named: list[tuple[str, int, int, int]]
) -> None:
    done = run(folder, "drop", "--yes", *options)
    assert done.exit_code == 0, done.output
    counted = stats(folder / "state" / "outbox", NOW)
    assert counted.waiting == left
    assert counted.appended == counted.waiting + counted.acknowledged + sum(counted.lost.values())
    assert f"{3 - left} messages given up, {left} still wait" in done.stdout
    assert lost_named(folder) == named


def test_drop_spares_notices(folder: Path) -> None:
    run(folder, "drop", "--yes", "--rule", "dark")
    assert lost_named(folder) == [("dropped", 1, 2, 2)]
    assert "2 messages given up, 1 still wait" in run(folder, "drop", "--yes").stdout


def test_drop_asks_first(folder: Path) -> None:
    refused = run(folder, "drop", "--before", "1h", stdin="n\n")
    assert refused.exit_code == 1
    assert "Of 3 waiting messages, give up those stored before" in refused.output
    assert stats(folder / "state" / "outbox", NOW).waiting == 3
    assert "1 messages given up" in run(folder, "drop", "--before", "1h", stdin="y\n").output


@pytest.mark.parametrize("command", [("drop", "--yes"), ("replay", "--since", "1h")])
def test_nothing_is_changed_under_a_running_node(folder: Path, command: tuple[str, ...]) -> None:
    with StateDirectory(folder / "state"):
        done = run(folder, *command)
    assert done.exit_code == 78
    assert "in use by another node" in done.output
    assert stats(folder / "state" / "outbox", NOW).waiting == 3


def test_a_node_without_an_outbox_says_so(tmp_path: Path) -> None:
    (tmp_path / "edgenode.toml").write_text(f'[node]\nstate_dir = "{tmp_path / "state"}"\n')
    for command in (["stats"], ["list"], ["export"], ["drop", "--yes"], ["replay", "--since", "1h"]):
        done = run(tmp_path, *command)
        assert done.exit_code == 1
        assert "is this the node's state directory" in done.output
