"""Turns at the processor: how many at once, in which order, and the one thread that reports for all."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from edgenode.capture.camera import Camera
from edgenode.capture.ticker import Ticker
from edgenode.capture.turns import Turn, Turns, turns_for
from edgenode.clock import SystemClock
from edgenode.records import CameraStatus
from tests.capture_parts import Recorder, camera_spec
from tests.clips import jpeg, numbered
from tests.fixtures_servers import StartHttp
from tests.servers.http_camera import Behaviour

DEADLINE_S = 60.0


def test_no_more_threads_compute_at_once_than_there_are_turns() -> None:
    turns = Turns(2)
    lock = threading.Lock()
    inside, most, done = 0, 0, 0

    def work() -> None:
        nonlocal inside, most, done
        turn = turns.turn()
        for _ in range(200):
            turn.begin()
            with lock:
                inside += 1
                most = max(most, inside)
            with lock:
                inside -= 1
                done += 1
            turn.end()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_S)
    assert done == 8 * 200
    assert most <= 2
    assert turns.waiting == 0


def test_who_waits_longest_is_next_and_who_comes_again_queues() -> None:
    turns = Turns(1)
    mine = turns.turn()
    mine.begin()
    order: list[int] = []
    queued = threading.Condition()

    def work(number: int) -> None:
        turn = turns.turn()
        turn.begin()
        with queued:
            order.append(number)
        turn.end()

    threads = []
    for number in range(3):
        threads.append(threading.Thread(target=work, args=(number,)))
        threads[-1].start()
        until(lambda number=number: turns.waiting == number + 1)
    mine.end()
    mine.begin()  # behind all three
    assert order == [0, 1, 2]
    mine.end()
    for thread in threads:
        thread.join(DEADLINE_S)


def until(condition: Callable[[], bool]) -> None:
    """Nobody tells when a thread has joined the line: look again in a moment."""
    deadline_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline_s
        threading.Event().wait(0.005)


def test_beginning_and_ending_twice_counts_once() -> None:
    turns = Turns(1)
    first, second = turns.turn(), turns.turn()
    first.end()
    first.begin()
    first.begin()
    first.end()
    first.end()
    second.begin()
    assert turns.waiting == 0
    second.end()


def test_who_stood_in_line_is_known_to_have_stood_there_to_the_end() -> None:
    turns = Turns(1)
    mine, others = turns.turn(), turns.turn()
    mine.begin()
    thread = threading.Thread(target=others.begin)
    thread.start()
    until(lambda: turns.waiting == 1)
    before_s = time.monotonic()
    assert others.stood_until_s >= before_s
    served_s = time.monotonic()
    mine.end()
    thread.join(DEADLINE_S)
    assert served_s <= others.stood_until_s <= time.monotonic()
    others.end()


def test_a_turn_is_kept_between_frames_for_its_slice() -> None:
    turns = Turns(1)
    turn = turns.turn()
    turn.begin()
    turn.rest()
    other = threading.Thread(target=lambda: turns.turn().begin())
    other.start()
    until(lambda: turns.waiting == 1)
    until(lambda: turn.rest() or turns.waiting == 0)
    other.join(DEADLINE_S)


def test_without_turns_nobody_waits() -> None:
    one, other = Turn(), Turn()
    one.begin()
    other.begin()
    one.end()
    other.end()


def test_files_at_full_speed_leave_one_core_to_the_model() -> None:
    assert _limit(turns_for(realtime=False, cores=4)) == 3
    assert _limit(turns_for(realtime=True, cores=4)) == 4
    assert _limit(turns_for(realtime=False, cores=1)) == 1


def _limit(turns: Turns) -> int:
    held = []
    while True:
        turn = turns.turn()
        thread = threading.Thread(target=turn.begin, daemon=True)
        thread.start()
        until(lambda thread=thread: not thread.is_alive() or turns.waiting > 0)
        if turns.waiting:
            for each in held:
                each.end()
            thread.join(DEADLINE_S)
            return len(held)
        held.append(turn)


def test_one_thread_ticks_for_all_and_ends_with_the_last() -> None:
    ticker = Ticker(period_s=0.01)
    told = threading.Event()
    again = threading.Event()
    before = set(threading.enumerate())

    def more() -> int:
        return len(set(threading.enumerate()) - before)

    def raising() -> None:
        raise ValueError("a tick that fails")

    def counting() -> None:
        (again if told.is_set() else told).set()

    ticker.add(raising)
    ticker.add(counting)
    assert more() == 1
    assert again.wait(DEADLINE_S)
    ticker.remove(raising)
    ticker.remove(counting)
    ticker.remove(counting)
    assert more() == 0
    again.clear()
    ticker.add(counting)
    assert again.wait(DEADLINE_S)
    ticker.remove(counting)
    assert more() == 0


def test_a_camera_that_is_waited_for_keeps_no_turn(http_camera: StartHttp, tmp_path: Path) -> None:
    """One turn for two cameras. One sends nothing for half a minute; the other must not wait for it."""
    turns = Turns(1)
    silent, steady = Recorder(), Recorder()
    behaviour = Behaviour([jpeg(numbered(1))])
    server = http_camera(behaviour)
    cameras = [
        Camera(spec, recorder.offer, recorder, SystemClock(), turns.turn())
        for spec, recorder in (
            (camera_spec(server.url("stream"), tmp_path, read_timeout=30.0), silent),
            (camera_spec("synthetic:numbers?fps=20", tmp_path), steady),
        )
    ]
    cameras[0].start()
    silent.wait_samples(1)
    behaviour.stall.set()
    cameras[1].start()
    try:
        steady.wait_samples(20)
        assert CameraStatus.OFFLINE not in [report.status for report in silent.reports[1:]]
    finally:
        behaviour.stall.clear()
        for camera in cameras:
            camera.stop()
        for camera in cameras:
            assert camera.join(DEADLINE_S)
