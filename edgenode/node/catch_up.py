"""After a crash: what the outbox knows of events and the remembered states do not.

States are remembered at most once a second, events are stored at once. Without this, a node that was killed
between the two would give one number of an event (`id` and `n`) to two different messages, end an event twice,
or leave one open for ever.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from edgenode.delivery.outbox_inspect import steps_since
from edgenode.errors import OutboxError
from edgenode.records import JsonObject

log = logging.getLogger(__name__)

MARGIN = timedelta(seconds=5)
"""Looked at beyond the moment of remembering: what was remembered then may have been stored a little earlier."""


def caught_up(remembered: JsonObject, outbox: Path) -> JsonObject:
    """`remembered` (the desk's export) with the steps of events stored since. Called before the publisher starts.

    What cannot be read or does not fit is said in the log and left aside.
    """
    try:
        since = datetime.fromisoformat(remembered["rules"]["anchor_at"]) - MARGIN
        return with_steps(remembered, steps_since(outbox, since))
    except (OutboxError, KeyError, TypeError, ValueError) as error:
        log.warning("events stored since the states were remembered are not looked at: %s", error)
        return remembered


def with_steps(remembered: JsonObject, steps: Iterable[JsonObject]) -> JsonObject:
    """`remembered` after `steps`, event payloads in the order of their `seq`. Raises KeyError or TypeError for
    another form of `remembered`."""
    fresh: dict[str, Any] = copy.deepcopy(remembered)
    anchor_s = fresh["rules"]["anchor_s"]
    machines = {entry["name"]: entry["machine"] for entry in fresh["rules"]["rules"]}
    for step in steps:
        machine = machines.get(step["rule"])
        if machine is None:
            continue
        known = machine["open"] is not None and machine["open"]["id"] == step["id"]
        if step["event_type"] == "end":
            if known:
                machine.update(open=None, since_s=None, since_at=None)
        elif known:
            machine["open"].update(n=step["n"], label_now=step["label"])
        else:
            machine.update(open=_opened(step, anchor_s), since_s=anchor_s, since_at=step["started_at"])
    return fresh


def _opened(step: JsonObject, anchor_s: float) -> JsonObject:
    model = step["model"]
    return {
        **{key: step[key] for key in ("id", "n", "started_at", "camera", "region", "label", "probability")},
        "model": None if model is None else [model["name"], model["version"], model["sha256"]],
        "value": step["value"],
        "reported_s": anchor_s,
        "peak": step["probability"],
        "reported_peak": step["probability"],
        "label_now": step["label"],
    }
