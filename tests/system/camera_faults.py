"""Everything that goes wrong with a camera, each as three steps: break it, see that it was noticed, repair it."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from edgenode.capture.camera import Camera
from edgenode.capture.picture_watch import WatchLimits
from edgenode.records import CameraStatus, Sample
from tests.capture_parts import Recorder, camera_spec, running
from tests.clips import number_of, numbered, numbered_clip
from tests.servers.black_hole import BlackHole
from tests.servers.scripted_rtsp import Script, ScriptedRtsp, Unit, access_units, mpeg4_units

FRAMES = 250
FPS = 25.0
OLD_S = 3.5
"""No frame that was made longer ago may be handed on as a new one."""


@dataclass(frozen=True)
class Films:
    """What the cameras show; made once, they are the same for all."""

    usual: list[Unit]
    larger: list[Unit]
    other_codec: list[Unit]

    @staticmethod
    def made(folder: Path) -> Films:
        usual = access_units(numbered_clip(folder / "usual.mp4", FRAMES, gop=10))
        larger = numbered_clip_of(folder / "larger.mp4", 480, 270)
        return Films(usual, access_units(larger), mpeg4_units([numbered(number) for number in range(50)]))


def numbered_clip_of(path: Path, width: int, height: int) -> Path:
    from tests.clips import write_clip

    return write_clip(path, (numbered(number, width, height) for number in range(FRAMES)), gop=10)


class AgeRecorder(Recorder):
    """Remembers of each sample how long ago its frame was made by the camera `server`."""

    def __init__(self, server: Callable[[], ScriptedRtsp]) -> None:
        super().__init__()
        self._server = server
        self.ages_s: list[float] = []

    def offer(self, sample: Sample) -> None:
        made_at_s = self._server().made_at_s.get(number_of(sample.array))
        if made_at_s is not None:
            self.ages_s.append(time.monotonic() - made_at_s)
        super().offer(sample)


class Stage:
    """One camera of ours at one scripted camera, whose port outlives it."""

    def __init__(self, films: Films, folder: Path, stack: ExitStack, **settings: Any) -> None:
        self.films = films
        self._stack = stack
        self._up = stack.enter_context(ExitStack())
        self.server = self._up.enter_context(ScriptedRtsp(Script(films.usual, FPS)))
        self.port = self.server.port
        self.recorder = AgeRecorder(lambda: self.server)
        settings = {"fps": 10, "open_timeout": 1, "read_timeout": 1, **settings}
        self.camera: Camera = stack.enter_context(
            running(
                camera_spec(self.server.url, folder, **settings),
                self.recorder,
                limits=WatchLimits(frozen_after_s=1.0),
            )
        )

    @property
    def script(self) -> Script:
        return self.server.script

    def away(self, in_its_place: Callable[[int], Any] | None = None) -> None:
        """The camera is gone; at its address is `in_its_place`, or nothing."""
        self._up.close()
        if in_its_place is not None:
            self._up.enter_context(in_its_place(self.port))

    def back(self) -> None:
        self._up.close()
        self.server = self._up.enter_context(ScriptedRtsp(Script(self.films.usual, FPS), self.port))

    def wait_status(self, *statuses: CameraStatus, reason: str = "") -> None:
        """Until the camera is said to be one of `statuses`, for `reason`; or was, meanwhile."""
        before = len(self.recorder.reports)
        self.recorder.wait(
            lambda: any(
                report.status in statuses and reason in report.reason
                for report in self.recorder.reports[max(0, before - 1) :]
            )
        )

    def wait_online(self, samples: int) -> None:
        """Until `samples` more have come, and the camera is online."""
        self.recorder.wait_samples(samples)
        self.recorder.wait_status(CameraStatus.ONLINE)


Step = Callable[[Stage], None]


def _nothing(stage: Stage) -> None:
    """The fault shows in nothing but what the samples tell."""


@dataclass(frozen=True)
class Fault:
    break_it: Step
    noticed: Step
    repair: Step
    settings: dict[str, Any] = field(default_factory=dict)


def _offline(reason: str = "") -> Step:
    return partial(Stage.wait_status, reason=reason) if False else _waits(CameraStatus.OFFLINE, reason)


def _waits(status: CameraStatus, reason: str = "") -> Step:
    return lambda stage: stage.wait_status(status, reason=reason)


def _sets(drop: bool = False, **changes: Any) -> Step:
    """Changes the script, and cuts the connection where `drop`."""

    def step(stage: Stage) -> None:
        for name, value in changes.items():
            setattr(stage.script, name, value)
        if drop:
            stage.server.drop_connections()

    return step


def _goes_on(samples: int) -> Step:
    return lambda stage: stage.wait_online(samples)


def _switch_off_and_on(stage: Stage) -> None:
    stage.script.status = "200 OK"
    stage.camera.set_enabled(False)
    stage.recorder.wait_status(CameraStatus.DISABLED)
    stage.camera.set_enabled(True)


def _garbage(number: int, packet: bytes) -> bytes:
    return packet[:12] + random.Random(number).randbytes(len(packet) - 12)


def _flipped(number: int, packet: bytes) -> bytes:
    rng = random.Random(number)
    data = bytearray(packet)
    if len(data) > 60:
        data[rng.randrange(40, len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


def _smaller_pictures(stage: Stage) -> None:
    stage.recorder.wait(lambda: stage.recorder.reports and stage.recorder.reports[-1].width == 480)


def _in_other_codec(stage: Stage) -> None:
    stage.recorder.wait(lambda: stage.recorder.reports and stage.recorder.reports[-1].codec == "mpeg4")
    stage.wait_online(3)


def _hold(stage: Stage) -> None:
    stage.script.hold.set()


def _release(stage: Stage) -> None:
    stage.script.hold.clear()


FAULTS: dict[str, Fault] = {
    "refused": Fault(lambda s: s.away(), _offline("connection refused"), Stage.back),
    "black hole": Fault(lambda s: s.away(BlackHole), _offline("did not answer"), Stage.back),
    "stalled after some frames": Fault(_sets(stop_after=1), _offline("no data for 1 s"), _sets(stop_after=0)),
    "killed in the stream": Fault(_sets(drop=True), _offline(), _nothing),
    "wrong password": Fault(_sets(True, status="401 Unauthorized"), _offline("401"), _switch_off_and_on),
    "no such path": Fault(_sets(True, status="404 Not Found"), _offline("404"), _sets(status="200 OK")),
    "busy": Fault(_sets(True, status="503 Service Unavailable"), _offline(), _sets(status="200 OK")),
    "garbage for answers": Fault(_sets(True, junk=b"\x16\x03\x01" * 400), _offline(), _sets(junk=b"")),
    "garbage in packets": Fault(
        _sets(damage=_garbage), _offline("no good picture"), _sets(damage=lambda _, packet: packet)
    ),
    "flipped bits": Fault(
        _sets(damage=_flipped),
        lambda s: s.recorder.wait(lambda: s.recorder.counts["corrupt"] >= 5),
        _sets(damage=lambda _, packet: packet),
    ),
    "noise between packets": Fault(_sets(noise=b"\0\1noise" * 20), _nothing, _sets(noise=b"")),
    "another size": Fault(
        lambda s: _sets(units=s.films.larger)(s), _smaller_pictures, lambda s: _sets(units=s.films.usual)(s)
    ),
    "another codec": Fault(
        lambda s: _sets(units=s.films.other_codec, codec="MP4V-ES")(s),
        _in_other_codec,
        lambda s: _sets(True, units=s.films.usual, codec="H264")(s),
    ),
    "1 frame a second instead of 25": Fault(_sets(fps=1.0), _goes_on(2), _sets(fps=FPS)),
    "a clock that jumps ahead": Fault(
        _sets(time_s=lambda number: number / FPS + 3600.0), _goes_on(5), _sets(time_s=None)
    ),
    "a clock that jumps back and forth": Fault(
        _sets(time_s=lambda number: number / FPS + (number // 40 % 2) * 500.0),
        _goes_on(5),
        _sets(time_s=None),
    ),
    "a clock that stands still": Fault(_sets(time_s=lambda number: 7.0), _goes_on(5), _sets(time_s=None)),
    "times that repeat": Fault(
        _sets(time_s=lambda number: (number // 4) * 4 / FPS), _goes_on(5), _sets(time_s=None)
    ),
    "a frozen picture": Fault(
        lambda s: _sets(units=s.films.usual[:1])(s),
        _waits(CameraStatus.FROZEN),
        lambda s: _sets(units=s.films.usual)(s),
    ),
    "frames that waited in the camera": Fault(
        _hold,
        _waits(CameraStatus.STALE),
        _release,
        {"read_timeout": 5},
    ),
}


@dataclass(frozen=True)
class Outcome:
    """What a fault cost."""

    fault: str
    back_after_s: float
    """From the repair until three more samples had come and the camera was online."""
    oldest_s: float
    """The oldest frame that was handed on, ever."""


def suffer(name: str, films: Films, folder: Path) -> Outcome:
    """One fault from a healthy camera to a healthy camera. Raises AssertionError, naming it."""
    fault = FAULTS[name]
    with ExitStack() as stack:
        stage = Stage(films, folder, stack, **fault.settings)
        try:
            stage.wait_online(5)
            fault.break_it(stage)
            fault.noticed(stage)
            fault.repair(stage)
            repaired_s = time.monotonic()
            stage.wait_online(3)
            back_after_s = time.monotonic() - repaired_s
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from error
        return Outcome(name, back_after_s, max(stage.recorder.ages_s, default=0.0))


def suffer_all(films: Films, folder: Path) -> list[Outcome]:
    """All of them at once, each at a camera of its own."""
    outcomes: list[Outcome] = []
    failures: list[BaseException] = []
    lock = threading.Lock()

    def work(name: str) -> None:
        try:
            outcome = suffer(name, films, folder)
        except BaseException as error:
            with lock:
                failures.append(error)
        else:
            with lock:
                outcomes.append(outcome)

    threads = [threading.Thread(target=work, args=(name,), name=f"fault {name}") for name in FAULTS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise AssertionError("\n".join(str(failure) for failure in failures)) from failures[0]
    return sorted(outcomes, key=lambda outcome: outcome.fault)
