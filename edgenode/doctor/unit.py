"""The systemd unit and its drop-ins, read from their files: what the service may do that this process may not tell.

Only what the doctor asks for is understood; specifiers (`%i`) are not.
"""

from __future__ import annotations

import ipaddress
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

NAME = "edgenode.service"
FOLDERS = (
    Path("/etc/systemd/system"),
    Path("/run/systemd/system"),
    Path("/usr/local/lib/systemd/system"),
    Path("/usr/lib/systemd/system"),
    Path("/lib/systemd/system"),
)
_RESET = frozenset({"IPAddressAllow", "IPAddressDeny", "LoadCredential", "DeviceAllow"})
"""An empty value empties the list."""
_NAMED_NETWORKS = {
    "any": ("0.0.0.0/0", "::/0"),
    "localhost": ("127.0.0.0/8", "::1/128"),
    "link-local": ("169.254.0.0/16", "fe80::/64"),
    "multicast": ("224.0.0.0/4", "ff00::/8"),
}
"""systemd.resource-control(5)."""


@dataclass(frozen=True, slots=True)
class Unit:
    """`file` is None where the unit is not installed."""

    file: Path | None = None
    drop_ins: tuple[Path, ...] = ()
    values: dict[str, list[str]] = field(default_factory=dict)
    """Of [Service]: key to every value, in order, after resets."""

    def last(self, key: str) -> str:
        return self.values.get(key, [""])[-1]

    def credential(self, path: Path) -> Path | None:
        """The file that systemd shows to the service as the credential `path`, where the unit names one."""
        if not path.is_relative_to("/run/credentials"):
            return None
        for value in self.values.get("LoadCredential", []):
            name, _, stored = value.partition(":")
            if name == path.name and stored.startswith("/"):
                return Path(stored)
        return None

    def barred(self, addresses: Iterable[str]) -> str | None:
        """The first of `addresses` that the unit's network filter keeps the service from."""
        if "any" not in " ".join(self.values.get("IPAddressDeny", [])).split():
            return None
        allowed = [
            ipaddress.ip_network(network, strict=False)
            for word in " ".join(self.values.get("IPAddressAllow", [])).split()
            for network in _NAMED_NETWORKS.get(word, (word,))
        ]
        for text in addresses:
            address = ipaddress.ip_address(text.partition("%")[0])
            if not any(address in network for network in allowed if network.version == address.version):
                return text
        return None


def read_unit(folders: Iterable[Path] = FOLDERS) -> Unit:
    """The unit in the first folder that has it, laid over by the drop-ins of all folders in the order of their names.

    Files that cannot be read count as empty.
    """
    places = list(folders)
    file = next((place / NAME for place in places if (place / NAME).is_file()), None)
    drop_ins: dict[str, Path] = {}
    for place in reversed(places):
        drop_ins |= {path.name: path for path in sorted((place / f"{NAME}.d").glob("*.conf"))}
    ordered = tuple(drop_ins[name] for name in sorted(drop_ins))
    if file is None:
        return Unit(None, ordered)
    values: dict[str, list[str]] = {}
    for path in (file, *ordered):
        for key, value in _service_lines(path):
            if not value and key in _RESET:
                values[key] = []
            else:
                values.setdefault(key, []).append(value)
    return Unit(file, ordered, values)


def _service_lines(path: Path) -> Iterable[tuple[str, str]]:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").replace("\\\n", " ").splitlines()
    except OSError:
        return
    section = ""
    for line in map(str.strip, lines):
        if line.startswith("["):
            section = line
        elif section == "[Service]" and "=" in line and not line.startswith(("#", ";")):
            key, _, value = line.partition("=")
            yield key.strip(), value.strip()


def asked_of_manager(properties: Iterable[str]) -> dict[str, str]:
    """What the running systemd says of the unit; empty where systemd does not run here."""
    if not Path("/run/systemd/system").is_dir():
        return {}
    try:
        done = subprocess.run(
            ["systemctl", "show", NAME, "--property", ",".join(properties)],
            capture_output=True,
            text=True,
            timeout=10.0,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return {}
    return dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
