"""Who asks for a reload is told what became of it, also when nothing does."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from edgenode.node.reload_turns import ReloadTurns


def test_who_waits_for_a_reload_is_told_at_once_that_the_node_stops() -> None:
    turns = ReloadTurns()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(turns.wait, turns.ticket(), 30.0)
        turns.end()
        assert waiting.result(20.0) == ("the node is stopping",)


def test_the_reload_that_began_before_the_question_does_not_answer_it() -> None:
    turns = ReloadTurns()
    turns.begin()
    ticket = turns.ticket()
    turns.finish([])
    assert turns.wait(ticket, 0.0) is None
    turns.begin()
    turns.finish(["no"])
    assert turns.wait(ticket, 0.0) == ("no",)
