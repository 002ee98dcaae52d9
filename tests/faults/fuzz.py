"""A hundred thousand damaged inputs: `python -m tests.faults.fuzz TARGET --inputs 100000`.

Inputs are fed by child processes in chunks, so that one that kills the process is found: the number of the input at
hand stands in a file. Every input follows from the seed and its number alone (`--only NUMBER` feeds that one). A
child that is silent for a minute hangs. Memory, threads and files of a child are compared between a tenth of its
inputs and the last one. Writes a line of JSON; ends with 1 where anything was wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import time
import traceback
from collections import Counter
from pathlib import Path

import psutil

from tests.faults.fuzz_targets import TARGETS, scratch

CHUNK = 10_000
SILENT_S = 60.0
SLOW_S = 2.0
MOST_MB = 20.0
"""More memory than this, gained over the last nine tenths of a chunk, counts as a leak."""


def work(target: str, seed: int, first: int, count: int, progress: Path) -> int:
    """The child: one line of JSON on stdout."""
    outcomes: Counter[str] = Counter()
    faults: list[str] = []
    slowest_s, slowest = 0.0, first
    process = psutil.Process()
    settled: tuple[float, int, int] | None = None
    with scratch() as folder:
        feed = TARGETS[target](Path(folder))
        for number in range(first, first + count):
            progress.write_text(str(number))
            began_s = time.monotonic()
            try:
                outcomes[feed(random.Random(f"{seed}/{number}"))] += 1
            except Exception:
                faults.append(f"input {number}: {traceback.format_exc(limit=-6)}")
            passed_s = time.monotonic() - began_s
            if passed_s > slowest_s:
                slowest_s, slowest = passed_s, number
            if number == first + count // 10:
                settled = _size(process)
    now = _size(process)
    before = settled if settled is not None else now
    json.dump(
        {
            "outcomes": outcomes,
            "faults": faults[:10],
            "fault_count": len(faults),
            "slowest_s": round(slowest_s, 3),
            "slowest": slowest,
            "grown_mb": round(now[0] - before[0], 1),
            "grown_threads": now[1] - before[1],
            "grown_files": now[2] - before[2],
        },
        sys.stdout,
    )
    return 0


def _size(process: psutil.Process) -> tuple[float, int, int]:
    return process.memory_info().rss / 2**20, process.num_threads(), process.num_fds()


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("target", choices=sorted(TARGETS))
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--only", type=int, default=None)
    parser.add_argument("--worker", nargs=3, metavar=("FIRST", "COUNT", "PROGRESS"), default=None)
    arguments = parser.parse_args()
    seed = arguments.seed if arguments.seed is not None else random.SystemRandom().randrange(2**32)
    if arguments.only is not None:
        return work(arguments.target, seed, arguments.only, 1, Path(os.devnull))
    if arguments.worker is not None:
        first, count, progress = arguments.worker
        return work(arguments.target, seed, int(first), int(count), Path(progress))
    return lead(arguments.target, seed, arguments.inputs)


def lead(target: str, seed: int, inputs: int) -> int:
    total: Counter[str] = Counter()
    problems: list[str] = []
    slowest = (0.0, 0)
    grown_mb = 0.0
    began_s = time.monotonic()
    with scratch() as folder:
        progress = Path(folder) / "progress"
        for first in range(0, inputs, CHUNK):
            count = min(CHUNK, inputs - first)
            answer = _child(target, seed, first, count, progress, problems)
            if answer is None:
                continue
            total.update(answer["outcomes"])
            slowest = max(slowest, (answer["slowest_s"], answer["slowest"]))
            grown_mb = max(grown_mb, answer["grown_mb"])
            if answer["fault_count"]:
                problems.append(f"{answer['fault_count']} faults, such as {answer['faults'][:3]}")
            if answer["grown_mb"] > MOST_MB or answer["grown_threads"] > 0 or answer["grown_files"] > 0:
                problems.append(f"grown after input {first}: {answer}")
    print(
        json.dumps(
            {
                "target": target,
                "seed": seed,
                "inputs": sum(total.values()),
                "outcomes": dict(total.most_common()),
                "slowest": {"seconds": slowest[0], "input": slowest[1]},
                "most_grown_mb": grown_mb,
                "minutes": round((time.monotonic() - began_s) / 60.0, 1),
                "problems": problems,
            }
        )
    )
    return 1 if problems else 0


def _child(
    target: str, seed: int, first: int, count: int, progress: Path, problems: list[str]
) -> dict[str, object] | None:
    progress.write_text(str(first))
    command = [sys.executable, "-X", "faulthandler", "-m", "tests.faults.fuzz", target, "--seed", str(seed)]
    with subprocess.Popen(
        [*command, "--worker", str(first), str(count), str(progress)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as child:
        last = ""
        while True:
            try:
                output, _ = child.communicate(timeout=SILENT_S)
                break
            except subprocess.TimeoutExpired:
                now = progress.read_text()
                if now == last:
                    child.kill()
                    problems.append(f"input {now}: no end after {SILENT_S:g} s")
                    return None
                last = now
    if child.returncode != 0:
        problems.append(f"input {progress.read_text()}: the process ended with {child.returncode}")
        return None
    answer: dict[str, object] = json.loads(output)
    return answer


if __name__ == "__main__":
    sys.exit(main())
