"""What the regions page asks for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from edgenode.drawing.shapes import read_drawing, shapes_of, toml_text
from edgenode.errors import EdgeNodeError
from edgenode.pages.server import Reply, json_reply
from edgenode.records import JsonObject
from edgenode.settings import CameraSettings


@dataclass(frozen=True, slots=True)
class Subject:
    """What is drawn on."""

    camera: CameraSettings
    models: tuple[str, ...]
    """Names that a region may have as its `model`; none where no configuration is known."""
    config: str | None
    """The file in which the camera stands."""


class RegionsDesk:
    """A page's content. `take` gives a JPEG or PNG of the camera, masks applied; it may block and raise
    EdgeNodeError. Thread-safe."""

    def __init__(self, subject: Subject, take: Callable[[], bytes]) -> None:
        self._subject = subject
        self._take = take
        self._lock = threading.Lock()
        self._picture = b""
        self._number = 0

    def refresh(self) -> None:
        """Take a picture. Raises EdgeNodeError, also while another is being taken; the one before stays."""
        if not self._lock.acquire(blocking=False):
            raise EdgeNodeError("a picture is being taken already")
        try:
            self._picture = self._take()
            self._number += 1
        finally:
            self._lock.release()

    def get(self, path: str) -> Reply | None:
        if path == "/api/scene":
            camera = self._subject.camera
            return json_reply(
                {
                    "camera": camera.name,
                    "config": self._subject.config,
                    "models": list(self._subject.models),
                    "picture": f"/picture/{self._number}",
                    **shapes_of(camera),
                }
            )
        if path == f"/picture/{self._number}":
            picture = self._picture
            return Reply(picture, "image/png" if picture.startswith(b"\x89PNG") else "image/jpeg")
        return None

    def post(self, path: str, value: JsonObject) -> Reply | None:
        if path == "/api/toml":
            camera = self._subject.camera
            drawing = read_drawing(value, self._subject.models)
            source = camera.source if self._subject.config is None else None
            text = toml_text(drawing, camera.name, source)
            return json_reply({"toml": text, "problems": list(drawing.problems)})
        if path == "/api/picture":
            self.refresh()
            return json_reply({"picture": f"/picture/{self._number}"})
        return None
