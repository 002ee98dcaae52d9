"""One suite for every source of pictures: what the camera thread may rely on."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgenode.capture.opening import open_source, source_problem
from edgenode.capture.source import Source, SourceIdleError, SourceOptions
from edgenode.clock import SystemClock
from edgenode.errors import SourceEndedError, SourceError
from tests.capture_parts import read_on, scene_factory
from tests.clips import jpeg, number_of, numbered, numbered_clip
from tests.fixtures_servers import StartHttp, StartRtsp
from tests.servers.black_hole import BlackHole
from tests.servers.http_camera import Behaviour

FRAMES = 12
KINDS = ["rtsp", "mjpeg", "still", "file", "folder", "synthetic"]
FINITE = ["file", "folder"]


@pytest.fixture
def url_of(tmp_path: Path, rtsp_camera: StartRtsp, http_camera: StartHttp) -> Callable[[str], str]:
    def make(kind: str) -> str:
        pictures = [jpeg(numbered(number)) for number in range(FRAMES)]
        match kind:
            case "rtsp":
                return rtsp_camera(numbered_clip(tmp_path / "c.mp4", FRAMES), "--loop").url
            case "mjpeg":
                return http_camera(Behaviour(pictures)).url("stream")
            case "still":
                return http_camera(Behaviour(pictures)).url("still")
            case "file":
                numbered_clip(tmp_path / "odd ?name#1:%d.mp4", FRAMES)
                return "odd ?name#1:%d.mp4"
            case "folder":
                (tmp_path / "pictures").mkdir()
                for number, picture in enumerate(pictures):
                    (tmp_path / "pictures" / f"{number:03}.jpg").write_bytes(picture)
                return "pictures/"
            case _:
                return "synthetic:numbers?fps=50"

    return make


def opened(url: str, base_dir: Path, follow: bool = False) -> Source:
    options = SourceOptions(read_timeout_s=10.0, poll_s=0.01, follow=follow, base_dir=base_dir)
    return open_source(url, options, SystemClock(), scene_factory)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_a_source_names_no_problem_and_yields_rgb_pictures_of_its_announced_size(
    kind: str, url_of: Callable[[str], str], tmp_path: Path
) -> None:
    url = url_of(kind)
    assert source_problem(url, tmp_path, scene_factory) is None
    source = opened(url, tmp_path)
    try:
        assert (source.info.width, source.info.height) == (320, 180)
        assert source.info.finite is (kind in FINITE)
        assert source.info.live is (kind not in FINITE)
        for _ in range(5):
            grab = source.read()
            picture = grab.rgb()
            assert picture.shape == (180, 320, 3)
            assert picture.dtype == np.uint8
            assert picture.flags.writeable
            assert not grab.corrupt
            assert grab.packet_bytes > 0 or kind == "synthetic"
    finally:
        source.close()


def test_media_time_never_goes_backwards_and_begins_near_zero(
    kind: str, url_of: Callable[[str], str], tmp_path: Path
) -> None:
    source = opened(url_of(kind), tmp_path)
    try:
        times = [source.read().media_s for _ in range(FRAMES - 1)]
    finally:
        source.close()
    if kind in ("folder", "mjpeg"):
        assert times == [None] * len(times)
        return
    numbers = [time for time in times if time is not None]
    assert len(numbers) == len(times)
    assert numbers == sorted(numbers)
    assert 0.0 <= numbers[0] < 2.0
    assert numbers[-1] > numbers[0]


@pytest.mark.parametrize("kind", FINITE)
def test_a_finite_source_gives_every_picture_once_in_order_then_ends_for_good(
    kind: str, url_of: Callable[[str], str], tmp_path: Path
) -> None:
    source = opened(url_of(kind), tmp_path)
    try:
        assert [number_of(source.read().rgb()) for _ in range(FRAMES)] == list(range(FRAMES))
        for _ in range(2):
            with pytest.raises(SourceEndedError):
                source.read()
    finally:
        source.close()


def test_closing_twice_is_safe_and_leaves_no_descriptor_and_no_thread(
    kind: str, url_of: Callable[[str], str], tmp_path: Path
) -> None:
    url = url_of(kind)
    opened(url, tmp_path).close()  # what libraries keep once, they keep from here on
    descriptors, threads = len(os.listdir("/proc/self/fd")), set(threading.enumerate())
    for _ in range(3):
        source = opened(url, tmp_path)
        source.read()
        source.close()
        source.close()
    if kind in ("mjpeg", "still"):
        return  # the server's own threads and sockets live in this process
    assert len(os.listdir("/proc/self/fd")) <= descriptors
    assert set(threading.enumerate()) <= threads


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("rtsp://viewer:s3cret@127.0.0.1:1/cam", "connection refused"),
        ("http://viewer:s3cret@127.0.0.1:1/cam", "connection refused"),
        ("missing.mp4", "does not exist"),
        ("missing/", "cannot be read"),
        ("usb:77", "plugged in"),
        ("synthetic:nothing", "no scene"),
        ("ftp://127.0.0.1/x.mp4", "not understood"),
        ("mqtt:pictures/line", "not supported"),
        ("synthetic:numbers?speed=2", "speed=2"),
        ("rtsp:///cam", "names no host"),
        ("usb:first", "usb:0"),
        ("usb:/dev/null", "no video device"),
    ],
)
def test_what_cannot_be_opened_is_one_source_error_without_secrets(
    url: str, words: str, tmp_path: Path
) -> None:
    with pytest.raises(SourceError, match=words) as caught:
        opened(url, tmp_path).read()
    assert "s3cret" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["rtsp", "http"])
def test_a_black_hole_is_given_up_after_the_open_timeout(
    scheme: str, black_hole: BlackHole, tmp_path: Path
) -> None:
    port = black_hole.port
    with pytest.raises(SourceError, match=r"did not answer within 0\.5 s"):
        open_source(
            f"{scheme}://127.0.0.1:{port}/cam",
            SourceOptions(open_timeout_s=0.5, read_timeout_s=60.0, base_dir=tmp_path),
            SystemClock(),
        )


def test_a_source_with_nothing_new_says_so_within_the_read_timeout(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    options = SourceOptions(read_timeout_s=0.3, follow=True, base_dir=tmp_path)
    for url in ("empty/", "synthetic:numbers?fps=0.1"):
        source = open_source(url, options, SystemClock(), scene_factory)
        try:
            with pytest.raises(SourceIdleError):
                read_on(source, limit=3)
        finally:
            source.close()
