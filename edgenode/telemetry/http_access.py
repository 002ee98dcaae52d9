"""Who may ask over HTTP: a shared secret, TLS, certificates of clients."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

from edgenode.errors import ConfigurationError
from edgenode.settings import HttpSettings

MIN_TOKEN = 16
_MAX_TOKEN_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Access:
    """What a client must show. Files are read anew for each connection, so that renewed ones hold at once.

    `of(settings)` for a node; `Access()` lets everybody in, without TLS.
    """

    token_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    client_ca_file: Path | None = None

    @classmethod
    def of(cls, http: HttpSettings) -> Access:
        return cls(http.token_file, http.cert_file, http.key_file, http.client_ca_file)

    def prove(self) -> None:
        """Raises ConfigurationError when a file cannot be used: before anybody asks."""
        problems = []
        if self.token_file is not None:
            try:
                read_token(self.token_file)
            except (OSError, ValueError) as error:
                problems.append(f"http.token_file: {error}")
        try:
            self._context()
        except OSError as error:
            problems.append(
                f"http.cert_file, key_file, client_ca_file: not usable ({error}); check paths and rights, and that "
                "key and certificate belong together"
            )
        if problems:
            raise ConfigurationError(problems)

    def wrap(self, connection: socket.socket) -> socket.socket:
        """`connection` behind TLS where that is set; nothing is sent or awaited yet. Raises OSError."""
        context = self._context()
        if context is None:
            return connection
        return context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)

    def permits(self, authorization: str) -> bool:
        """Whether the header `Authorization` holds the secret, as bearer token or as anybody's password.

        Takes as long for a wrong one as for the right one. Raises OSError or ValueError when the secret
        cannot be read.
        """
        if self.token_file is None:
            return True
        wanted = hashlib.sha256(read_token(self.token_file)).digest()
        return hmac.compare_digest(hashlib.sha256(_shown(authorization)).digest(), wanted)

    def _context(self) -> ssl.SSLContext | None:
        if self.cert_file is None or self.key_file is None:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        # a key with a passphrase would make OpenSSL ask for it on the terminal, and wait
        context.load_cert_chain(str(self.cert_file), str(self.key_file), password=lambda: b"")
        if self.client_ca_file is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(cafile=str(self.client_ca_file))
        return context


def read_token(path: Path) -> bytes:
    """The secret in `path`. Raises OSError when it cannot be read, ValueError when it is no good secret."""
    with path.open("rb") as file:
        token = file.read(_MAX_TOKEN_BYTES + 1).strip(b"\r\n")
    if not MIN_TOKEN <= len(token) <= _MAX_TOKEN_BYTES or not token.isascii() or b" " in token:
        raise ValueError(
            f"{path} must hold one secret of {MIN_TOKEN} to {_MAX_TOKEN_BYTES} ASCII characters without "
            "spaces, such as `openssl rand -hex 32` makes"
        )
    return token


def _shown(authorization: str) -> bytes:
    scheme, _, value = authorization.strip().partition(" ")
    if scheme.lower() == "bearer":
        return value.strip().encode("utf-8", "surrogateescape")
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value.strip(), validate=True).partition(b":")[2]
        except (binascii.Error, ValueError):
            return b""
    return b""
