"""Cameras over HTTP, against a server that behaves well and badly."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgenode.capture.opening import open_source
from edgenode.capture.source import Source, SourceIdleError, SourceOptions
from edgenode.clock import SystemClock
from edgenode.errors import CredentialsRefusedError, PictureError, SourceError, SourceRefusedError
from edgenode.records import U8
from tests.capture_parts import read_on
from tests.clips import jpeg, number_of, numbered
from tests.fixtures_servers import StartHttp
from tests.servers.http_camera import Behaviour

PICTURES = [jpeg(numbered(number)) for number in range(4)]


def opened(url: str, read_timeout_s: float = 10.0) -> Source:
    return open_source(url, SourceOptions(read_timeout_s=read_timeout_s, poll_s=0.01), SystemClock())


def read_new(source: Source) -> U8:
    """The next picture, however long the source has nothing new."""
    while True:
        try:
            return source.read().rgb()
        except SourceIdleError:
            continue


@pytest.mark.parametrize(
    "behaviour",
    [
        Behaviour(PICTURES),
        Behaviour(PICTURES, content_length=False),
        Behaviour(PICTURES, content_length=False, newline=b"\n", dashes_in_header=True),
        Behaviour(PICTURES, boundary="a-b--c"),
    ],
)
def test_mjpeg_pictures_arrive_in_order_in_every_dialect(
    http_camera: StartHttp, behaviour: Behaviour
) -> None:
    source = opened(http_camera(behaviour).url("stream"))
    try:
        assert [number_of(source.read().rgb()) for _ in range(6)] == [0, 1, 2, 3, 0, 1]
        assert source.info.codec == "mjpeg"
    finally:
        source.close()


def test_a_stream_that_ends_and_one_that_is_cut_are_source_errors(http_camera: StartHttp) -> None:
    source = opened(http_camera(Behaviour(PICTURES, frames=2)).url("stream"))
    with pytest.raises(SourceError, match="ended"):
        read_on(source)
    source.close()
    camera = http_camera(Behaviour(PICTURES))
    source = opened(camera.url("stream"))
    camera.drop_connections()
    with pytest.raises(SourceError, match=r"ended|broke off"):
        read_on(source)
    source.close()


def test_a_stream_that_stalls_is_given_up_after_the_read_timeout(http_camera: StartHttp) -> None:
    behaviour = Behaviour(PICTURES)
    source = opened(http_camera(behaviour).url("stream"), read_timeout_s=0.5)
    behaviour.stall.set()
    with pytest.raises(SourceError, match=r"no data for 0\.5 s"):
        read_on(source)
    source.close()


@pytest.mark.parametrize("auth", ["basic", "digest"])
@pytest.mark.parametrize("path", ["stream", "still"])
def test_credentials_of_the_url_open_the_camera_and_wrong_ones_are_refused(
    http_camera: StartHttp, auth: str, path: str
) -> None:
    camera = http_camera(Behaviour(PICTURES, auth=auth))
    source = opened(camera.url(path, "viewer:p%3Aw%2Fd"))
    assert number_of(source.read().rgb()) == 0
    source.close()
    for credentials in ("viewer:wrong", ""):
        with pytest.raises(SourceRefusedError, match="401") as caught:
            opened(camera.url(path, credentials))
        assert "wrong" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "kind"), [(404, SourceRefusedError), (403, CredentialsRefusedError), (503, SourceError)]
)
def test_a_refusal_is_told_from_a_failure(
    http_camera: StartHttp, status: int, kind: type[SourceError]
) -> None:
    camera = http_camera(Behaviour(PICTURES, status=status))
    with pytest.raises(SourceError, match=str(status)) as caught:
        opened(camera.url("still"))
    assert type(caught.value) is kind


def test_a_web_page_is_refused_in_words(http_camera: StartHttp) -> None:
    camera = http_camera(Behaviour([b"<html>"], content_type="text/html"))
    with pytest.raises(SourceRefusedError, match="text/html"):
        opened(camera.url("still"))


def test_an_unchanged_still_is_not_handed_out_again(http_camera: StartHttp) -> None:
    behaviour = Behaviour(PICTURES, etag=True)
    source = opened(http_camera(behaviour).url("still"), read_timeout_s=1.0)
    try:
        assert number_of(source.read().rgb()) == 0
        with pytest.raises(SourceIdleError):
            source.read()
        assert ("/still", 304) in behaviour.requests
        behaviour.at = 2
        assert number_of(read_new(source)) == 2
    finally:
        source.close()


def test_a_still_that_is_cut_off_is_corrupt_and_the_next_one_good(http_camera: StartHttp) -> None:
    behaviour = Behaviour([PICTURES[0][:-50], PICTURES[1]])
    source = opened(http_camera(behaviour).url("still"))
    try:
        grab = source.read()
        assert grab.corrupt
        with pytest.raises(PictureError):
            grab.rgb()
        behaviour.at = 1
        assert number_of(source.read().rgb()) == 1
    finally:
        source.close()


def test_no_proxy_from_the_environment_is_used(
    http_camera: StartHttp, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    source = opened(http_camera(Behaviour(PICTURES)).url("still"))
    source.close()


def test_a_port_where_something_else_talks_is_a_source_error(tmp_path: Path) -> None:
    import socket
    import threading

    with socket.create_server(("127.0.0.1", 0)) as listener:

        def talk() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"220 mail.example.org ESMTP\r\n")

        thread = threading.Thread(target=talk)
        thread.start()
        with pytest.raises(SourceError, match="cannot be opened"):
            opened(f"http://127.0.0.1:{listener.getsockname()[1]}/x")
        thread.join()
