"""From a source string to an open source. The kinds are imported when they are used: PyAV and OpenCV are
heavy."""

from __future__ import annotations

from pathlib import Path

from edgenode.capture.address import Address, AddressKind, parse_address, redact
from edgenode.capture.scenery import SceneFactory
from edgenode.capture.source import Source, SourceOptions
from edgenode.clock import Clock
from edgenode.errors import SourceError
from edgenode.settings import CameraSettings

__all__ = ["camera_notes", "open_source", "redact", "source_problem"]


def open_source(url: str, options: SourceOptions, clock: Clock, scenes: SceneFactory | None = None) -> Source:
    """Open what `url` names: rtsp://, http(s)://, a video file, a folder of pictures, usb:N, synthetic:NAME.

    Blocks at most the open timeout (name resolution is the system's and may take longer). Raises SourceError,
    or SourceRefusedError where the other side said no. `scenes` replaces the built-in scenes.
    """
    address = parse_address(url, options.base_dir)
    if address.kind is AddressKind.SYNTHETIC:
        from edgenode.capture.synthetic import SyntheticSource

        return SyntheticSource(address, clock, scenes)
    return _open(address, options, clock)


def _open(address: Address, options: SourceOptions, clock: Clock) -> Source:
    match address.kind:
        case AddressKind.RTSP:
            from edgenode.capture.rtsp import RtspSource

            return RtspSource(address, options)
        case AddressKind.HTTP:
            from edgenode.capture.http import open_http

            return open_http(address, options, clock)
        case AddressKind.FOLDER:
            from edgenode.capture.folder import FolderSource

            return FolderSource(address, options, clock)
        case AddressKind.USB:
            from edgenode.capture.usb import UsbSource

            return UsbSource(address, options)
        case _:
            from edgenode.capture.video_file import VideoFileSource

            return VideoFileSource(address, options)


def source_problem(url: str, base_dir: Path, scenes: SceneFactory | None = None) -> str | None:
    """What is wrong with a source string, found without opening anything; None when nothing is."""
    try:
        address = parse_address(url, base_dir)
        if address.kind is AddressKind.SYNTHETIC:
            from edgenode.capture.synthetic import find_scene

            find_scene(address, scenes)
    except SourceError as error:
        return str(error)
    path = Path(address.target)
    if address.kind is AddressKind.FOLDER and not path.is_dir():
        return f"the folder {path} does not exist"
    if address.kind is AddressKind.FILE and not path.exists():
        return f"the file {path} does not exist (source {redact(url)!r})"
    return None


def camera_notes(settings: CameraSettings) -> list[str]:
    """What the configuration of a camera asks for and will not get; nothing that keeps it from working."""
    notes = []
    if settings.gate == "packet" and settings.decode == "keyframes":
        notes.append('gate = "packet" has nothing to do with decode = "keyframes": the motion gate is used')
    if settings.transport == "udp":
        notes.append(
            'transport = "udp" shows damaged pictures, unflagged, when packets are lost; "tcp" does not'
        )
    return notes
