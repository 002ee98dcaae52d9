"""Bytes of models and cards that nobody meant: the mutations, and the long run over them.

    python -m tests.faults.model_bytes --inputs 100000 --seed 1

Each input goes the node's whole way: read, loaded by onnxruntime, proven by its golden vector. What may come of it
is a model or a ModelError; anything else, an input that takes longer than its limit, or memory that grows, ends the
run with a non-zero exit code and the seed that made it.
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import sys
import time
from collections import Counter
from pathlib import Path

from edgenode.errors import ModelError
from edgenode.inference.card import parse_card
from edgenode.inference.classifier import Classifier, ClassifierOptions
from edgenode.inference.onnx_file import card_of, parse_onnx
from tests.models import Tiny, make_card, model_bytes

SLOWEST_S = 20.0
"""Longer than the run's limit and a loaded machine's mood together."""
GROWTH_KIB = 64 * 1024


def mutated(data: bytes, rng: random.Random) -> bytes:
    """`data` with one to four changes of the kinds that disks, networks and attackers make. Never `data` itself."""
    changed = bytearray(data)
    while bytes(changed) == data:
        for _ in range(rng.randint(1, 4)):
            _change(changed, rng)
    return bytes(changed)


def _change(data: bytearray, rng: random.Random) -> None:
    at = rng.randrange(len(data)) if data else 0
    length = rng.randint(1, 64)
    kind = rng.randrange(8)
    if kind <= 2 and data:
        data[at] ^= 1 << rng.randrange(8)
    elif kind == 3 and data:
        data[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF))
    elif kind == 4:
        del data[at : at + length]
    elif kind == 5:
        data[at:at] = rng.randbytes(length)
    elif kind == 6:
        data[at:at] = data[at : at + length]
    else:
        del data[at:]


def mutated_card(text: str, rng: random.Random) -> str:
    """A card's JSON with one value exchanged for another kind of value, somewhere in its depth."""
    content = json.loads(text)
    holder, key = _place(content, rng)
    holder[key] = rng.choice(
        [None, -1, 0, 1e308, float("nan"), "", "x" * 5000, [], {}, [[]] * 50, True, 2**70, "\x00", [0.5] * 3]
    )
    if rng.random() < 0.2 and isinstance(holder, dict):
        holder["surprise"] = 1
    return json.dumps(content)


def _place(content: object, rng: random.Random) -> tuple[dict[str, object] | list[object], object]:
    holder, key = None, None
    while isinstance(content, (dict, list)) and content and (holder is None or rng.random() < 0.7):
        key = rng.choice(list(content)) if isinstance(content, dict) else rng.randrange(len(content))
        holder, content = content, content[key]  # type: ignore[index]
    assert isinstance(holder, (dict, list))
    return holder, key


def resident_kib() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1])
    raise AssertionError("no VmRSS")


def run(inputs: int, seed: int) -> Counter[str]:
    """How many inputs ended how. Raises AssertionError naming the seed of the input that did not end well."""
    files = [
        model_bytes(Tiny()),
        model_bytes(Tiny(embedding=True, trips=3)),
        model_bytes(Tiny(task="multi_label")),
    ]
    card = make_card(Tiny(embedding=True)).to_json()
    outcomes: Counter[str] = Counter()
    options = ClassifierOptions(run_timeout_s=2.0)
    warm_kib = 0
    for number in range(inputs):
        rng = random.Random(seed * 1_000_003 + number)
        begun_s = time.monotonic()
        try:
            outcomes[_one(files, card, number, rng, options)] += 1
        except Exception as error:
            raise AssertionError(f"input {number} of seed {seed}: {error!r}") from error
        took_s = time.monotonic() - begun_s
        assert took_s < SLOWEST_S, f"input {number} of seed {seed} took {took_s:.1f} s"
        if number == inputs // 4:
            gc.collect()
            warm_kib = resident_kib()
    gc.collect()
    grown_kib = resident_kib() - warm_kib
    assert grown_kib < GROWTH_KIB, f"grew by {grown_kib} KiB in the last three quarters"
    outcomes["grown_kib"] = grown_kib
    return outcomes


def _one(files: list[bytes], card: str, number: int, rng: random.Random, options: ClassifierOptions) -> str:
    if number % 3 == 0:
        try:
            parse_card(mutated_card(card, rng), "m")
        except ModelError:
            return "card refused"
        return "card read"
    data = mutated(rng.choice(files), rng)
    try:
        card_of(parse_onnx(data, "m"), "m")
        Classifier.load_bytes(data, "m", options).close()
    except ModelError:
        return "file refused"
    return "file loaded and proven"


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--inputs", type=int, default=100_000)
    options.add_argument("--seed", type=int, default=1)
    given = options.parse_args()
    begun_s = time.monotonic()
    outcomes = run(given.inputs, given.seed)
    print(f"seed {given.seed}: {given.inputs} inputs in {time.monotonic() - begun_s:.0f} s")
    for outcome, count in outcomes.most_common():
        print(f"{count:8d} {outcome}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
