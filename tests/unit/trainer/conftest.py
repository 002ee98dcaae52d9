"""Tiny networks on two busy cores: a second thread costs far more than it brings. Read when torch is imported."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
