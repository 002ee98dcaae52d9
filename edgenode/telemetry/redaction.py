"""Takes credentials out of text before anybody reads it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from contextlib import suppress
from urllib.parse import quote, quote_plus, unquote

from edgenode.settings import Settings

MASK = "***"
_URL = re.compile(r"(?P<scheme>\b[a-zA-Z][a-zA-Z0-9+.-]*://)(?P<rest>[^\s'\"<>]*)")
_HOST = re.compile(r"(\[[^\]]*\]|[^:/?#@]*)(:\d*)?")
_QUERY_SECRET = re.compile(
    r"(?P<name>[?&;](?:[a-z0-9_-]*(?:pass|pwd|token|secret|auth|sig)[a-z0-9_-]*|api_?key|key|user|usr|login)=)"
    r"[^&;#\s'\"<>]+",
    re.IGNORECASE,
)
_MIN_SECRET = 4
"""Shorter values would mask every other word of a log; nobody can protect them this way."""


class Redactor:
    """Masks user names and passwords in URLs, secrets in query strings, and the secret values it was told.

    Immutable after construction, so any thread may use it. A secret is also found in its percent-encoded form
    and as Python and JSON write it.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        forms = {form for secret in secrets if len(secret) >= _MIN_SECRET for form in _forms(secret)}
        # The longest first: a secret may be the beginning of another.
        ordered = sorted(forms, key=len, reverse=True)
        self._secrets = re.compile("|".join(map(re.escape, ordered))) if ordered else None

    def __call__(self, text: str) -> str:
        if self._secrets is not None:
            text = self._secrets.sub(MASK, text)
        if "://" in text:
            text = _URL.sub(_without_credentials, text)
        if "=" in text:
            text = _QUERY_SECRET.sub(rf"\g<name>{MASK}", text)
        return text


def _without_credentials(match: re.Match[str]) -> str:
    """Masks what stands before the host; where a password holds a bare `/`, all before the last `@`."""
    rest = match["rest"]
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if "@" in authority:
        host = authority.rpartition("@")[2]
        rest = f"{MASK}@{host}{rest[len(authority) :]}"
    elif "@" in rest and _HOST.fullmatch(authority) is None:
        rest = f"{MASK}@{rest.rpartition('@')[2]}"
    return match["scheme"] + rest


def known_secrets(settings: Settings) -> set[str]:
    """The secret values in `settings`: the broker's password and what camera addresses hold before the host.

    Those in files (the broker's password, the HTTP token) are read now; one that cannot be read is passed over, which
    those who use it tell.
    """
    secrets = set()
    for path in (settings.mqtt.password_file, settings.http.token_file):
        if path is not None:
            with suppress(OSError, UnicodeDecodeError):
                secrets.add(path.read_text(encoding="utf-8").strip("\r\n"))
    if settings.mqtt.password is not None:
        secrets.add(settings.mqtt.password.get_secret_value())
    for camera in settings.cameras:
        before_host, at, _ = camera.source.partition("://")[2].rpartition("@")
        if at:
            password = before_host.partition(":")[2] or before_host
            secrets |= {password, unquote(password)}
    return {secret for secret in secrets if secret}


def _forms(secret: str) -> set[str]:
    return {
        secret,
        quote(secret, safe=""),
        quote(secret),
        quote_plus(secret),
        repr(secret)[1:-1],
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
    }
