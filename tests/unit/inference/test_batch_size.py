"""What a run takes: as many as pay."""

from __future__ import annotations

from collections.abc import Callable

from edgenode.inference.batch_size import RECHECK_S, BatchSize


def live(
    sizes: BatchSize, cost_s: Callable[[int], float], runs: int, held: int = 64, now_s: float = 0.0
) -> list[int]:
    """The sizes of so many runs, while `held` samples always wait."""
    taken = []
    for _ in range(runs):
        taken.append(min(held, sizes.limit(held, now_s)))
        seconds = cost_s(taken[-1])
        now_s += seconds
        sizes.ran(taken[-1], seconds)
    return taken


def test_a_model_that_gains_nothing_takes_one_at_a_time() -> None:
    taken = live(BatchSize(8), lambda n: 0.0025 * n, 40)
    assert taken[:4] == [8] * 4, "as many as are allowed, until something is known"
    assert taken[16:] == [1] * 24


def test_a_model_that_gains_a_lot_takes_full_batches() -> None:
    assert live(BatchSize(8), lambda n: 0.004 + 0.001 * n, 40)[16:] == [8] * 24


def test_the_smallest_batch_that_is_as_good_is_taken() -> None:
    assert live(BatchSize(12), lambda n: 0.001 * n if n >= 4 else 0.0015 * n, 60)[-1] == 4


def test_a_first_run_that_prepares_says_nothing() -> None:
    seen: set[int] = set()

    def cost_s(size: int) -> float:
        first = size not in seen
        seen.add(size)
        return (5.0 if first else 0.0) + 0.004 + 0.001 * size

    assert live(BatchSize(8), cost_s, 40, now_s=0.0)[-1] == 8


def test_what_changes_is_noticed() -> None:
    sizes = BatchSize(8)
    live(sizes, lambda n: 0.0025 * n, 40)
    assert sizes.best == 1
    for turn in range(1, 40):
        live(sizes, lambda n: 0.004 + 0.001 * n, 3, now_s=turn * (RECHECK_S + 1.0))
    assert sizes.best == 8


def test_few_that_wait_are_taken_together_until_something_is_known() -> None:
    sizes = BatchSize(8)
    assert sizes.limit(1, 0.0) == 1
    assert sizes.limit(0, 0.0) == 8
    assert sizes.limit(4, 0.0) == 4
    assert BatchSize(1).limit(9, 0.0) == 1
