"""Bytes of models and cards that nobody meant: the mutations. `python -m tests.faults.fuzz model`, and `card`, feed
them by the hundred thousand."""

from __future__ import annotations

import json
import random


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
