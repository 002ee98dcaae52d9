"""The live page's files: built from `deploy/dashboard`, kept in this package, so that a gateway needs no npm."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self' ws: wss:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
"""Its own files, pictures it was sent, and a broker wherever the operator says it is; nothing else."""
_FOREVER = "private, max-age=31536000, immutable"
_CACHE = {"js": _FOREVER, "css": _FOREVER, "svg": "private, max-age=86400"}
_TYPES = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml",
    "txt": "text/plain; charset=utf-8",
}
_FILES = {
    "/": "index.html",
    "/app.js": "app.js",
    "/app.css": "app.css",
    "/icon.svg": "icon.svg",
    "/LICENSES.txt": "LICENSES.txt",
}
PATHS = tuple(_FILES)


@dataclass(frozen=True, slots=True)
class Asset:
    content_type: str
    body: bytes
    gzipped: bytes
    cache_control: str
    """The page itself is asked for each time and names its script and style by their hashes: those may be kept."""


@cache
def asset(path: str) -> Asset:
    """The file that `path`, one of `PATHS`, answers. Read once; called on request threads."""
    name = _FILES[path]
    body = (files(__package__) / "live" / name).read_bytes()
    kind = name.rpartition(".")[2]
    return Asset(
        _TYPES[kind],
        body,
        gzip.compress(body, compresslevel=9, mtime=0),
        _CACHE.get(kind, "no-cache"),
    )
