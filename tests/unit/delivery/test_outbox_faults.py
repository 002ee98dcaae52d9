"""What the outbox does when the disk, the file or the process fails. Every fault is a real one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from edgenode.clock import ManualClock, SystemClock
from edgenode.delivery.outbox import Outbox
from edgenode.delivery.outbox_file import RESERVE_STEP, SLACK_BYTES
from edgenode.delivery.outbox_inspect import export, list_messages, stats
from edgenode.delivery.outbox_rows import Draft, OutboxLimits
from edgenode.delivery.payloads import LossRange
from edgenode.errors import OutboxError
from edgenode.records import Message, Severity

ROOT = Path(__file__).resolve().parents[3]


def draft(text: str = "", severity: Severity = Severity.WARNING, size: int = 0) -> Draft:
    return Draft(severity, lambda seq: Message("t", f"{seq} {text}".encode() + b"x" * size), None)


def fill(folder: Path, count: int) -> None:
    outbox = Outbox(folder, OutboxLimits(), SystemClock())
    outbox.append_many([draft(size=300) for _ in range(count)])
    outbox.close()


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def overwrite_middle(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4096 : len(content)] = b"\xa5" * (len(content) - 4096)
    path.write_bytes(content)


def overwrite_header(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"not a database at all, really")


def empty(path: Path) -> None:
    path.write_bytes(b"")


def garbage(path: Path) -> None:
    path.write_bytes(os.urandom(20_000))


@pytest.mark.parametrize("damage", [truncate, overwrite_middle, overwrite_header, empty, garbage])
def test_a_damaged_file_is_set_aside_and_numbers_go_on_above(tmp_path: Path, damage: object) -> None:
    fill(tmp_path, 200)
    damage(tmp_path / "outbox.db")  # type: ignore[operator]
    outbox = Outbox(tmp_path, OutboxLimits(), SystemClock())
    try:
        assert outbox.set_aside is not None
        assert outbox.set_aside.exists()
        assert outbox.damage
        seqs = outbox.append_many([draft()])
        assert 200 < seqs[0] <= 200 + 2 * RESERVE_STEP
        lost: list[LossRange] = []
        assert outbox.append_notice(lambda seq, ranges: (lost.extend(ranges), Message("n", b""))[1])
        assert [(each.reason, each.last_seq) for each in lost] == [("set_aside", seqs[0] - 1)]
    finally:
        outbox.close()


def test_a_lost_file_is_noticed_too(tmp_path: Path) -> None:
    fill(tmp_path, 5)
    for path in tmp_path.glob("outbox.db*"):
        path.unlink()
    outbox = Outbox(tmp_path, OutboxLimits(), SystemClock())
    assert outbox.append_many([draft()])[0] > 5
    outbox.close()


def test_garbage_in_the_log_harms_nothing(tmp_path: Path) -> None:
    fill(tmp_path, 50)
    (tmp_path / "outbox.db-wal").write_bytes(os.urandom(9000))
    outbox = Outbox(tmp_path, OutboxLimits(), SystemClock())
    assert outbox.set_aside is None
    assert len(outbox.claim(100)) == 50
    outbox.close()


def test_the_file_keeps_its_limit_and_every_number_is_accounted_for(tmp_path: Path) -> None:
    limits = OutboxLimits(max_bytes=400_000)
    evicted: list[int] = []
    outbox = Outbox(tmp_path, limits, SystemClock(), lambda reason, count: evicted.append(count))
    used: list[int] = []
    for _ in range(60):
        used += outbox.append_many([draft(size=700) for _ in range(50)])
    held = {each.seq for each in outbox.claim(10_000)}
    assert len(held) + sum(evicted) == len(used)
    assert max(held) == used[-1]
    assert (tmp_path / "outbox.db").stat().st_size <= limits.max_bytes + SLACK_BYTES
    lost: list[LossRange] = []
    while outbox.append_notice(lambda seq, ranges: (lost.extend(ranges), Message("n", b""))[1]):
        pass
    named = {seq for each in lost for seq in range(each.first_seq or 0, (each.last_seq or 0) + 1)}
    assert named | held == set(used)
    outbox.close()


def test_pictures_larger_than_the_page_limit_make_room_for_themselves(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, OutboxLimits(max_bytes=3_000_000), SystemClock())
    for _ in range(40):
        outbox.append_many([draft(size=250_000)])
    assert 5 < outbox.waiting < 13
    assert (tmp_path / "outbox.db").stat().st_size <= 3_000_000 + SLACK_BYTES
    outbox.close()


def test_a_message_larger_than_the_outbox_is_evicted_and_not_the_end(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, OutboxLimits(max_bytes=100_000), SystemClock())
    outbox.append_many([draft(size=200_000, severity=Severity.CRITICAL)])
    assert outbox.waiting == 0
    assert outbox.append_many([draft()]) == [2]
    outbox.close()


def test_severity_decides_what_goes_first(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, OutboxLimits(max_messages=3), SystemClock())
    for name in ("critical", "info", "warning", "critical", "warning"):
        outbox.append_many([draft(name, Severity(name))])
    kept = [each.message.payload.split()[1] for each in outbox.claim(10)]
    assert kept == [b"critical", b"critical", b"warning"]
    outbox.close()


FULL_DISK = """
import resource, sys
from pathlib import Path
from edgenode.clock import SystemClock
from edgenode.delivery.outbox import Outbox
from edgenode.delivery.outbox_rows import Draft, OutboxLimits
from edgenode.errors import OutboxError
from edgenode.records import Message, Severity

outbox = Outbox(Path(sys.argv[1]), OutboxLimits(), SystemClock())
draft = Draft(Severity.WARNING, lambda seq: Message("t", b"x" * 2000), None)
stored = outbox.append_many([draft] * 100)
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, hard))
failures = 0
for _ in range(60):
    try:
        stored += outbox.append_many([draft] * 20)
    except OutboxError as error:
        failures += 1
        assert error.retryable
assert failures, "the limit was never met"
before = outbox.counts()
assert before.waiting == before.appended == len(stored), (before, len(stored))
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
stored += outbox.append_many([draft] * 20)
assert stored == list(range(1, len(stored) + 1))
assert len(outbox.claim(10_000)) == len(stored)
print("ok", failures)
"""


def test_a_full_disk_is_an_error_until_there_is_space_again(tmp_path: Path) -> None:
    """A file size limit of the process stands in for the disk's end: the same failed writes."""
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("ok")


APPENDER = """
import sys
from pathlib import Path
from edgenode.clock import SystemClock
from edgenode.delivery.outbox import Outbox
from edgenode.delivery.outbox_rows import Draft, OutboxLimits
from edgenode.records import Message, Severity

outbox = Outbox(Path(sys.argv[1]), OutboxLimits(), SystemClock())
draft = Draft(Severity.WARNING, lambda seq: Message("t", b"%d" % seq), None)
while True:
    seqs = outbox.append_many([draft] * 7)
    claimed = [each.seq for each in outbox.claim(5)]
    print("+", *seqs, flush=True)
    outbox.ack(claimed)
    print("-", *claimed, flush=True)
"""


def test_what_was_committed_survives_kill_9(tmp_path: Path) -> None:
    appended: set[int] = set()
    acked: set[int] = set()
    for round_lines in (3, 40, 160):
        process = subprocess.Popen(
            [sys.executable, "-c", APPENDER, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(round_lines)]
        process.send_signal(signal.SIGKILL)
        lines += process.stdout.readlines()
        process.stdout.close()
        process.wait()
        complete = [line.split() for line in lines if line.endswith("\n")]
        fresh = {int(seq) for line in complete if line[0] == "+" for seq in line[1:]}
        assert not fresh & appended, "a number was used twice"
        appended |= fresh
        acked |= {int(seq) for line in complete if line[0] == "-" for seq in line[1:]}
        outbox = Outbox(tmp_path, OutboxLimits(), SystemClock())
        assert outbox.set_aside is None
        held = {each.seq for each in outbox.claim(100_000)}
        assert appended - acked - held == set() or appended - acked - held <= _acked_unseen(outbox)
        assert not acked & held
        assert outbox.next_seq > max(appended)
        outbox.close()


def _acked_unseen(outbox: Outbox) -> set[int]:
    """Acknowledged just before the kill, too late to be printed."""
    return {seq for (seq,) in outbox._db.execute("SELECT seq FROM ack")}


def test_reading_tools_see_what_a_running_node_holds(tmp_path: Path) -> None:
    clock = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
    outbox = Outbox(tmp_path, OutboxLimits(), clock)
    outbox.append_many([draft("a"), draft("b"), draft("c")])
    outbox.ack([outbox.claim(1)[0].seq])
    clock.advance(10.0)
    known = stats(tmp_path, clock.now())
    assert (known.waiting, known.acknowledged, known.kept, known.oldest_s) == (2, 1, 1, 10.0)
    rows = list_messages(tmp_path, limit=10)
    assert [(row.seq, row.acknowledged_at is not None) for row in rows] == [(1, True), (2, False), (3, False)]
    assert [row.seq for row in list_messages(tmp_path, limit=10, waiting_only=True)] == [2, 3]
    lines = list(export(tmp_path))
    assert [line["payload_text"] for line in lines] == ["1 a", "2 b", "3 c"]
    outbox.close()


def test_the_reading_tools_say_where_there_is_no_outbox(tmp_path: Path) -> None:
    with pytest.raises(OutboxError, match="is this the node's state directory"):
        stats(tmp_path, datetime.now(UTC))


def test_what_was_acknowledged_can_be_sent_again(tmp_path: Path) -> None:
    clock = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
    outbox = Outbox(tmp_path, OutboxLimits(keep_s=100.0), clock)
    outbox.append_many([draft() for _ in range(6)])
    outbox.ack([each.seq for each in outbox.claim(3)])
    clock.advance(60.0)
    outbox.ack([each.seq for each in outbox.claim(3)])
    assert outbox.replay(clock.now()) == [4, 5, 6]
    assert [each.seq for each in outbox.claim(10)] == [4, 5, 6]
    clock.advance(50.0)
    outbox.tidy()
    assert outbox.replay(datetime(2026, 1, 1, tzinfo=UTC)) == []
    assert outbox.waiting == 3
    outbox.close()
