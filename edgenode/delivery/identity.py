"""Identities and the trust in the clock: event ids (UUID version 7), the boot id, clock quality."""

from __future__ import annotations

import ctypes
import secrets
import struct
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from edgenode.clock import Clock
from edgenode.delivery.payloads import ClockQuality

_TIME_ERROR = 5
"""adjtimex's answer while the kernel's clock is not disciplined by anybody."""
_TIMEX_BYTES = 512
"""struct timex is 208 bytes on 64-bit Linux; more is harmless, less would be overwritten memory."""
_STA_NANO = 0x2000
"""Set in the kernel's status while it counts its offset in nanoseconds instead of microseconds."""
_CLOCK_KEEP_S = 30.0


def boot_id() -> str:
    """A new id for this life of the process: 16 hexadecimal digits."""
    return secrets.token_hex(8)


def uuid7_of(milliseconds: int, counter: int, tail: int) -> str:
    """RFC 9562, section 5.7: 48 bits of Unix milliseconds, 12 of counter (rand_a, method 1), 62 of random."""
    value = (milliseconds & (2**48 - 1)) << 80 | 0x7 << 76 | (counter & 0xFFF) << 64 | 0b10 << 62
    return str(uuid.UUID(int=value | (tail & (2**62 - 1))))


class Uuid7:
    """Ids that sort by the time of their making, also within a millisecond and when the clock steps back.

    Any thread. `random_bits` is for tests; by default the system's randomness.
    """

    def __init__(self, clock: Clock, random_bits: Callable[[int], int] = secrets.randbits) -> None:
        self._clock = clock
        self._random_bits = random_bits
        self._lock = threading.Lock()
        self._last_ms = -1
        self._counter = 0

    def __call__(self) -> str:
        now_ms = _milliseconds(self._clock.now())
        with self._lock:
            if now_ms > self._last_ms:
                self._last_ms = now_ms
                # half of the range stays free, so that a burst of 2048 in one millisecond fits
                self._counter = self._random_bits(11)
            elif self._counter == 0xFFF:
                self._last_ms += 1
                self._counter = self._random_bits(11)
            else:
                self._counter += 1
            return uuid7_of(self._last_ms, self._counter, self._random_bits(62))


def _milliseconds(at: datetime) -> int:
    return int(at.timestamp() * 1000.0)


@dataclass(frozen=True, slots=True)
class ClockReading:
    """How far the machine's clock can be trusted."""

    quality: ClockQuality
    offset_s: float | None
    """What the kernel still has to correct, seconds; None where that is not known."""


class ClockCheck:
    """Says whether the machine's clock is disciplined by a time source. Any thread; asked at most twice a
    minute.

    The kernel is asked (`adjtimex`, read only), because chrony, ntpd, PTP and systemd-timesyncd all tell
    it, while `/run/systemd/timesync/synchronized` exists only with the last. But under systemd's usual
    system call filter `adjtimex` kills the process, so where a filter is on, a child process tries it
    first; where that dies the file decides.
    """

    def __init__(
        self,
        clock: Clock,
        status_file: Path = Path("/proc/self/status"),
        flag_file: Path = Path("/run/systemd/timesync/synchronized"),
    ) -> None:
        self._clock = clock
        self._status_file = status_file
        self._flag_file = flag_file
        self._lock = threading.Lock()
        self._asks_kernel: bool | None = None
        self._asked_s: float | None = None
        self._reading = ClockReading("unsynchronised", None)

    def reading(self) -> ClockReading:
        now_s = self._clock.monotonic()
        with self._lock:
            if self._asked_s is None or now_s - self._asked_s >= _CLOCK_KEEP_S:
                self._asked_s = now_s
                self._reading = self._ask()
            return self._reading

    def quality(self) -> ClockQuality:
        return self.reading().quality

    def _ask(self) -> ClockReading:
        if self._asks_kernel is None:
            self._asks_kernel = self._kernel_may_be_asked()
        if self._asks_kernel:
            answer = _adjtimex()
            if answer is not None:
                return reading_of(*answer)
        return ClockReading("synchronised" if self._flag_file.exists() else "unsynchronised", None)

    def _kernel_may_be_asked(self) -> bool:
        try:
            lines = self._status_file.read_text().splitlines()
        except OSError:
            return False
        if any(line.split() == ["Seccomp:", "0"] for line in lines):
            return True
        probe = f"import ctypes; ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer({_TIMEX_BYTES}))"
        try:
            return (
                subprocess.run([sys.executable, "-S", "-c", probe], timeout=10.0, check=False).returncode == 0
            )
        except (OSError, subprocess.TimeoutExpired):
            return False


def reading_of(state: int, timex: bytes) -> ClockReading:
    """What the kernel's answer means: its clock state, 0 to 5, and `struct timex` of a 64-bit Linux."""
    if state == _TIME_ERROR:
        return ClockReading("unsynchronised", None)
    offset = struct.unpack_from("=q", timex, 8)[0]
    status = struct.unpack_from("=i", timex, 40)[0]
    return ClockReading("synchronised", offset / (1e9 if status & _STA_NANO else 1e6))


def _adjtimex() -> tuple[int, bytes] | None:
    """The kernel's clock state and its details; None where it does not tell (not Linux, not permitted)."""
    timex = ctypes.create_string_buffer(_TIMEX_BYTES)
    try:
        state = int(ctypes.CDLL(None, use_errno=True).adjtimex(timex))
    except AttributeError:
        return None
    return (state, timex.raw) if state >= 0 else None
