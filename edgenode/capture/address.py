"""The source strings of the configuration: what kind they are, and how they are shown without secrets."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from urllib.parse import parse_qsl

from edgenode.errors import SourceError

HIDDEN = "***"

_URL = re.compile(r"(?P<scheme>[a-zA-Z][a-zA-Z0-9+.-]*://)(?P<rest>[^\s'\"<>]*)")
_AUTHORITY = re.compile(r"^(\[[^\]]*\]|[^:/?#@]*)(:\d*)?$")
_HIDDEN_KEYS = (
    r"[a-z0-9_-]*(?:pass|pwd|token|secret|auth|sig|credential)[a-z0-9_-]*"
    r"|(?:api)?_?key|usr|user|username|login"
)
_SECRET = re.compile(rf"(?i)([?&;](?:{_HIDDEN_KEYS})=)[^&#;\s'\"]*")


class AddressKind(StrEnum):
    RTSP = "rtsp"
    HTTP = "http"
    FILE = "file"
    FOLDER = "folder"
    USB = "usb"
    SYNTHETIC = "synthetic"


LIVE_KINDS = frozenset({AddressKind.RTSP, AddressKind.HTTP, AddressKind.USB})
"""Kinds behind which a physical camera stands: only these can freeze."""


@dataclass(frozen=True, slots=True)
class Address:
    """One source string, understood. `target` is what the kind needs: URL, absolute path, device, scene."""

    kind: AddressKind
    target: str
    seed: int = 0
    fps: float = 0.0
    """Of a synthetic scene; 0 takes the scene's own."""

    @property
    def shown(self) -> str:
        """For messages and logs: no credentials in it."""
        return redact(self.target)


def redact(text: str) -> str:
    """`text` with the credentials of every URL in it hidden.

    Hides user names and passwords before the host, and query values whose names sound like secrets. Where an
    unescaped `/` in a password makes the URL ambiguous, too much is hidden rather than too little.
    """
    return _URL.sub(_redact_url, text)


def _redact_url(match: re.Match[str]) -> str:
    rest = match["rest"]
    end = min((rest.find(sign) for sign in "/?#" if sign in rest), default=len(rest))
    authority = rest[:end]
    if "@" in authority:
        rest = f"{HIDDEN}@{authority.rpartition('@')[2]}{rest[end:]}"
    elif "@" in rest and not _AUTHORITY.match(authority):
        rest = f"{HIDDEN}@{rest.rpartition('@')[2]}"
    return match["scheme"] + _SECRET.sub(rf"\g<1>{HIDDEN}", rest)


def parse_address(source: str, base_dir: Path) -> Address:
    """Understand `source`; relative paths are below `base_dir`. Raises SourceError saying what is wrong.

    Looks at the file system only to tell a folder from a file. File names may contain `?`, `#` and `:`.
    """
    scheme = source.partition("://")[0].lower() if re.match(r"^[a-zA-Z][a-zA-Z0-9+.-]*://", source) else ""
    if scheme:
        return _network(source, scheme)
    if source.startswith("usb:"):
        return _usb(source)
    if source.startswith("synthetic:"):
        return _synthetic(source)
    if source.startswith("mqtt:"):
        raise SourceError(
            "pictures over MQTT are not supported yet; use rtsp://, http://, a file or a folder"
        )
    path = (base_dir / source).absolute()
    kind = AddressKind.FOLDER if source.endswith("/") or path.is_dir() else AddressKind.FILE
    return Address(kind, str(path))


def _network(source: str, scheme: str) -> Address:
    kinds = {
        "rtsp": AddressKind.RTSP,
        "rtsps": AddressKind.RTSP,
        "http": AddressKind.HTTP,
        "https": AddressKind.HTTP,
    }
    if scheme not in kinds:
        raise SourceError(f"{scheme}:// is not understood; use rtsp://, rtsps://, http:// or https://")
    authority = re.split(r"[/?#]", source.partition("://")[2], maxsplit=1)[0]
    host = authority.rpartition("@")[2]
    if not host or host.startswith(":"):
        raise SourceError(f"{redact(source)} names no host")
    if not _AUTHORITY.match(host):
        raise SourceError(
            f"{redact(source)}: the host or port is not valid; write special signs of a password as %XX"
        )
    return Address(kinds[scheme], source)


def _usb(source: str) -> Address:
    device = source.removeprefix("usb:")
    if device.isdecimal():
        return Address(AddressKind.USB, f"/dev/video{int(device)}")
    if device.startswith("/dev/"):
        return Address(AddressKind.USB, device)
    raise SourceError(f"{source}: a USB camera is usb:0, usb:1 … or usb:/dev/v4l/by-id/…")


def _synthetic(source: str) -> Address:
    name, _, query = source.removeprefix("synthetic:").partition("?")
    if not name:
        raise SourceError("synthetic: names no scene; write synthetic:line")
    seed, fps = 0, 0.0
    for key, value in parse_qsl(query, keep_blank_values=True):
        try:
            if key == "seed":
                seed = int(value)
            elif key == "fps" and 0.0 < float(value) <= 240.0:
                fps = float(value)
            else:
                raise ValueError
        except ValueError:
            raise SourceError(
                f"{source}: {key}={value} is not understood; a scene takes seed=<number>, fps=<0 to 240>"
            ) from None
    return Address(AddressKind.SYNTHETIC, name, seed, fps)
