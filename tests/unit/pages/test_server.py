"""Who gets in, and who does not."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from http import HTTPStatus
from urllib.parse import urlsplit

import pytest

from edgenode.errors import DataError, EdgeNodeError
from edgenode.pages.server import MAX_BODY_BYTES, PageServer, Reply, json_reply
from edgenode.records import JsonObject


class Content:
    def __init__(self) -> None:
        self.posted: list[tuple[str, JsonObject]] = []

    def get(self, path: str) -> Reply | None:
        if path == "/fault":
            raise RuntimeError("not for strangers")
        return json_reply({"path": path}) if path == "/api/queue" else None

    def post(self, path: str, value: JsonObject) -> Reply | None:
        if path == "/refused":
            raise DataError("the folder is full")
        self.posted.append((path, value))
        return json_reply({})


class Visitor:
    def __init__(self, port: int) -> None:
        self.port = port
        self.cookie = ""

    def ask(
        self, path: str, method: str = "GET", body: bytes | None = None, **headers: str
    ) -> tuple[int, bytes, dict[str, str]]:
        named = {"Host": f"127.0.0.1:{self.port}"} | {k.replace("_", "-"): v for k, v in headers.items()}
        if self.cookie:
            named["Cookie"] = self.cookie
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, named)
            answer = connection.getresponse()
            found = dict(answer.getheaders())
            return answer.status, answer.read(), found
        finally:
            connection.close()

    def enter(self, link: str) -> int:
        url = urlsplit(link)
        status, _, headers = self.ask(f"{url.path}?{url.query}")
        self.cookie = headers.get("Set-Cookie", "").split(";")[0]
        return status

    def post(self, path: str, value: object, **headers: str) -> int:
        return self.ask(path, "POST", json.dumps(value).encode(), Content_Type="application/json", **headers)[
            0
        ]


@pytest.fixture
def content() -> Content:
    return Content()


@pytest.fixture
def links() -> list[str]:
    return []


@pytest.fixture
def server(content: Content, links: list[str]) -> Iterator[PageServer]:
    server = PageServer("label.html", ("base.css",), content, told=links.append)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def inside(server: PageServer) -> Visitor:
    visitor = Visitor(server.port)
    assert visitor.enter(server.link) == HTTPStatus.OK
    return visitor


@pytest.mark.parametrize("path", ["/", "/base.css", "/api/queue", "/?token=guess", "/?token=%C3%A9"])
def test_nobody_enters_without_the_link(server: PageServer, path: str) -> None:
    status, body, headers = Visitor(server.port).ask(path)
    assert (status, "Set-Cookie" in headers) == (HTTPStatus.FORBIDDEN, False)
    assert b"terminal" in body


def test_the_link_works_once_and_the_cookie_from_then_on(server: PageServer, inside: Visitor) -> None:
    assert [inside.ask(path)[0] for path in ("/", "/base.css", "/api/queue")] == [HTTPStatus.OK] * 3
    assert inside.ask("/label.js")[0] == HTTPStatus.NOT_FOUND
    assert inside.ask("/..%2fserver.py")[0] == HTTPStatus.NOT_FOUND


def test_a_link_that_was_used_opens_nothing_and_a_fresh_one_is_told(
    server: PageServer, inside: Visitor, links: list[str]
) -> None:
    used = server.link
    assert Visitor(server.port).enter(used) == HTTPStatus.FORBIDDEN
    assert links == [server.link] != [used]
    assert Visitor(server.port).enter(server.link) == HTTPStatus.OK


def test_the_one_who_is_in_may_open_the_old_link_again(
    server: PageServer, inside: Visitor, links: list[str]
) -> None:
    url = urlsplit(server.link)
    assert inside.ask(f"{url.path}?{url.query}")[0] == HTTPStatus.OK
    assert links == []


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "10.0.0.1", "", "[::1"])
def test_a_name_of_elsewhere_that_leads_here_gets_nothing(inside: Visitor, host: str) -> None:
    assert inside.ask("/api/queue", Host=host)[0] == HTTPStatus.FORBIDDEN
    assert inside.post("/api/answer", {}, Host=host) == HTTPStatus.FORBIDDEN


@pytest.mark.parametrize("host", ["localhost:9000", "[::1]:9000", "127.0.0.1"])
def test_a_forwarded_port_may_be_another(inside: Visitor, host: str) -> None:
    assert inside.ask("/api/queue", Host=host)[0] == HTTPStatus.OK


def test_another_page_can_change_nothing(inside: Visitor, content: Content) -> None:
    assert inside.post("/api/answer", {}, Origin="http://evil.example") == HTTPStatus.FORBIDDEN
    assert inside.post("/api/answer", {}, Origin="null") == HTTPStatus.FORBIDDEN
    form = inside.ask("/api/answer", "POST", b"{}", Content_Type="text/plain")[0]
    assert form == HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    assert Visitor(inside.port).post("/api/answer", {}) == HTTPStatus.FORBIDDEN
    assert content.posted == []
    assert inside.post("/api/answer", {"a": 1}, Origin=f"http://127.0.0.1:{inside.port}") == HTTPStatus.OK
    assert content.posted == [("/api/answer", {"a": 1})]


@pytest.mark.parametrize("body", [b"[]", b"x", b"", b'"text"', b"[" * 200_000])
def test_what_is_no_object_is_refused(inside: Visitor, body: bytes) -> None:
    assert (
        inside.ask("/api/answer", "POST", body, Content_Type="application/json")[0] == HTTPStatus.BAD_REQUEST
    )


def test_a_long_body_is_refused_before_it_is_read(inside: Visitor) -> None:
    status = inside.ask(
        "/api/answer", "POST", b"{}", Content_Type="application/json", Content_Length=str(MAX_BODY_BYTES + 1)
    )[0]
    assert status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE


def test_a_refusal_says_why_and_a_fault_says_nothing(
    inside: Visitor, caplog: pytest.LogCaptureFixture
) -> None:
    status, body, _ = inside.ask("/refused", "POST", b"{}", Content_Type="application/json")
    assert (status, json.loads(body)) == (HTTPStatus.CONFLICT, {"error": "the folder is full"})
    status, body, _ = inside.ask("/fault")
    assert status == HTTPStatus.INTERNAL_SERVER_ERROR
    assert b"strangers" not in body
    assert "not for strangers" in caplog.text


def test_every_answer_forbids_what_is_from_elsewhere(inside: Visitor) -> None:
    for path in ("/", "/api/queue", "/nothing"):
        headers = inside.ask(path)[2]
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"


def test_a_taken_port_is_told(server: PageServer, content: Content) -> None:
    with pytest.raises(EdgeNodeError, match="--port"):
        PageServer("label.html", (), content, server.port).start()


def test_a_connection_that_says_nothing_does_not_hold_up_the_end(server: PageServer, inside: Visitor) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as silent:
        assert inside.ask("/")[0] == HTTPStatus.OK  # the silent one was accepted before
        server.stop()
        assert silent.recv(1) == b""
