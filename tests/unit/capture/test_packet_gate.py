"""The packet gate's judgement: pure, on sizes and times alone."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edgenode.capture.packet_gate import DOUBTFUL_LOOK_S, HOLD_S, LOOK_S, PacketGate

FPS = 10
GROUP = 20
STILL, LARGE = 200, 2000


class Stream:
    """Feeds a gate as a camera would: each packet, and every second picture where it is decoded."""

    def __init__(self, gate: PacketGate) -> None:
        self.gate = gate
        self.index = 0
        self.decoded: list[float] = []
        self.looked: list[float] = []

    @property
    def time_s(self) -> float:
        return self.index / FPS

    def play(self, seconds: float, size: int, moved: bool) -> None:
        for _ in range(round(seconds * FPS)):
            key = self.index % GROUP == 0
            self.gate.packet(20_000 if key else size + self.index % 7, key, self.time_s)
            if self.gate.open:
                self.decoded.append(self.time_s)
                if self.index % 2 == 0:
                    self.gate.judged(moved)
            elif key and self.gate.wants_key():
                self.looked.append(self.time_s)
                self.gate.judged(moved)
            self.index += 1


def learnt(gate: PacketGate) -> Stream:
    stream = Stream(gate)
    stream.play(20.0, STILL, moved=False)
    return stream


def test_it_learns_what_still_is_and_closes() -> None:
    gate = PacketGate()
    assert gate.open
    assert gate.learning
    stream = learnt(gate)
    assert not gate.open
    assert stream.decoded[-1] < 12.0


def test_while_something_always_moves_everything_is_decoded() -> None:
    gate = PacketGate()
    stream = Stream(gate)
    stream.play(60.0, LARGE, moved=True)
    assert gate.learning
    assert len(stream.decoded) == 600


def test_a_larger_packet_opens_at_once_and_the_gate_closes_after_the_hold() -> None:
    gate = PacketGate()
    stream = learnt(gate)
    stream.play(0.5, STILL, moved=False)
    began_s = stream.time_s
    stream.decoded.clear()
    stream.play(3.0, LARGE, moved=True)
    assert gate.firm
    stream.play(10.0, STILL, moved=False)
    assert stream.decoded[0] == began_s
    assert stream.decoded[-1] <= began_s + 3.0 + HOLD_S
    assert not gate.open


def test_a_closed_gate_looks_at_a_key_frame_now_and_then() -> None:
    stream = learnt(PacketGate())
    stream.looked.clear()
    stream.play(40.0, STILL, moved=False)
    assert len(stream.looked) == 40 / max(LOOK_S, GROUP / FPS)


def test_middling_packets_in_a_row_open_where_still_ones_are_now_and_then_as_large() -> None:
    gate = PacketGate()
    stream = Stream(gate)
    for second in range(20):
        stream.play(0.9, STILL, moved=False)
        stream.play(0.1, 5 * STILL if second % 2 else STILL, moved=False)
    assert not gate.open
    threshold = gate.threshold_bytes
    assert threshold is not None
    assert threshold > 4 * STILL
    stream.play(0.5, 3 * STILL, moved=True)
    assert gate.firm


def test_after_a_miss_it_looks_twice_as_often() -> None:
    stream = learnt(PacketGate())
    stream.play(LOOK_S + GROUP / FPS, STILL, moved=True)
    stream.play(10.0, STILL, moved=False)
    assert not stream.gate.open
    stream.looked.clear()
    stream.play(40.0, STILL, moved=False)
    assert len(stream.looked) == 40 / DOUBTFUL_LOOK_S


def test_motion_in_a_key_frame_opens_although_packets_are_silent() -> None:
    gate = PacketGate()
    stream = learnt(gate)
    stream.play(LOOK_S + GROUP / FPS, STILL, moved=True)
    assert gate.open
    assert not gate.firm


def test_a_camera_whose_packets_tell_nothing_is_decoded_whole_until_they_do() -> None:
    outcomes: list[bool] = []
    gate = PacketGate(audited=outcomes.append)
    stream = learnt(gate)
    for _ in range(5):
        stream.play(LOOK_S + GROUP / FPS, STILL, moved=True)
        stream.play(6.0, STILL, moved=False)
    assert outcomes
    assert not any(outcomes)
    assert not gate.trusted
    stream.decoded.clear()
    stream.play(10.0, STILL, moved=False)
    assert len(stream.decoded) == 100
    for _ in range(25):
        stream.play(4.0, LARGE, moved=True)
        stream.play(6.0, STILL, moved=False)
    assert gate.trusted
    assert not gate.open


def rate_controlled() -> Stream:
    """Learnt, of a camera whose still packets are a tenth of its key frames."""
    stream = Stream(PacketGate())
    stream.play(20.0, 2000, moved=False)
    return stream


def test_a_camera_that_spends_much_on_still_pictures_is_decoded_whole_from_the_first() -> None:
    stream = rate_controlled()
    for _ in range(6):
        stream.play(5.0, 2000, moved=True)
        stream.play(15.0, 2000, moved=False)
    assert not stream.gate.trusted
    assert len(stream.decoded) == stream.index


def test_it_is_gated_once_its_packets_have_told_two_beginnings() -> None:
    stream = rate_controlled()
    stream.play(4.0, 5000, moved=True)
    stream.play(16.0, 2000, moved=False)
    assert stream.gate.open
    stream.play(4.0, 5000, moved=True)
    stream.play(16.0, 2000, moved=False)
    assert stream.gate.trusted
    assert not stream.gate.open


def test_what_has_come_to_rest_teaches_nothing() -> None:
    gate = PacketGate()
    stream = learnt(gate)
    stream.play(4.0, LARGE, moved=True)
    threshold = gate.threshold_bytes
    for index in range(60 * FPS):
        gate.packet(LARGE, False, stream.time_s + index / FPS)
        gate.judged(moved=False, fresh=False)
    assert gate.threshold_bytes == threshold


def test_an_audit_decodes_its_share_of_the_closed_time_and_tells_what_was_missed() -> None:
    outcomes: list[bool] = []
    gate = PacketGate(audit=0.1, audited=outcomes.append)
    stream = learnt(gate)
    stream.decoded.clear()
    stream.play(600.0, STILL, moved=False)
    assert 0.05 * 6000 <= len(stream.decoded) <= 0.15 * 6000
    assert not outcomes


def test_what_is_still_may_grow_slowly() -> None:
    """Noise at dusk: packets grow, the gate opens, sees nothing move, and learns."""
    gate = PacketGate()
    stream = learnt(gate)
    for step in range(40):
        stream.play(20.0, STILL + 10 * step, moved=False)
    stream.play(60.0, STILL + 400, moved=False)
    assert not gate.open


def test_a_demand_opens_and_a_restart_keeps_what_was_learnt() -> None:
    gate = PacketGate()
    learnt(gate)
    assert not gate.open
    gate.demand()
    assert gate.open
    threshold = gate.threshold_bytes
    gate.restart()
    again = Stream(gate)
    again.play(10.0, STILL, moved=False)
    assert gate.threshold_bytes == threshold
    assert not gate.open


def test_an_audit_begins_at_a_key_frame_so_that_nothing_old_is_decoded_for_it() -> None:
    stream = learnt(PacketGate(audit=0.1))
    before = len(stream.decoded)
    stream.play(300.0, STILL, moved=False)
    audits = np.split(
        np.array(stream.decoded[before:]), np.flatnonzero(np.diff(stream.decoded[before:]) > 1.0) + 1
    )
    assert 4 <= len(audits) <= 6
    assert all(round(audit[0] * FPS) % GROUP == 0 for audit in audits)
    assert 0.07 < sum(len(audit) for audit in audits) / (300.0 * FPS) < 0.13


def test_a_stream_that_sends_no_more_key_frames_is_audited_all_the_same() -> None:
    gate = PacketGate(audit=0.1)
    stream = learnt(gate)
    opened = 0
    for index in range(100 * FPS):
        was_open = gate.open
        opened += gate.packet(STILL, False, stream.time_s + index / FPS) and not was_open
        gate.judged(False)
    assert opened >= 1


@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(
        st.tuples(st.integers(1, 50_000), st.booleans(), st.floats(-1.0, 3.0), st.booleans()), max_size=200
    ),
    audit=st.sampled_from([0.0, 0.02, 1.0]),
)
def test_whatever_comes_it_is_open_while_it_learns_and_after_each_sign(
    steps: list[tuple[int, bool, float, bool]], audit: float
) -> None:
    gate = PacketGate(audit)
    time_s = 0.0
    for size, key, step_s, moved in steps:
        time_s = max(0.0, time_s + step_s)
        threshold = gate.threshold_bytes
        gate.packet(size, key, time_s)
        if threshold is None or (not key and size > threshold):
            assert gate.open
        if gate.open or (key and gate.wants_key()):
            gate.judged(moved)
            assert gate.open or not moved
