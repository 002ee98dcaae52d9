"""What the HTTP paths answer. A path that is not in the table is not there."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

from edgenode.records import JsonObject
from edgenode.telemetry import live_page
from edgenode.telemetry.health import Health
from edgenode.telemetry.metrics import Metrics, accepts_gzip
from edgenode.telemetry.page import status_page

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
PROBES = ("/healthz", "/readyz")
"""Asked by those who restart nodes and know no secret; they get yes or no, without reasons."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a route may know of who asks."""

    path: str
    query: str = ""
    accept: str = ""
    accept_encoding: str = ""
    permitted: bool = True
    """Whether the right secret was shown, or none is asked for. Without it only `PROBES` are asked."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: HTTPStatus
    content_type: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()
    policy: str = POLICY
    """Content-Security-Policy."""


def text(status: HTTPStatus, words: str, *headers: tuple[str, str]) -> Answer:
    return Answer(status, "text/plain; charset=utf-8", words.encode() + b"\n", headers)


def as_json(status: HTTPStatus, value: JsonObject) -> Answer:
    body = json.dumps(value, ensure_ascii=False, default=str, indent=1).encode() + b"\n"
    return Answer(status, "application/json", body)


class Content:
    """The node's paths. `answer` is called on request threads."""

    def __init__(self, metrics: Metrics, health: Health, page: Callable[[], JsonObject]) -> None:
        self._metrics = metrics
        self._health = health
        self._page = page
        self._routes: dict[str, Callable[[Request], Answer]] = {
            "/metrics": self._exposition,
            "/healthz": self._alive,
            "/readyz": self._ready,
            "/status.json": self._status,
            "/status": self._status_page,
            **dict.fromkeys(live_page.PATHS, self._live_page),
        }

    def answer(self, request: Request) -> Answer:
        route = self._routes.get(request.path)
        if route is None:
            known = "/metrics /healthz /readyz /status.json /status /"
            return text(HTTPStatus.NOT_FOUND, f"not found: try {known}")
        return route(request)

    def _exposition(self, request: Request) -> Answer:
        exposition = self._metrics.expose(request.accept, request.accept_encoding)
        headers = [("Content-Encoding", "gzip")] if exposition.gzipped else []
        headers.append(("Vary", "Accept, Accept-Encoding"))
        return Answer(HTTPStatus.OK, exposition.content_type, exposition.body, tuple(headers))

    def _alive(self, request: Request) -> Answer:
        report = self._health.report()
        status = HTTPStatus.OK if report.alive else HTTPStatus.SERVICE_UNAVAILABLE
        reasons = {"reasons": report.reasons} if request.permitted else {}
        return as_json(status, {"status": report.status, **reasons})

    def _ready(self, request: Request) -> Answer:
        report = self._health.report()
        status = HTTPStatus.OK if report.ready else HTTPStatus.SERVICE_UNAVAILABLE
        reasons = {"reasons": report.not_ready} if request.permitted else {}
        return as_json(status, {"ready": report.ready, **reasons})

    def _state(self) -> JsonObject:
        report = self._health.report()
        health = {"status": report.status, "reasons": report.reasons, "ready": report.ready}
        return {"health": health, **self._page()}

    def _status(self, request: Request) -> Answer:
        del request
        return as_json(HTTPStatus.OK, self._state())

    def _status_page(self, request: Request) -> Answer:
        del request
        return Answer(HTTPStatus.OK, "text/html; charset=utf-8", status_page(self._state()).encode())

    def _live_page(self, request: Request) -> Answer:
        asset = live_page.asset(request.path)
        headers = [("Cache-Control", asset.cache_control), ("Vary", "Accept-Encoding")]
        body = asset.body
        if accepts_gzip(request.accept_encoding):
            headers.append(("Content-Encoding", "gzip"))
            body = asset.gzipped
        return Answer(HTTPStatus.OK, asset.content_type, body, tuple(headers), live_page.POLICY)
