"""Events on their way out: those with a picture wait until it is a JPEG, and later ones wait for them."""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace

from edgenode.records import Event

log = logging.getLogger(__name__)

Picture = Callable[[], bytes | None]
"""Makes the JPEG of a frame it holds; None where that failed."""
MOST_PICTURES = 8
"""Frames that may wait to be encoded; a 1080p frame has 6 MB. Who brings one more waits for room."""


class EvidenceLane:
    """`send` gets the events in the order of `put`, each with its JPEG, one at a time.

    Encoding a 1080p picture takes 10 ms and more: too long for the thread that decides. It is done on a thread of the
    lane's own, started with the first picture; without one on its way, `put` sends on the caller's.
    """

    def __init__(self, send: Callable[[Event, bytes | None], None]) -> None:
        self._send = send
        self._begun_s: float | None = None
        """When the lane's thread took the event at hand."""
        self._changed = threading.Condition(threading.Lock())
        self._waiting: deque[tuple[Event, Picture | None]] = deque()
        self._pictures = 0
        """Of those that wait or are being made."""
        self._busy = False
        self._closing = False
        self._ended = False
        """Nobody takes from the queue any more."""
        self._thread: threading.Thread | None = None

    @property
    def heartbeat_s(self) -> float:
        """Monotonic: when the lane's thread took what it works on, or now while it has nothing to do. Any thread."""
        begun_s = self._begun_s
        return time.monotonic() if begun_s is None else begun_s

    def put(self, event: Event, picture: Picture | None) -> None:
        """Send `event` with the JPEG that `picture` makes. One caller at a time, who keeps the order."""
        with self._changed:
            if self._ended or (picture is None and not self._busy and not self._waiting):
                straight = True
            else:
                straight = False
                self._changed.wait_for(lambda: self._pictures < MOST_PICTURES)
                self._pictures += picture is not None
                self._waiting.append((event, picture))
                self._changed.notify_all()
                if self._thread is None:
                    self._thread = threading.Thread(target=self._work, name="evidence", daemon=True)
                    self._thread.start()
        if straight:
            self._out(event, picture)

    def flush(self, timeout_s: float) -> bool:
        """Wait until everything put so far is sent; False when it is not after `timeout_s`."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting and not self._busy, timeout_s)

    def close(self, timeout_s: float) -> bool:
        """Send what waits and end the thread; False when it still works after `timeout_s`. What is put later is
        sent by its caller."""
        with self._changed:
            self._closing = True
            self._ended = self._thread is None
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(timeout_s)
            return not self._thread.is_alive()
        return True

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closing or len(self._waiting) > 0)
                if not self._waiting:
                    self._ended = True
                    return
                event, picture = self._waiting.popleft()
                self._busy = True
                self._begun_s = time.monotonic()
            try:
                self._out(event, picture)
            except Exception:
                log.exception("rule %s: an event could not be handed over", event.rule)
            del event
            with self._changed:
                self._pictures -= picture is not None
                picture = None  # it holds a frame
                self._busy = False
                self._begun_s = None
                self._changed.notify_all()

    def _out(self, event: Event, picture: Picture | None) -> None:
        jpeg = None
        try:
            jpeg = picture() if picture is not None else None
        except Exception:  # an event without its picture is better than none
            log.exception("rule %s: the event's picture could not be made", event.rule)
        if jpeg is not None:
            event = replace(event, evidence=hashlib.sha256(jpeg).hexdigest())
        self._send(event, jpeg)
