"""The picture of an event, bare or with the regions drawn, as its rule asks."""

from __future__ import annotations

import hashlib
from functools import partial

import cv2
import numpy as np
import pytest

from edgenode.records import U8
from tests.system.daemon import eventually
from tests.system.listener import Listener
from tests.system.plant import Plant, StartNode

pytestmark = pytest.mark.timeout(900)
BOX = [0.25, 0.25, 0.75, 0.75]


def coloured(picture: U8) -> int:
    """Pixels that are clearly not grey: the clip has none, lines that are drawn are."""
    return int((picture.max(axis=2).astype(int) - picture.min(axis=2) > 60).sum())


def test_regions_are_drawn_where_the_rule_asks_for_it(
    plant: Plant, listener: Listener, start: StartNode
) -> None:
    source = plant.clip(("dark", 1.0), ("bright", 1.0))
    plant.camera("belt", source, fps=10, loop=True, regions=[{"name": "middle", "box": BOX}])
    for rule, how in (("bare", True), ("also_bare", "bare"), ("drawn", "drawn")):
        plant.rule(rule, 'middle == "bright"', snapshot=how)
    start(plant)
    pictures: dict[str, U8] = {}
    for rule in ("bare", "also_bare", "drawn"):
        event = listener.wait_events(rule, 1)[0]
        eventually(partial(listener.of, f"events/{rule}/snapshot"), f"the picture of {rule}")
        jpeg = listener.of(f"events/{rule}/snapshot")[0].payload
        assert event["evidence"] == hashlib.sha256(jpeg).hexdigest()
        decoded = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
        assert decoded is not None
        pictures[rule] = np.asarray(decoded, dtype=np.uint8)
    assert coloured(pictures["bare"]) == coloured(pictures["also_bare"]) == 0
    assert coloured(pictures["drawn"]) > 20
