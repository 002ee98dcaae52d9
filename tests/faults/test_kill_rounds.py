"""Nothing that was stored is lost, whoever dies when. 12 rounds; EDGENODE_FAULT_ROUNDS asks for more, as
`make test-faults` does."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.faults.journal import Books, Entry
from tests.faults.kill_rounds import KillRun, judge
from tests.servers.mosquitto import MOSQUITTO

ROUNDS = int(os.environ.get("EDGENODE_FAULT_ROUNDS", "12"))


@pytest.mark.faults
@pytest.mark.timeout(120 + 10 * ROUNDS)
@pytest.mark.skipif(not Path(MOSQUITTO).exists(), reason="mosquitto is not installed: apt install mosquitto")
def test_no_stored_event_is_lost_whoever_dies_when(tmp_path: Path, nothing_left_behind: None) -> None:
    seed = int(os.environ.get("EDGENODE_FAULT_SEED", random.SystemRandom().randrange(10**6)))
    print(f"seed {seed}: EDGENODE_FAULT_SEED={seed} repeats the order of faults")
    report = KillRun(tmp_path, ROUNDS, seed).run()
    print(report)
    assert report.problems == []
    assert report.received == report.appended > ROUNDS


def entry(seq: int, event: str = "e", n: int | None = None, digest: bytes = b"") -> Entry:
    return Entry(seq, event, seq if n is None else n, digest)


def books(*seqs: int) -> Books:
    found = Books()
    for seq in seqs:
        found.first.setdefault(seq, entry(seq))
        found.times[seq] += 1
    return found


def stored(*seqs: int) -> dict[int, Entry]:
    return {seq: entry(seq) for seq in seqs}


def test_the_judge_sees_each_way_to_break_the_promise() -> None:
    assert judge(books(1, 2, 2, 1, 3), stored(1, 2, 3), set()) == []
    assert "never received: [2]" in judge(books(1, 3), stored(1, 2, 3), set())[0]
    assert "never had: [4]" in judge(books(1, 2, 4), stored(1, 2), set())[0]
    assert "after younger ones: [2]" in judge(books(1, 3, 2), stored(1, 2, 3), set())[0]
    assert judge(books(1, 3, 2), stored(1, 2, 3), {2}) == [], "a replay comes late"
    assert "no notice names them: [2]" in judge(books(1, 3), stored(1, 3), set())[0]
    explained = books(1, 3)
    explained.notices[3] = [{"first_seq": 2, "last_seq": 2}]
    assert judge(explained, stored(1, 3), set()) == []
    other = {1: entry(1), 2: entry(2, digest=b"x")}
    assert "different contents: [2]" in judge(books(1, 2), other, set())[0]
    twice = {1: entry(1, "e", 0), 2: entry(2, "e", 0)}
    found = books()
    found.first.update(twice)
    assert judge(found, twice, set()) == ["e 0 has two numbers: 1 and 2"]
