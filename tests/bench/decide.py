"""What deciding costs, in CPU microseconds a sample. Run as a script; prints one JSON object."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count

import numpy as np

from edgenode.decision.decider import Decider
from edgenode.decision.facts import Inventory, RegionLabels
from edgenode.decision.region_state import RegionSpec
from edgenode.decision.rule import RuleSpec
from edgenode.decision.rules import RuleSet
from edgenode.records import ModelIdentity, Prediction

T0 = datetime(2026, 1, 1, tzinfo=UTC)
MODEL = ModelIdentity("parts", "1", "0" * 64)
LABELS = ("empty", "ok", "defect")
Keys = list[tuple[str, str]]

MIXED = (
    'b == "defect"',
    'a.b in ["ok", "defect"]',
    'a.b == "defect" and probability(a.b, "defect") > 0.7',
    'not b == "empty"',
    'count(b == "defect", window = "1m") > 3',
    'rate(b == "defect", parts = 10) > 0.3',
    'duration(b == "ok") > 4',
    'rule.r0 and b == "defect"',
    'control_chart(b == "defect", parts = 10, baseline = 0.1)',
    'b != "ok" or b == "unknown"',
)


def predictions(rounds: int, keys: Keys, step_s: float, steady: int) -> list[Prediction]:
    """One prediction of each region a round; another label every `steady` rounds."""
    rng = np.random.default_rng(0)
    made = []
    for index in range(rounds):
        t = index * step_s
        for camera, region in keys:
            values = rng.random(3).astype(np.float32) * np.float32(0.05) + np.float32(0.05)
            values[(index // steady) % 3] = 0.9
            values /= values.sum()
            best = int(values.argmax())
            made.append(
                Prediction(
                    camera,
                    region,
                    MODEL,
                    LABELS,
                    values,
                    LABELS[best],
                    float(values[best]),
                    index,
                    t,
                    T0 + timedelta(seconds=t),
                    1,
                )
            )
    return made


def numbered() -> Callable[[datetime], str]:
    numbers = count()
    return lambda _: str(next(numbers))


def cost_us(keys: Keys, rules: list[RuleSpec], rounds: int, step_s: float, steady: int) -> dict[str, float]:
    """CPU time a sample, the tick that closes each round included; the best of three runs."""
    samples = predictions(rounds, keys, step_s, steady)
    best, events = float("inf"), 0
    for _ in range(3):
        decider = Decider([RegionSpec(camera, region) for camera, region in keys])
        inventory = Inventory({key: RegionLabels(LABELS) for key in keys})
        rule_set = RuleSet(rules, inventory, numbered())
        events, begin = 0, time.process_time()
        for position, sample in enumerate(samples, 1):
            events += len(rule_set.observe(decider.observe(sample)))
            if position % len(keys) == 0:
                events += len(rule_set.tick(sample.captured_s, sample.captured_at))
        best = min(best, time.process_time() - begin)
    return {"us_a_sample": round(best / len(samples) * 1e6, 2), "samples": len(samples), "events": events}


def main() -> None:
    one = [("a", "b")]
    many = [(f"c{i // 4}", f"r{i % 4}") for i in range(1000)]
    mixed = [RuleSpec(f"r{i}", when, for_s=0.3 * (i % 2)) for i, when in enumerate(MIXED)]
    wide = [
        RuleSpec(
            f"k{i}",
            f'c{i}.r0 == "defect" and c{i}.r1 != "ok"'
            if i % 4
            else f'count(c{i}.r0 == "defect", window = "1m") > 2',
            for_s=0.5,
        )
        for i in range(200)
    ]
    plant = cost_us(many, wide, 30, 1.0, 5)
    result = {
        "no_rules": cost_us(one, [], 20_000, 0.2, 50),
        "ten_mixed_rules_on_one_region": cost_us(one, mixed, 20_000, 0.2, 50),
        "1000_regions_200_rules": {**plant, "core_percent_at_1_hz": round(plant["us_a_sample"] * 0.1, 2)},
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
