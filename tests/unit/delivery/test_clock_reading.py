"""What the kernel says of its clock."""

from __future__ import annotations

import struct

from edgenode.delivery.identity import ClockReading, reading_of


def test_the_kernels_offset_is_read_in_its_own_unit() -> None:
    timex = bytearray(208)
    struct.pack_into("=q", timex, 8, -1500)
    assert reading_of(0, bytes(timex)) == ClockReading("synchronised", -0.0015)
    struct.pack_into("=i", timex, 40, 0x2000 | 0x1)
    assert reading_of(0, bytes(timex)) == ClockReading("synchronised", -1.5e-6)
    assert reading_of(5, bytes(timex)) == ClockReading("unsynchronised", None)
