"""Streams behind a packet gate: what is decoded, what is kept, and that nothing of a beginning is lost."""

from __future__ import annotations

import itertools
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from edgenode.capture.kept_packets import MAX_PACKETS, KeptPackets
from edgenode.capture.luma import covered_cells, small_luma
from edgenode.capture.motion import MotionGate
from edgenode.capture.opening import open_source
from edgenode.capture.packet_gate import PacketGate
from edgenode.capture.schedule import FrameSchedule
from edgenode.capture.source import Grab, SourceOptions
from edgenode.clock import SystemClock
from edgenode.errors import SourceEndedError
from edgenode.records import U8
from tests.capture_parts import Recorder, camera_spec, running

FPS = 10
MOVING = (30.5, 34.0)
LENGTH_S = 50.0


def write(path: Path, pictures: list[U8], options: dict[str, str], gop: int = 20) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.time_base = Fraction(1, FPS)
        stream.codec_context.gop_size = gop
        stream.options = {"crf": "24", "sc_threshold": "0", **options}
        for index, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def drawn() -> list[U8]:
    """A still textured room with a little noise; a bright box crosses it during MOVING. The texture makes key frames
    as large, beside the others, as a camera's are."""
    rng = np.random.default_rng(7)
    room = rng.integers(60, 180, (9, 16, 3), dtype=np.uint8).repeat(20, axis=0).repeat(20, axis=1)
    room = room + rng.normal(0.0, 8.0, room.shape)
    box = rng.integers(200, 256, (60, 50, 3), dtype=np.uint8)
    pictures = []
    for index in range(round(LENGTH_S * FPS)):
        picture = np.clip(room + rng.normal(0.0, 1.0, room.shape), 0, 255).astype(np.uint8)
        t_s = index / FPS
        if MOVING[0] <= t_s < MOVING[1]:
            x = round((t_s - MOVING[0]) / (MOVING[1] - MOVING[0]) * 260)
            picture[60:120, x : x + 50] = box
        pictures.append(picture)
    return pictures


def read_gated(path: Path, gate: PacketGate) -> list[Grab]:
    """All grabs; every second decoded picture is looked at, as a camera at 5 fps does."""
    motion = MotionGate(covered_cells([(0.0, 0.0, 1.0, 1.0)]))
    source = open_source(str(path), SourceOptions(gate=gate), SystemClock())
    grabs: list[Grab] = []
    try:
        while True:
            grab = source.read()
            grabs.append(grab)
            assert grab.media_s is not None
            if not grab.skipped and round(grab.media_s * FPS) % 2 == 0:
                motion.passes(small_luma(grab.rgb()), grab.media_s)
                gate.judged(motion.moved, not grab.recalled)
    except SourceEndedError:
        return grabs
    finally:
        source.close()


@pytest.mark.parametrize(
    "options",
    [{"tune": "zerolatency", "preset": "veryfast"}, {"bf": "2", "preset": "veryfast"}],
    ids=["low delay", "b frames"],
)
def test_little_is_decoded_while_nothing_moves_and_all_of_what_does(
    tmp_path: Path, options: dict[str, str]
) -> None:
    pictures = drawn()
    path = write(tmp_path / "room.mp4", pictures, options)
    gate = PacketGate()
    grabs = read_gated(path, gate)
    decoded = [grab for grab in grabs if not grab.skipped]
    times = {round((grab.media_s or 0.0) * FPS) for grab in decoded}
    assert set(range(int(MOVING[0] * FPS), int(MOVING[1] * FPS))) <= times
    assert any(grab.recalled for grab in decoded)
    assert sum(grab.packets for grab in grabs) == len(pictures)
    assert len(times) < 0.6 * len(pictures)
    assert len(decoded) <= len(times) + 2  # nothing is handed out twice


def test_recalled_pictures_are_those_of_a_plain_reading(tmp_path: Path) -> None:
    path = write(tmp_path / "room.mp4", drawn(), {"tune": "zerolatency", "preset": "veryfast"})
    plain: dict[int, U8] = {}
    source = open_source(str(path), SourceOptions(), SystemClock())
    try:
        while True:
            grab = source.read()
            plain[round((grab.media_s or 0.0) * FPS)] = grab.rgb()
    except SourceEndedError:
        source.close()
    compared = 0
    for grab in read_gated_pictures(path):
        np.testing.assert_array_equal(grab[1], plain[grab[0]])
        compared += 1
    assert compared > 40


def read_gated_pictures(path: Path) -> list[tuple[int, U8]]:
    """(number, picture) of what is decoded from shortly before the motion to its end."""
    gate = PacketGate()
    motion = MotionGate(covered_cells([(0.0, 0.0, 1.0, 1.0)]))
    source = open_source(str(path), SourceOptions(gate=gate), SystemClock())
    found: list[tuple[int, U8]] = []
    try:
        while True:
            grab = source.read()
            if grab.skipped or grab.media_s is None:
                continue
            picture = grab.rgb()
            motion.passes(small_luma(picture), grab.media_s)
            gate.judged(motion.moved, not grab.recalled)
            if grab.media_s > MOVING[0] - 2.5:
                found.append((round(grab.media_s * FPS), picture))
    except SourceEndedError:
        return found
    finally:
        source.close()


def test_a_camera_behind_a_packet_gate_says_what_it_skips_and_opens_for_what_moves(tmp_path: Path) -> None:
    pictures = drawn()
    path = write(tmp_path / "room.mp4", pictures, {"tune": "zerolatency", "preset": "veryfast"})
    recorder = Recorder()
    with running(camera_spec(str(path), tmp_path, gate="packet", fps=5.0), recorder, realtime=False):
        recorder.wait(lambda: recorder.reports and recorder.reports[-1].status == "ended")
    assert recorder.counts["packets"] == len(pictures)
    assert recorder.counts["packet"] > 50
    assert recorder.counts["decoded"] < len(pictures) - 2 * recorder.counts["packet"] + 60
    changes = [key for key, _ in itertools.groupby(recorder.gates)]
    assert changes[:3] == [True, False, True]
    bright = [sample for sample in recorder.samples if (sample.array[60:120] > 205).mean() > 0.02]
    assert len(bright) >= (MOVING[1] - MOVING[0]) * 5 - 2


def test_a_real_street_opens_the_gate_for_every_car_and_for_little_else(
    tmp_path: Path, shared_data: Path
) -> None:
    """Packets of a real camera, not encoded again: a still stretch of 56 s, then two cars; four times over."""
    path = still_then_cars(shared_data / "clips/ckuhn_street_camera.mp4", tmp_path / "street.mp4")
    _, reference, _ = watch_street(path, None)
    gate = PacketGate()
    used, _, share = watch_street(path, gate)
    assert len(reference) > 60
    assert all(any(abs(time_s - moved_s) <= 0.25 for time_s in used) for moved_s in reference)
    assert share < 0.5
    assert gate.trusted


def still_then_cars(clip: Path, path: Path) -> Path:
    groups: list[list[av.Packet]] = []
    with av.open(str(clip)) as container, av.open(str(path), "w") as out:
        source = container.streams.video[0]
        for packet in container.demux(source):
            if packet.is_keyframe and packet.size and packet.pts * packet.time_base >= 19.5:
                groups.append([])
            if groups and packet.size:
                groups[-1].append(packet)
        stream = out.add_stream_from_template(source)
        for index, packet in enumerate(itertools.chain(*(groups[:2] * 14), *groups[:5])):
            copy = av.Packet(bytes(packet))
            copy.stream, copy.time_base = stream, Fraction(1, 10)
            copy.pts = copy.dts = index
            copy.is_keyframe = packet.is_keyframe
            out.mux(copy)
    return path


def watch_street(path: Path, gate: PacketGate | None) -> tuple[list[float], list[float], float]:
    """Times that would be classified, times with motion, and the part of the packets that was decoded."""
    motion = MotionGate(covered_cells([(0.0, 0.0, 1.0, 1.0)]))
    schedule = FrameSchedule(5.0)
    source = open_source(str(path), SourceOptions(gate=gate, loop=True), SystemClock())
    used, moved, decoded, packets = [], [], 0, 0
    while (grab := source.read()).media_s is not None and grab.media_s < 4 * 66.0:
        packets += grab.packets
        if grab.skipped:
            continue
        decoded += 1
        if not schedule.due(grab.media_s):
            continue
        passes = motion.passes(small_luma(grab.rgb()), grab.media_s)
        if gate is not None:
            idle = not gate.open
            gate.judged(motion.moved, not grab.recalled)
            passes = passes or idle or gate.firm
        if motion.moved:
            moved.append(grab.media_s)
        if passes:
            used.append(grab.media_s)
    source.close()
    return used, moved, decoded / packets


def test_kept_packets_begin_anew_with_a_key_frame_and_are_bounded(tmp_path: Path) -> None:
    path = write(tmp_path / "room.mp4", drawn()[:60], {"tune": "zerolatency", "preset": "veryfast"})
    kept = KeptPackets()
    with av.open(str(path)) as container:
        for index, packet in enumerate(container.demux(container.streams.video[0])):
            if packet.size:
                kept.keep(packet, packet.is_keyframe, packet.size, float(index))
                assert len(kept) == index % 20 + 1
        assert kept.take().packet.is_keyframe
        while not kept.full:
            kept.keep(packet, packet.is_keyframe, packet.size, 0.0)
        assert len(kept) <= MAX_PACKETS
        kept.clear()
        assert len(kept) == 0
