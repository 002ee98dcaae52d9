"""Long work of the main thread that is no hang."""

from __future__ import annotations

import threading

from edgenode.supervision import patience

PATIENCE_S = 20.0


def test_somebody_beats_while_the_work_lasts_and_nobody_after_it() -> None:
    beats = threading.Semaphore(0)
    with patience(beats.release, 0.001):
        assert all(beats.acquire(timeout=PATIENCE_S) for _ in range(3))
    while beats.acquire(blocking=False):
        pass
    assert all(thread.name != "patience" for thread in threading.enumerate())


def test_what_hangs_is_noticed_all_the_same() -> None:
    beats: list[None] = []
    with patience(lambda: beats.append(None), 0.001, longest_s=0.0):
        (thread,) = (each for each in threading.enumerate() if each.name == "patience")
        thread.join(PATIENCE_S)
        assert not thread.is_alive()
    assert not beats
