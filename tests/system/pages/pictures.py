"""A state directory with pictures that a node might have kept, of drawn parts."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import cv2
import numpy as np

from edgenode.collect.look import look_of
from edgenode.collect.record import Second
from edgenode.collect.store import CollectedStore, StoreLimits
from edgenode.records import U8
from tests.unit.collect.parts import kept


def drawn(number: int, defect: bool, rusty: bool = False) -> U8:
    """A plate that lies a little elsewhere each time; `defect` scratches it."""
    rng = np.random.default_rng(number)
    picture = np.full((160, 220, 3), 96, np.uint8)
    x, y = (int(value) for value in rng.integers(-18, 18, 2))
    cv2.rectangle(
        picture, (50 + x, 35 + y), (170 + x, 125 + y), (188, 92, 40) if rusty else (176, 168, 150), cv2.FILLED
    )
    cv2.circle(picture, (110 + x, 80 + y), 16, (60, 60, 66), cv2.FILLED)
    if defect:
        cv2.line(picture, (62 + x, 50 + y), (150 + x, 112 + y), (240, 236, 220), 3)
    noisy = picture + rng.normal(0, 5, picture.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8)


def fill(state_dir: Path, count: int) -> list[str]:
    """Odd ones are defects; returns the truth in the order in which they are asked about."""
    store = CollectedStore(state_dir, StoreLimits(10**8, 1000))
    store.open()
    truth = []
    for number in range(count):
        picture = drawn(number, number % 2 == 1)
        ok, png = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        assert ok
        share = 0.5 + 0.4 * number / count
        record = replace(
            kept(0),
            captured_at=kept(0).captured_at + timedelta(minutes=7 * number),
            probabilities={"ok": share, "defect": 1.0 - share},
            margin=2 * share - 1,
            look=look_of(picture),
            shadow=Second("defect", 0.81, "cd" * 32) if number == 0 else None,
            why="disagreement" if number == 0 else "low_margin",
        )
        store.add(png.tobytes(), record)
        truth.append("defect" if number % 2 else "ok")
    return truth
