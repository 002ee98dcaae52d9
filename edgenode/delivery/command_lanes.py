"""Two command threads: one for what is done at once, one for what may take minutes, such as fetching a model."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from edgenode.clock import Clock
from edgenode.delivery.commands import CommandHandler, CommandObserver, CommandRequest, CommandWorker
from edgenode.records import Message


class CommandLanes:
    """Each request goes to the worker of its verb; requests of one lane are done one after the other."""

    def __init__(
        self,
        verbs: Mapping[str, CommandHandler],
        slow: frozenset[str],
        answer: Callable[[Message], None],
        observer: CommandObserver,
        clock: Clock,
    ) -> None:
        self._slow = slow
        self._quick_lane = CommandWorker(verbs, answer, observer, clock)
        self._slow_lane = CommandWorker(verbs, answer, observer, clock, "slow-commands") if slow else None

    @property
    def heartbeat_s(self) -> float:
        """Monotonic time of the last progress of the thread for quick commands."""
        return self._quick_lane.heartbeat_s

    @property
    def slow_heartbeat_s(self) -> float:
        """The same of the thread for slow ones."""
        return (self._slow_lane or self._quick_lane).heartbeat_s

    def offer(self, request: CommandRequest) -> None:
        """Never blocks."""
        lane = self._slow_lane if request.verb in self._slow else None
        (lane or self._quick_lane).offer(request)

    def start(self) -> None:
        for lane in self._lanes():
            lane.start()

    def stop(self) -> None:
        """What runs is finished; what waits is answered `stopping`."""
        for lane in self._lanes():
            lane.stop()

    def join(self, timeout_s: float) -> bool:
        """Wait for both threads; False where one still runs after `timeout_s`."""
        give_up_s = time.monotonic() + timeout_s
        ended = [lane.join(max(0.0, give_up_s - time.monotonic())) for lane in self._lanes()]
        return all(ended)

    def _lanes(self) -> list[CommandWorker]:
        return [lane for lane in (self._quick_lane, self._slow_lane) if lane is not None]
