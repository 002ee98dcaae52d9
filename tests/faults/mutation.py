"""Damage that is not quite random: what line noise, full disks, tired fingers and hostile senders make of
good input."""

from __future__ import annotations

import random
import re

_TEMPTING = (0, 1, 0x7F, 0x80, 0xFF)
_VALUES = (
    "0", "-1", "1e308", "-0.0", "nan", "inf", "9223372036854775808", "true", '""', '"x"', "[]", "[[]]", "{}",
    "1979-05-27T07:32:00Z", '"\\u0000"', '"../../etc/passwd"', '"rtsp://u:p@[::1"', '"é\\n"', "[0.0, 1, 2]",
    '"10 parsecs"', "{ a = { b = 1 } }", '"line_1.frame == \'x\'"', "0x7fffffffffffffff", '"(((((((((("',
)  # fmt: skip
_KEYS = ("x", "fps", "name", "box", "a.b.c", '""')
_WORDS = (
    "[[cameras]]",
    "[node]",
    "[models.x]",
    "=",
    '"""',
    "#",
    "[",
    "]]",
    "name",
    "enabled = 1",
    "\0",
    "\ufeff",
)


def damaged(rng: random.Random, data: bytes, most: int = 1_000_000) -> bytes:
    """`data` after one to eight changes; at most `most` bytes."""
    found = bytearray(data)
    for _ in range(rng.randint(1, 8)):
        at = rng.randrange(len(found) + 1)
        end = min(len(found), at + rng.choice((1, 1, 2, 4, 16, 200)))
        match rng.randrange(7):
            case 0 if at < len(found):
                found[at] ^= 1 << rng.randrange(8)
            case 1 if at < len(found):
                found[at] = rng.choice(_TEMPTING)
            case 2:
                del found[at:end]
            case 3:
                found[at:at] = found[at:end] * rng.choice((1, 2, 20))
            case 4:
                found[at:at] = rng.randbytes(rng.choice((1, 4, 64)))
            case 5:
                found[at:end] = rng.randbytes(end - at)
            case _ if rng.random() < 0.2:
                del found[at:]
    return bytes(found[:most])


def misspelt(rng: random.Random, text: str) -> str:
    """A configuration after one to five changes of its lines, values or letters."""
    lines = text.splitlines()
    for _ in range(rng.randint(1, 5)):
        if not lines:
            lines = [rng.choice(_WORDS)]
        at = rng.randrange(len(lines))
        match rng.randrange(8):
            case 0:
                del lines[at]
            case 1:
                lines.insert(at, rng.choice(lines))
            case 2:
                other = rng.randrange(len(lines))
                lines[at], lines[other] = lines[other], lines[at]
            case 3 | 4:
                lines[at] = re.sub(r"=.*", lambda _: f"= {rng.choice(_VALUES)}", lines[at])
            case 5:
                lines.insert(at, f"{rng.choice(_KEYS)} = {rng.choice(_VALUES)}")
            case 6:
                place = rng.randrange(len(lines[at]) + 1)
                lines[at] = lines[at][:place] + rng.choice(_WORDS) + lines[at][place + rng.randrange(3) :]
            case _:
                place = rng.randrange(len(lines[at]) + 1)
                lines[at] = (
                    lines[at][:place]
                    + chr(rng.choice((0, 9, 34, 39, 92, 0x301, 0x1F600, 65)))
                    + lines[at][place:]
                )
    return "\n".join(lines) + "\n"
