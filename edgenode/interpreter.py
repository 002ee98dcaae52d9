"""How the threads of a node share Python's lock."""

from __future__ import annotations

import sys

SWITCH_S = 0.0005
"""How long one thread keeps Python's lock while another wants it; Python's own is 5 ms.

A frame on its way to the broker passes five threads, and each has to wait for the lock: steps that take 0.1 ms took 2
to 5 ms in the slowest hundredth with 5 ms, 0.6 to 2.6 with 0.5 (one camera at 70 % load, other work beside it,
`docs/decisions/0103-the-way-of-one-event.md`). With 0.1 ms the model's throughput falls.
"""


def share_lock() -> None:
    """Let waiting threads have Python's lock sooner. Once for the process; any thread."""
    sys.setswitchinterval(SWITCH_S)
