"""A hundred thousand damaged inputs: `python -m tests.faults.fuzz TARGET --inputs 100000`.

Inputs are fed by child processes in chunks, so that one that kills the process is found: the number of the input at
hand stands in a file. Every input follows from the seed and its number alone (`--only NUMBER` feeds that one). A
child hangs that is a minute of its own processor time, or ten minutes by the clock, at one input: on a busy machine it
may not get to work for long. Memory, threads and files of a child are compared at a tenth, a half and the
end of its inputs; its highest memory is kept. Writes a line of JSON; ends with 1 where anything was wrong.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import random
import resource
import subprocess
import sys
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

import psutil

from tests.faults.fuzz_targets import TARGETS, scratch

CHUNK = 10_000
SILENT_S = 60.0
SLOW_S = 2.0
MOST_MB = 15.0
"""More memory than this, gained in the first half of a chunk and again in the second, counts as a leak; once may be a
large picture's buffer that the allocator keeps."""
MOST_PEAK_MB = 1000.0
"""Of one child. The largest picture that is let in has 64 million pixels: 192 MB, and as much again to decode it."""


def work(target: str, seed: int, first: int, count: int, progress: Path) -> int:
    """The child: one line of JSON on stdout."""
    outcomes: Counter[str] = Counter()
    faults: list[str] = []
    slowest_s, slowest = 0.0, first
    process = psutil.Process()
    sizes: list[tuple[float, int, int]] = []
    peak_mb, peak = 0.0, first
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
            if (high_mb := resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0) > peak_mb + 50.0:
                peak_mb, peak = high_mb, number
            if number in (first + count // 10, first + count * 11 // 20):
                sizes.append(_size(process))
    before, half, now = (*sizes, _size(process))[-3:] if len(sizes) == 2 else (_size(process),) * 3
    json.dump(
        {
            "outcomes": outcomes,
            "faults": faults[:10],
            "fault_count": len(faults),
            "slowest_s": round(slowest_s, 3),
            "slowest": slowest,
            "grown_mb": round(min(half[0] - before[0], now[0] - half[0]), 1),
            "peak_mb": round(peak_mb),
            "peak": peak,
            "grown_threads": now[1] - before[1],
            "grown_files": now[2] - before[2],
        },
        sys.stdout,
    )
    return 0


def _size(process: psutil.Process) -> tuple[float, int, int]:
    gc.collect()
    return process.memory_info().rss / 2**20, process.num_threads(), process.num_fds()


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("target", nargs="?", choices=sorted(TARGETS))
    parser.add_argument("--list", action="store_true", help="print the names of all targets")
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--only", type=int, default=None)
    parser.add_argument("--worker", nargs=3, metavar=("FIRST", "COUNT", "PROGRESS"), default=None)
    arguments = parser.parse_args()
    if arguments.list or arguments.target is None:
        print("\n".join(sorted(TARGETS)))
        return 0 if arguments.list else 2
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
    peak = (0, 0)
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
            peak = max(peak, (answer["peak_mb"], answer["peak"]))
            if answer["peak_mb"] > MOST_PEAK_MB:
                problems.append(f"input {answer['peak']}: {answer['peak_mb']} MB")
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
                "peak": {"megabytes": peak[0], "input": peak[1]},
                "minutes": round((time.monotonic() - began_s) / 60.0, 1),
                "problems": problems,
            }
        )
    )
    return 1 if problems else 0


def _child(
    target: str, seed: int, first: int, count: int, progress: Path, problems: list[str]
) -> dict[str, Any] | None:
    progress.write_text(str(first))
    command = [sys.executable, "-X", "faulthandler", "-m", "tests.faults.fuzz", target, "--seed", str(seed)]
    with subprocess.Popen(
        [*command, "--worker", str(first), str(count), str(progress)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as child:
        last, used_s, since_s = "", 0.0, time.monotonic()
        while True:
            try:
                output, _ = child.communicate(timeout=SILENT_S / 6)
                break
            except subprocess.TimeoutExpired:
                now, times = progress.read_text(), psutil.Process(child.pid).cpu_times()
                if now != last:
                    last, used_s, since_s = now, times.user + times.system, time.monotonic()
                elif (
                    times.user + times.system - used_s > SILENT_S
                    or time.monotonic() - since_s > 10 * SILENT_S
                ):
                    child.kill()
                    problems.append(f"input {now}: no end")
                    return None
    if child.returncode != 0:
        problems.append(f"input {progress.read_text()}: the process ended with {child.returncode}")
        return None
    answer: dict[str, Any] = json.loads(output)
    return answer


if __name__ == "__main__":
    sys.exit(main())
