"""Settings of the doors through which others reach the node: its HTTP listener and its commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from edgenode.settings.values import Section

ALL_COMMANDS = "all"
"""In `commands.disabled`: every one."""


class HttpSettings(Section):
    listen: Annotated[str, Field(pattern=r"^(\[[0-9a-fA-F:]+\]|[^:\[\]\s]+):\d{1,5}$")] = "127.0.0.1:9464"
    """host:port of /metrics, /healthz, /readyz and the live page; port 0 takes a free one. Beyond loopback it needs
    `token_file` or `client_ca_file`."""
    enabled: bool = True
    """`false`: no metrics, no health, no page."""
    token_file: Path | None = None
    """A file holding only a secret of 16 characters or more; who asks sends it as bearer token, or as the password
    of any user. Without it /healthz and /readyz say yes or no, and nothing else is answered."""
    cert_file: Path | None = None
    """The listener's own certificate; turns TLS on."""
    key_file: Path | None = None
    """The private key of `cert_file`."""
    client_ca_file: Path | None = None
    """Only clients whose certificate one of these has signed are answered."""
    broker_url: Annotated[str, Field(pattern=r"^wss?://[^\s/@?#]+(/[^\s?#]*)?$")] | None = None
    """Where a browser reaches the broker, `wss://broker.plant.local:9001`: the live page connects there. Without it the
    page asks. No user and no password belong here: everyone who may see the page reads it."""

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.listen.rpartition(":")
        return host.strip("[]"), int(port)

    @model_validator(mode="after")
    def _pairs(self) -> Self:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file belong together: give both or neither")
        if self.client_ca_file is not None and self.cert_file is None:
            raise ValueError(
                "client_ca_file without cert_file: clients show their certificates over TLS only"
            )
        return self


class CommandSettings(Section):
    disabled: list[str] = []
    """Commands that are refused, such as `["replay_events", "camera_disable"]`; `["all"]` refuses every one."""
    rate: Annotated[float, Field(gt=0.0, le=100.0)] = 10.0
    """Commands a second; those beyond it get no answer."""

    def permits(self, verb: str) -> bool:
        return verb not in self.disabled and ALL_COMMANDS not in self.disabled
