"""Source strings: kinds, paths and secrets."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgenode.capture.address import Address, AddressKind, parse_address, redact
from edgenode.capture.opening import source_problem
from tests.capture_parts import scene_factory

BASE = Path("/etc/edgenode")


@pytest.mark.parametrize(
    ("source", "kind", "target"),
    [
        ("rtsp://10.0.0.5/stream", AddressKind.RTSP, "rtsp://10.0.0.5/stream"),
        ("RTSPS://cam:322/a?b=c", AddressKind.RTSP, "RTSPS://cam:322/a?b=c"),
        ("http://[fe80::1]:8080/video", AddressKind.HTTP, "http://[fe80::1]:8080/video"),
        ("https://u:p@cam/shot.jpg", AddressKind.HTTP, "https://u:p@cam/shot.jpg"),
        ("clips/day 1?.mp4", AddressKind.FILE, "/etc/edgenode/clips/day 1?.mp4"),
        ("a:b#c.mkv", AddressKind.FILE, "/etc/edgenode/a:b#c.mkv"),
        ("/data/x.avi", AddressKind.FILE, "/data/x.avi"),
        ("inbox/", AddressKind.FOLDER, "/etc/edgenode/inbox"),
        ("/tmp", AddressKind.FOLDER, "/tmp"),
        ("usb:0", AddressKind.USB, "/dev/video0"),
        ("usb:/dev/v4l/by-id/x", AddressKind.USB, "/dev/v4l/by-id/x"),
    ],
)
def test_each_kind_is_told_from_its_string(source: str, kind: AddressKind, target: str) -> None:
    assert parse_address(source, BASE) == Address(kind, target)


def test_a_scene_takes_a_seed_and_a_rate() -> None:
    address = parse_address("synthetic:line?seed=3&fps=12.5", BASE)
    assert address == Address(AddressKind.SYNTHETIC, "line", seed=3, fps=12.5)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("rtsp://u:secret@10.0.0.5:554/a?b=1", "rtsp://***@10.0.0.5:554/a?b=1"),
        ("rtsp://10.0.0.5/media@1", "rtsp://10.0.0.5/media@1"),
        ("rtsp://u:se/cr@et@cam/live", "rtsp://***@cam/live"),
        ("rtsp://u:s@cret@cam/live", "rtsp://***@cam/live"),
        ("http://cam/img?usr=joe&pwd=secret&n=1", "http://cam/img?usr=***&pwd=***&n=1"),
        ("http://cam/img?access_token=secret#x", "http://cam/img?access_token=***#x"),
        ("[Errno 5] failed: 'rtsp://u:secret@cam/x' (twice: http://a:b@c)",
         "[Errno 5] failed: 'rtsp://***@cam/x' (twice: http://***@c)"),
        ("no url here: joe@example.org", "no url here: joe@example.org"),
    ],
)  # fmt: skip
def test_credentials_are_hidden_and_the_host_stays(text: str, shown: str) -> None:
    assert redact(text) == shown


SECRET = st.text(alphabet="abcXYZ019/?#@:&=%+;,!$*()_-.~", min_size=1, max_size=20)


@given(SECRET, st.sampled_from(["cam", "10.0.0.5", "[::1]"]), st.sampled_from(["", ":554"]))
def test_no_password_survives_however_badly_it_is_written(secret: str, host: str, port: str) -> None:
    password = f"Qq{secret}Qq"
    shown = redact(f"rtsp://user:{password}@{host}{port}/live/main")
    assert password not in shown
    assert "user" not in shown
    assert host in shown


def test_problems_are_found_without_opening_anything(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"not looked at")
    assert source_problem("clip.mp4", tmp_path) is None
    assert source_problem("rtsp://u:p@127.0.0.1:1/x", tmp_path) is None
    assert "does not exist" in str(source_problem("other.mp4", tmp_path))
    assert "no scene 'linne'" in str(source_problem("synthetic:linne", tmp_path, scene_factory))
    assert "does not exist" in str(source_problem("inbox/", tmp_path))
    problem = str(source_problem("rtsp://u:pa#ss@cam/x", tmp_path))
    assert "%XX" in problem
    assert "pa#ss" not in problem
