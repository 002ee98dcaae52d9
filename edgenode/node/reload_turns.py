"""Who asks for a reload learns what became of it."""

from __future__ import annotations

import threading


class ReloadTurns:
    """`ticket` and `wait` are called by the thread of a command, `begin` and `finish` by the one that reloads."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._begun = 0
        self._finished = 0
        self._problems: tuple[str, ...] = ()

    def ticket(self) -> int:
        """For the next reload that begins. Take it before the reload is asked for."""
        with self._changed:
            return self._begun + 1

    def wait(self, ticket: int, timeout_s: float) -> tuple[str, ...] | None:
        """The problems of that reload or of a later one; empty when it was done, None when it is not over yet."""
        with self._changed:
            over = self._changed.wait_for(lambda: self._finished >= ticket, timeout_s)
            return self._problems if over else None

    def end(self) -> None:
        """The node is stopping: nobody waits for a reload any more."""
        with self._changed:
            self._finished = self._begun + 1
            self._problems = ("the node is stopping",)
            self._changed.notify_all()

    def begin(self) -> None:
        with self._changed:
            self._begun += 1

    def finish(self, problems: list[str]) -> None:
        with self._changed:
            self._finished = self._begun
            self._problems = tuple(problems)
            self._changed.notify_all()
