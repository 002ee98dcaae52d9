"""Rounds of sudden death: the node or the broker is killed, frozen or cut off while eight cameras make events.

    python -m tests.faults.kill_rounds [--rounds N] [--seed S]

The truth is the outbox file: it keeps every message appended. A subscriber's journal must hold each of them,
unaltered and in order. What the broker had acknowledged and forgot in its own death is counted apart, and sent
again by `edgenode outbox replay`.
"""

from __future__ import annotations

import argparse
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from tests.faults.journal import Books, Entry, Journal, entry_of
from tests.models import make_model
from tests.servers.mosquitto import MosquittoBroker
from tests.servers.mqtt_proxy import MqttProxy
from tests.system.daemon import REPOSITORY, eventually
from tests.system.plant import ROOT, Plant

CAMERAS = 8
FAULTS = {"kill node": 2, "kill broker": 6, "cut link": 7, "freeze broker": 4, "kill both": 1}
"""How often each comes, relative to the others."""
LONGEST_FAULT_S = 0.4
PATIENCE_S = 60.0
LONGEST_DRAIN_S = 600.0
SLOWEST_BROKER = 50.0
"""Messages a second of a broker that writes everything down after each, on a loaded machine."""
BROKER = (
    "autosave_interval 1",
    "autosave_on_changes true",
    "max_queued_messages 0",
    "max_inflight_messages 100",
)
"""The lines of mosquitto/gateway.conf that decide what a broker remembers."""


@dataclass
class Report:
    """What a run found; `problems` is empty when the promise was kept."""

    seed: int
    faults: Counter[str] = field(default_factory=Counter)
    recovered_s: list[float] = field(default_factory=list)
    """From the end of each fault to the next event at the subscriber."""
    lasted_s: float = 0.0
    appended: int = 0
    received: int = 0
    duplicates: int = 0
    forgotten_by_broker: int = 0
    """Acknowledged by a broker that was killed, and not delivered until they were replayed."""
    explained_gaps: int = 0
    """Numbers the outbox gave up, each named in a notice."""
    problems: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        times = sorted(self.recovered_s)
        middle, worst = (times[len(times) // 2], times[-1]) if times else (0.0, 0.0)
        return "\n".join(
            [
                f"seed {self.seed}: {sum(self.faults.values())} rounds in {self.lasted_s:.0f} s: "
                + ", ".join(f"{count} × {name}" for name, count in sorted(self.faults.items())),
                f"appended {self.appended}, received {self.received}, lost {self.appended - self.received}; "
                f"{self.duplicates} duplicates, all of known events; {self.explained_gaps} numbers explained",
                f"acknowledged and then forgotten by the broker, brought back by a replay: {self.forgotten_by_broker}",
                f"next event after the end of a fault: median {middle:.2f} s, longest {worst:.2f} s",
                *(self.problems or ["every event appended was received, in order"]),
            ]
        )


def plant_of(folder: Path, port: int) -> Plant:
    """Eight drawn belts; parts pass, so that each camera has an event open at any time and reports on it."""
    plant = Plant(folder, port)
    make_model(folder / "tiny.onnx", prototypes=((0.2, 0.2, 0.2), (0.65, 0.65, 0.65)))
    plant.sections["mqtt"] |= {"reconnect_pause": "200ms", "keepalive": "5s", "classification": "off"}
    plant.sections["outbox"] = {"max_events": 2_000_000, "max_size": "4GiB"}
    plant.sections["node"]["drain"] = "60s"
    for number in range(CAMERAS):
        name = f"line_{number}"
        box = [0.5, 0.375, 0.625, 0.5]
        region = {"name": "belt", "box": box, "smoothing": {"method": "none"}}
        plant.camera(name, f"synthetic:line?seed={number}&fps=5", fps=5, regions=[region])
        plant.rule(f"part_{number}", f'{name}.belt == "bright"', update_every="100ms")
        plant.rule(f"gap_{number}", f'{name}.belt == "dark"', update_every="200ms", severity="info")
    return plant


class KillRun:
    """One plant with its broker, its link and its subscriber, and what is done to them."""

    def __init__(self, folder: Path, rounds: int, seed: int) -> None:
        self._rng = random.Random(seed)
        self._rounds = rounds
        self._broker = MosquittoBroker(folder / "broker", BROKER)
        self._folder = folder
        self._pause = threading.Event()
        self.report = Report(seed)

    def run(self) -> Report:
        """All rounds and the reckoning. Everything started is ended."""
        begun_s = time.monotonic()
        self._broker.start()
        try:
            with (
                MqttProxy(self._broker.port) as self._proxy,
                plant_of(self._folder, self._proxy.port).node() as self._node,
            ):
                self._journal = Journal(self._broker.port, ROOT)
                try:
                    self._all_rounds()
                    self._reckon()
                finally:
                    self._journal.close()
        finally:
            self._broker.kill()
        self.report.lasted_s = time.monotonic() - begun_s
        return self.report

    def _all_rounds(self) -> None:
        self._await_next_events()
        for number in range(self._rounds):
            fault = self._rng.choices(list(FAULTS), weights=list(FAULTS.values()))[0]
            self.report.faults[fault] += 1
            self._rest(0.2)
            self._suffer(fault)
            healed_s = time.monotonic()
            self.report.recovered_s.append(self._await_next_events() - healed_s)
            if number % 50 == 49:
                print(
                    f"{number + 1} rounds, newest event {self._journal.books.newest}, "
                    f"{len(self._journal.gaps())} not received so far",
                    flush=True,
                )

    def _suffer(self, fault: str) -> None:
        if fault == "freeze broker":
            self._broker.freeze()
            self._rest(LONGEST_FAULT_S)
            self._broker.thaw()
        elif fault == "cut link":
            self._proxy.down()
            self._rest_down()
            self._proxy.up()
        elif fault == "kill broker":
            self._broker.kill()
            self._rest_down()
            self._broker.start()
        else:
            if fault == "kill both":
                self._broker.kill()
                self._rest(LONGEST_FAULT_S)
            self._node.signal(signal.SIGKILL)
            self._node.process.wait(PATIENCE_S)
            if fault == "kill both":
                self._rest(LONGEST_FAULT_S)
                self._broker.start()
            self._node.start()

    def _rest_down(self) -> None:
        """Mostly until the node was turned away once. Losses in a row with the way always there are what two nodes
        of one name look like, which makes both go slowly."""
        tries = self._proxy.turned_away
        self._rest(LONGEST_FAULT_S)
        if self._rng.random() < 0.8:
            eventually(lambda: self._proxy.turned_away > tries, "a try of the node", PATIENCE_S)

    def _rest(self, longest_s: float) -> None:
        self._pause.wait(self._rng.uniform(0.0, longest_s))

    def _await_next_events(self) -> float:
        """One event, and a random number of others, so that the next fault meets a node at work."""
        known = self._journal.books.newest
        self._await_number(known + 1)
        reached_s = time.monotonic()
        self._await_number(known + self._rng.randint(1, 15))
        return reached_s

    def _await_number(self, seq: int) -> None:
        def arrived() -> bool:
            ended = self._node.process.poll()
            assert ended is None, f"the node ended with {ended}"
            return self._journal.books.newest >= seq

        eventually(arrived, f"event number {seq}", PATIENCE_S)

    def _reckon(self) -> None:
        """Stop the node, let everything arrive, compare with the file; replay what the broker forgot."""
        report = self.report
        stored = self._stop_node()
        self._journal.settle()
        missing = self._journal.missing(set(stored))
        report.forgotten_by_broker = len(missing)
        if missing:
            replayed = self._replay(min(stored[seq][1] or 0 for seq in missing))
            print(f"{len(missing)} events to be brought back by a replay of {replayed}", flush=True)
            self._node.start()
            patience_s = PATIENCE_S + replayed / SLOWEST_BROKER
            try:
                eventually(lambda: not self._journal.missing(missing), "the replayed events", patience_s)
            except AssertionError as error:
                report.problems.append(str(error))
            stored = self._stop_node()
            self._journal.settle()
        books = self._journal.books
        report.appended = len(stored)
        report.received = len(books.first.keys() & stored.keys())
        report.duplicates = sum(books.times.values()) - len(books.times)
        report.problems += judge(books, {seq: entry for seq, (entry, _) in stored.items()}, missing)
        report.explained_gaps = len(_named(books))
        if waiting := [seq for seq, (_, at_us) in stored.items() if at_us is None]:
            report.problems.append(f"{len(waiting)} messages still wait after a clean stop")

    def _replay(self, since_us: int) -> int:
        """`edgenode outbox replay`; how many messages wait again."""
        done = subprocess.run(
            [
                *(sys.executable, "-m", "edgenode", "outbox", "replay"),
                *("--config", str(self._node.config), "--since", _rfc3339(since_us)),
            ],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return int(done.stdout.split()[0])

    def _stop_node(self) -> dict[int, tuple[Entry, int | None]]:
        """Every stored message: what it is, and when it was acknowledged (µs)."""
        eventually(lambda: self._node.get("/readyz")[0] == 200, "the node is ready", PATIENCE_S)
        eventually(
            lambda: self._node.metric("edgenode_outbox_messages") < 100, "little is left", LONGEST_DRAIN_S
        )
        self._node.signal(signal.SIGTERM)
        code = self._node.process.wait(LONGEST_DRAIN_S)
        assert code == 0, f"the node ended with {code}"
        with closing(sqlite3.connect(self._folder / "state" / "outbox" / "outbox.db")) as db:
            rows = db.execute(
                "SELECT message.seq, payload, at_us FROM message LEFT JOIN ack ON ack.seq = message.seq"
            )
            return {seq: (entry_of(payload), at_us) for seq, payload, at_us in rows}


def judge(books: Books, stored: dict[int, Entry], replayed: set[int]) -> list[str]:
    """What of the promise was broken; empty where nothing was.

    `replayed`: numbers that came by a replay, and so may come late.
    """
    problems = []
    if lost := sorted(stored.keys() - books.first.keys()):
        problems.append(f"{len(lost)} events were appended and never received: {lost[:10]}")
    if unknown := sorted(books.first.keys() - stored.keys()):
        problems.append(f"{len(unknown)} messages were received that the outbox never had: {unknown[:10]}")
    altered = [seq for seq, entry in books.first.items() if stored.get(seq, entry) != entry]
    if altered or books.changed:
        problems.append(
            f"messages with one number and different contents: {altered[:10]} {books.changed[:3]}"
        )
    arrivals = [seq for seq in books.first if seq not in replayed]
    if late := [b for a, b in pairwise(arrivals) if b < a]:
        problems.append(f"{len(late)} events came after younger ones: {late[:10]}")
    gaps = set(range(1, max(stored, default=0) + 1)) - stored.keys() - _named(books)
    if gaps:
        problems.append(f"{len(gaps)} numbers are missing and no notice names them: {sorted(gaps)[:10]}")
    same: dict[tuple[str, int], int] = {}
    for seq, entry in stored.items():
        if entry.id != "notice" and same.setdefault((entry.id, entry.n), seq) != seq:
            problems.append(f"{entry.id} {entry.n} has two numbers: {same[entry.id, entry.n]} and {seq}")
    return problems[:20]


def _named(books: Books) -> set[int]:
    """The numbers that notices explain."""
    return {
        seq
        for lost in books.notices.values()
        for each in lost
        if each["first_seq"] is not None and each["last_seq"] is not None
        for seq in range(each["first_seq"], each["last_seq"] + 1)
    }


def _rfc3339(at_us: int) -> str:
    from edgenode.delivery.outbox_rows import from_us
    from edgenode.delivery.payloads import rfc3339

    at = from_us(at_us)
    assert at is not None
    return rfc3339(at)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    given = parser.parse_args()
    print(f"seed {given.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="kill-rounds-") as folder:
        report = KillRun(Path(folder), given.rounds, given.seed).run()
    print(report)
    sys.exit(1 if report.problems else 0)


if __name__ == "__main__":
    main()
