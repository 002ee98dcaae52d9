"""One picture of a camera, for people who set it up."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgenode.camera_picture import camera_picture
from edgenode.errors import SourceError
from edgenode.settings import CameraSettings
from tests.clips import jpeg, number_of, numbered
from tests.fixtures_servers import StartHttp
from tests.servers.http_camera import Behaviour


def camera(source: str) -> CameraSettings:
    return CameraSettings.model_validate({"name": "cam", "source": source, "read_timeout": "500ms"})


def test_damaged_pictures_are_passed_over(http_camera: StartHttp, tmp_path: Path) -> None:
    bad, good = jpeg(numbered(2))[:-60], jpeg(numbered(1))
    server = http_camera(Behaviour([bad, bad, good]))
    assert number_of(camera_picture(camera(server.url("stream")), tmp_path)) == 1


def test_a_camera_that_sends_damaged_pictures_alone_is_given_up(
    http_camera: StartHttp, tmp_path: Path
) -> None:
    server = http_camera(Behaviour([jpeg(numbered(2))[:-60]], fps=50.0))
    with pytest.raises(SourceError, match="none that is undamaged"):
        camera_picture(camera(server.url("stream")), tmp_path)
