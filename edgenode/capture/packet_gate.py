"""The packet gate: where nothing happens, packets are small, and need no decoding.

An encoder spends bits on what changes. The gate learns how large the packets between key frames are while
the decoded picture stands still, opens at a larger one, and stays open while packets or pictures say that
something happens. Whether sizes tell anything differs from camera to camera (constant rate, noise): every
beginning of motion is an outcome, caught or missed by the sizes, and a camera that misses is decoded whole. So is one,
from the first, whose encoder spends much on still pictures too, until its sizes have told some beginnings.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np

HOLD_S = 2.0
"""Open this long after the last sign, of packets or of pictures."""
LOOK_S, DOUBTFUL_LOOK_S = 8.0, 4.0
"""A closed gate decodes a key frame this often: to confirm the state, and to see what packets did not tell. Doubtful:
one of the last beginnings was missed. A key frame costs as much as ten other frames."""
_QUANTILE, _FACTOR, _FLOOR_BYTES = 0.98, 1.3, 64
"""A packet tells something when it is larger than `_FACTOR` times this quantile of the still ones; and so do three in
a row by the smallest of them: where a still packet now and then is large, motion makes all of them middling."""
_LEARN_S, _LEARN_COUNT, _REMEMBER = 8.0, 32, 512
"""Sizes of as much still time are learnt first (5 a second), and as many are remembered: about two minutes."""
_PLAIN = 0.03
"""Packets of a still picture at most this part of a key frame: the encoder spends bits on what changes alone. 0.004 to
0.02 where only the quality is given, 0.05 to 0.3 where a rate is to be kept, and there motion hides in it."""
_INTERVAL_S = 0.2
_SLACK_S = 1.0
"""Sizes may tell this much later (or earlier) than the picture; the kept packets make up for it."""
_OUTCOMES, _JUDGED_FROM, _SHOWN_FROM, _MISSES_LIMIT, _MISSES_GOOD = 20, 4, 2, 0.2, 0.1
"""Trust is lost over at least `_JUDGED_FROM` beginnings, and won over at least `_SHOWN_FROM`."""
_AUDIT_S = 6.0
_AUDIT_LATE = 0.05
"""Part of the pause between two audits for which the next one waits for a key frame."""


class PacketGate:
    """One camera's, kept over reconnections. Used by its thread alone. Times are the stream's own, in
    seconds since it was opened.

    `audit` is the share of closed time in which all is decoded to see what would have been missed; `audited`
    hears of every beginning of motion whether the sizes told it.
    """

    def __init__(self, audit: float = 0.0, audited: Callable[[bool], None] = lambda _caught: None) -> None:
        self._audit = audit
        self._audited = audited
        self._base_s = self._time_s = 0.0
        self._still: deque[int] = deque(maxlen=_REMEMBER)
        self._unseen = 0
        self._threshold: float | None = None
        self._still_levels: deque[int] = deque(maxlen=_REMEMBER)
        self._level_threshold = float("inf")
        self._keys: deque[int] = deque(maxlen=8)
        self._last = (0, 0)
        self._interval_level = 0
        self._interval_bytes = 0
        self._interval_s = 0.0
        self._sign_s = self._moved_s = self._looked_s = self._open_until_s = float("-inf")
        self._audited_s = 0.0
        self._onset_s: float | None = None
        self._outcomes: deque[bool] = deque(maxlen=_OUTCOMES)
        self._trusted = True

    @property
    def open(self) -> bool:
        """Whether everything is decoded now."""
        return self._threshold is None or not self._trusted or self._time_s <= self._open_until_s

    @property
    def learning(self) -> bool:
        """Too little still time has been seen."""
        return self._threshold is None

    @property
    def firm(self) -> bool:
        """Whether packets themselves say that something happens: then frames pass without a second look."""
        return self._trusted and not self.learning and self._time_s - self._sign_s <= HOLD_S

    @property
    def trusted(self) -> bool:
        """Whether the sizes of this camera's packets tell anything."""
        return self._trusted

    @property
    def threshold_bytes(self) -> float | None:
        return self._threshold

    def restart(self) -> None:
        """The stream was opened anew: its times begin at 0 again. What was learnt stays."""
        self._base_s = self._time_s
        self._stay_open(HOLD_S)
        self._interval_bytes = 0

    def demand(self) -> None:
        """Somebody wants a frame: open for a while."""
        self._stay_open(HOLD_S)

    def packet(self, size: int, keyframe: bool, time_s: float) -> bool:
        """A packet came. May change `open`, which is returned."""
        was_open = self.open
        self._time_s = now_s = max(self._time_s, self._base_s + time_s)
        if keyframe:
            self._keys.append(size)
        else:
            before, last = self._last
            level = min(size, before, last)
            self._last = (last, size)
            if size > self._interval_bytes:
                self._interval_bytes = size
            if level > self._interval_level:
                self._interval_level = level
            if self._threshold is not None and (size > self._threshold or level > self._level_threshold):
                self._sign_s = now_s
                self._stay_open(HOLD_S)
        if self._onset_s is not None:
            self._settle_onset(self._onset_s)
        if was_open:
            return self.open
        if now_s - self._interval_s >= _INTERVAL_S:
            self._learn()  # closed and silent: still, as far as one can know without decoding
        if self._audit > 0.0 and self._audit_due(keyframe):
            self._audited_s = now_s
            self._stay_open(_AUDIT_S)
        return self.open

    def _audit_due(self, keyframe: bool) -> bool:
        """At a key frame, where one comes in time: opening elsewhere decodes what was kept since the last one too."""
        pause_s = _AUDIT_S / self._audit
        return self._time_s - self._audited_s >= pause_s * (1.0 if keyframe else 1.0 + _AUDIT_LATE)

    def _stay_open(self, for_s: float) -> None:
        self._open_until_s = max(self._open_until_s, self._time_s + for_s)

    def wants_key(self) -> bool:
        """Whether the key frame that came while the gate is closed is decoded."""
        if self._time_s - self._looked_s < (LOOK_S if all(self._outcomes) else DOUBTFUL_LOOK_S):
            return False
        self._looked_s = self._time_s
        return True

    def judged(self, moved: bool, fresh: bool = True) -> None:
        """A decoded frame was looked at: whether it moved. `fresh`: it belongs to the last packets."""
        now_s = self._time_s
        if moved:
            began = now_s - self._moved_s > HOLD_S
            self._moved_s = now_s
            self._stay_open(HOLD_S)
            if began and not self.learning:
                if now_s - self._sign_s <= HOLD_S:
                    self._outcome(True)
                else:
                    self._onset_s = now_s
        elif fresh and now_s - self._moved_s > _SLACK_S:
            self._learn()
        self._interval_bytes = 0  # what belongs to motion must not count as still later
        self._interval_level = 0

    def _settle_onset(self, onset_s: float) -> None:
        if self._sign_s >= onset_s:
            self._outcome(True)
        elif self._time_s - onset_s > _SLACK_S:
            self._outcome(False)

    def _outcome(self, caught: bool) -> None:
        self._onset_s = None
        self._outcomes.append(caught)
        self._audited(caught)
        missed = 1.0 - sum(self._outcomes) / len(self._outcomes)
        if len(self._outcomes) >= (_JUDGED_FROM if self._trusted else _SHOWN_FROM):
            self._trusted = missed <= (_MISSES_LIMIT if self._trusted else _MISSES_GOOD)

    def _learn(self) -> None:
        self._interval_s = self._time_s
        if self._interval_bytes:
            self._still.append(self._interval_bytes)
            self._still_levels.append(self._interval_level)
            self._interval_bytes = 0
            self._interval_level = 0
            self._unseen += 1
        enough = len(self._still) >= _LEARN_COUNT and self._time_s >= _LEARN_S
        if enough and (self._threshold is None or self._unseen >= 20):
            self._unseen = 0
            if self._threshold is None:
                self._trusted = self._plain()
            self._threshold = max(_FLOOR_BYTES, _FACTOR * float(np.quantile(self._still, _QUANTILE)))
            level = _FACTOR * float(np.quantile(self._still_levels, _QUANTILE))
            self._level_threshold = max(_FLOOR_BYTES, level)

    def _plain(self) -> bool:
        """Whether still packets are so small that larger ones must tell something."""
        return float(np.median(self._still_levels)) <= _PLAIN * float(np.median(self._keys or (0,)))
