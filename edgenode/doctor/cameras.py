"""The cameras: each opened and read for some seconds, several at a time, within a deadline of its own."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from edgenode.capture.opening import camera_notes, redact
from edgenode.capture.probe import CameraLook, look_at
from edgenode.capture.regions import RegionCutter
from edgenode.capture.source import SourceOptions
from edgenode.decision_setup import model_of, regions_of
from edgenode.doctor.finding import Finding, Level
from edgenode.errors import EdgeNodeError, SourceRefusedError
from edgenode.records import JsonObject
from edgenode.settings import CameraSettings, Settings

PART = "camera"
AT_ONCE = 8
_GRACE_S = 5.0
"""Beyond the timeouts, for name resolution and a loaded machine; then a camera is given up."""
_LONG_KEYS_S = 10.0
_NOTHING = 2.0
_STEADY = 1.15
"""98 % quantile over median of packet sizes under which sizes are as good as constant."""
_WORTH_MS = 50.0
"""Decoding that takes more than this of a second's CPU is worth a gate."""

Look = CameraLook | EdgeNodeError


def examine_cameras(
    settings: Settings,
    cutters: Mapping[str, Sequence[RegionCutter]],
    base_dir: Path,
    seconds: float,
    model_cost_s: Mapping[str, float],
) -> list[Finding]:
    """The findings of all cameras and of the load they make. `cutters`: by camera, of the models that loaded."""
    enabled = [camera for camera in settings.cameras if camera.enabled]
    looks = _look_at_all(enabled, cutters, base_dir, seconds)
    found: list[Finding] = []
    cores = 0.0
    for camera in settings.cameras:
        if not camera.enabled:
            found.append(Finding(PART, camera.name, Level.NOTE, "switched off; not looked at"))
            continue
        look = looks[camera.name]
        if isinstance(look, EdgeNodeError):
            found.append(_failed(camera, look))
            continue
        inference = _inference_share(camera, settings, look, model_cost_s)
        cores += look.share_of_core(camera) + inference
        found += _seen(camera, look, inference)
    return found + _load(cores, len(enabled), settings)


def _look_at_all(
    cameras: Sequence[CameraSettings],
    cutters: Mapping[str, Sequence[RegionCutter]],
    base_dir: Path,
    seconds: float,
) -> dict[str, Look]:
    looks: dict[str, Look] = {}
    began_s: dict[str, float] = {}
    waiting: queue.SimpleQueue[CameraSettings] = queue.SimpleQueue()
    done = threading.Condition()
    for camera in cameras:
        waiting.put(camera)

    def work() -> None:
        while True:
            try:
                camera = waiting.get_nowait()
            except queue.Empty:
                return
            with done:
                began_s[camera.name] = time.monotonic()
            look = _look(camera, cutters.get(camera.name, ()), base_dir, seconds)
            with done:
                looks.setdefault(camera.name, look)
                done.notify_all()

    def start() -> None:
        # daemon threads: one that hangs in a library must not keep the command from ending
        threading.Thread(target=work, name="doctor", daemon=True).start()

    for _ in range(min(AT_ONCE, len(cameras))):
        start()
    with done:
        while len(looks) < len(cameras):
            done.wait(0.2)
            now_s = time.monotonic()
            for camera in cameras:
                limit_s = camera.open_timeout + camera.read_timeout + seconds + _GRACE_S
                late = camera.name in began_s and now_s - began_s[camera.name] > limit_s
                if late and camera.name not in looks:
                    looks[camera.name] = EdgeNodeError(f"did not answer within {limit_s:g} s, and hangs")
                    start()
    return looks


def _look(camera: CameraSettings, cutters: Sequence[RegionCutter], base_dir: Path, seconds: float) -> Look:
    options = SourceOptions(
        open_timeout_s=camera.open_timeout,
        read_timeout_s=camera.read_timeout,
        transport=camera.transport,
        poll_s=1.0 / camera.fps if camera.fps > 0.0 else SourceOptions().poll_s,
        base_dir=base_dir,
    )
    try:
        return look_at(camera, options, cutters, seconds)
    except EdgeNodeError as error:
        return error
    except Exception as error:
        return EdgeNodeError(f"a fault inside: {type(error).__name__}: {redact(str(error))}")


def _failed(camera: CameraSettings, error: EdgeNodeError) -> Finding:
    if isinstance(error, SourceRefusedError):
        advice = "correct user name, password or path in `source`; some cameras lock an account for minutes"
    elif camera.source.startswith("usb:"):
        advice = "is it plugged in, and may this user read it? the unit needs a drop-in: it says which"
    elif "://" in camera.source:
        advice = (
            "is it on, and does another program on this machine see it? a longer open_timeout for slow ones"
        )
    else:
        advice = "correct `source`"
    return Finding(PART, camera.name, Level.PROBLEM, str(error), advice)


def _inference_share(
    camera: CameraSettings, settings: Settings, look: CameraLook, cost_s: Mapping[str, float]
) -> float:
    interval_s = look.keyframe_interval_s
    alone = look.keyframes_alone(camera) and interval_s is not None
    fps = 1.0 / interval_s if alone and interval_s else look.classified_fps(camera.fps)
    models = [model_of(region, settings) for region in regions_of(camera)]
    return fps * sum(cost_s.get(model, 0.0) for model in models if model is not None)


def _seen(camera: CameraSettings, look: CameraLook, inference: float) -> list[Finding]:
    share = look.share_of_core(camera)
    gated = "at most " if camera.gate != "none" else ""
    alone = " (key frames alone are decoded)" if look.keyframes_alone(camera) else ""
    text = (
        f"{look.info.codec} {look.info.width}x{look.info.height}, {look.fps:.1f} fps, {_keys(look)}; decoding "
        f"{look.decode_ms:.2f} ms a frame{alone}, {gated}{100.0 * share:.1f} % of a core and "
        f"{100.0 * inference:.1f} % for its models at fps = {camera.fps:g}"
    )
    found = [Finding(PART, camera.name, Level.OK, text, facts=_facts(camera, look, share, inference))]
    found += [Finding(PART, camera.name, Level.WARNING, note) for note in camera_notes(camera)]
    doubts = [*_doubts(camera, look), *_gate(camera, look)]
    return found + [Finding(PART, camera.name, level, text, advice) for level, text, advice in doubts]


def _keys(look: CameraLook) -> str:
    if look.keyframes == look.frames:
        return "every frame a key frame"
    if look.keyframe_interval_s is None:
        return f"no two key frames in {look.seconds:.0f} s"
    return f"a key frame every {look.keyframe_interval_s:.1f} s"


def _doubts(camera: CameraSettings, look: CameraLook) -> list[tuple[Level, str, str]]:
    found = []
    if look.corrupt:
        text = f"{look.corrupt} of {look.frames} frames were damaged"
        found.append((Level.WARNING, text, 'the network loses packets: transport = "tcp", a lower bit rate'))
    if look.backwards:
        text = f"its time stood still or ran backwards {look.backwards} times"
        found.append((Level.WARNING, text, "the camera's firmware; B-frames switched off in its settings"))
    if look.pace is not None and not 0.8 <= look.pace <= 1.25:
        text = f"its clock runs {look.pace:.2f} seconds in one: frames are late, or come in bursts"
        found.append((Level.WARNING, text, "the camera's load and network; a lower resolution or bit rate"))
    if look.info.live and look.fps > 0.0 and look.longest_gap_s > max(1.0, 5.0 / look.fps):
        text = f"{look.longest_gap_s:.1f} s without a frame"
        found.append((Level.WARNING, text, "its network, or a stream that saves frames while nothing moves"))
    if look.contrast < _NOTHING:
        text = "its picture shows nothing: black, covered or overexposed"
        found.append((Level.WARNING, text, "look at it: edgenode snapshot --camera NAME --out look.jpg"))
    if look.info.live and camera.fps > 0.0 and 1.0 < look.fps < 0.9 * camera.fps:
        text = f"fps = {camera.fps:g} is wanted, and it sends {look.fps:.1f}"
        found.append((Level.NOTE, text, "a lower `fps`, or a higher rate in the camera's settings"))
    interval_s = look.keyframe_interval_s
    if camera.decode == "keyframes" and (interval_s is None or interval_s > 1.1 / max(camera.fps, 0.01)):
        text = f'decode = "keyframes" gives fewer frames than fps = {camera.fps:g}: {_keys(look)}'
        found.append((Level.WARNING, text, 'a shorter key-frame interval in the camera, or decode = "auto"'))
    elif look.info.live and look.keyframes < look.frames and (interval_s or look.seconds) >= _LONG_KEYS_S:
        text = f"{_keys(look)}: as long may it take to see again after a loss"
        found.append((Level.NOTE, text, "a key frame every 1 to 2 s (GOP, I-frame interval)"))
    return found


def _gate(camera: CameraSettings, look: CameraLook) -> list[tuple[Level, str, str]]:
    """Whether the packet gate can work: it needs small packets between key frames, of sizes that vary."""
    wanted = camera.gate == "packet"
    if look.between_bytes is None:
        if not wanted:
            return []
        text = f'gate = "packet" needs frames between key frames, and {look.info.codec} here has none'
        return [(Level.WARNING, text, 'gate = "motion"')]
    middle, large = look.between_bytes
    if large < _STEADY * middle:
        if not wanted:
            return []
        text = "packet sizes hardly vary: a constant bit rate may hide motion from the packet gate"
        return [
            (Level.WARNING, text, "a variable bit rate in the camera, or watch edgenode_gate_audits_total")
        ]
    if not wanted and camera.gate == "none" and look.decode_ms * look.fps > _WORTH_MS:
        text = f"decoding takes {look.decode_ms * look.fps / 10.0:.0f} % of a core all the time"
        return [(Level.NOTE, text, 'gate = "packet" saves most of it while nothing moves: docs/energy.md')]
    return []


def _facts(camera: CameraSettings, look: CameraLook, share: float, inference: float) -> JsonObject:
    between = look.between_bytes
    return {
        "codec": look.info.codec,
        "width": look.info.width,
        "height": look.info.height,
        "fps": round(look.fps, 2),
        "opened_ms": round(look.opened_s * 1000.0, 1),
        "frames": look.frames,
        "damaged_frames": look.corrupt,
        "keyframe_interval_s": None
        if look.keyframe_interval_s is None
        else round(look.keyframe_interval_s, 3),
        "bytes_per_s": round(look.bytes_per_s),
        "decode_ms_per_frame": round(look.decode_ms, 3),
        "decode_ms_per_keyframe": round(look.keyframe_ms, 3),
        "prepare_ms_per_picture": round(look.convert_ms, 3),
        "keyframes_alone": look.keyframes_alone(camera),
        "share_of_core": round(share, 6),
        "share_of_core_for_models": round(inference, 6),
        "times_backwards": look.backwards,
        "longest_gap_s": round(look.longest_gap_s, 3),
        "pace": None if look.pace is None else round(look.pace, 3),
        "packet_gate_can_work": between is not None and between[1] >= _STEADY * between[0],
    }


def _load(cores: float, cameras: int, settings: Settings) -> list[Finding]:
    if not cameras:
        return [Finding("load", "cores", Level.NOTE, "no camera is switched on")]
    there = len(os.sched_getaffinity(0))
    facts = {"cores_needed": round(cores, 3), "cores": there}
    text = f"cameras and models together take {cores:.2f} of {there} cores, gates open"
    if cores <= 0.7 * there:
        return [Finding("load", "cores", Level.OK, text, facts=facts)]
    level = Level.PROBLEM if cores > there else Level.WARNING
    advice = "lower `fps`, a `gate`, key frames alone, a smaller model: docs/energy.md"
    if settings.inference.threads > there:
        advice = f"inference.threads = {settings.inference.threads} is more than the cores; {advice}"
    return [Finding("load", "cores", level, text, advice, facts)]
