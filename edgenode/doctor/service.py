"""What surrounds the node: the systemd unit, the port it will listen on, who may read its secrets."""

from __future__ import annotations

import ipaddress
import json
import os
import socket
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

from edgenode.configuration.file import LoadedSettings
from edgenode.doctor.finding import Finding, Level
from edgenode.doctor.unit import Unit, asked_of_manager
from edgenode.host import SERVICE_ENVIRONMENT, readable_by_all, running_process
from edgenode.settings import Settings

_ASKED = ("ActiveState", "UnitFileState", "NRestarts", "Result", "ExecMainStatus")


def examine_service(loaded: LoadedSettings, unit: Unit) -> list[Finding]:
    """The unit: there, enabled, running; and whether its sandbox lets through what the configuration needs."""
    if unit.file is None:
        text = "no systemd unit is installed: the node will not start with the machine"
        return [
            Finding("service", "edgenode", Level.NOTE, text, "docs/operations.md, “Install as a service”")
        ]
    return [_state(unit), *_sandbox(loaded, unit)]


def _state(unit: Unit) -> Finding:
    told = asked_of_manager(_ASKED)
    changed = f" with {', '.join(path.name for path in unit.drop_ins)}" if unit.drop_ins else ""
    facts = {
        "file": str(unit.file),
        "drop_ins": [str(path) for path in unit.drop_ins],
        **{key: told[key] for key in _ASKED if key in told},
    }
    text = f"{unit.file}{changed}"
    if not told:
        return Finding("service", "edgenode", Level.OK, f"{text}; systemd does not run here", facts=facts)
    text += f": {told.get('ActiveState', '?')}, {told.get('UnitFileState') or 'not enabled'}"
    if told.get("ActiveState") == "failed":
        advice = "journalctl -u edgenode -n 50; exit status 78 is a bad configuration"
        return Finding("service", "edgenode", Level.PROBLEM, text, advice, facts)
    if int(told.get("NRestarts") or 0) > 0:
        text += f", restarted {told['NRestarts']} times"
        return Finding("service", "edgenode", Level.WARNING, text, "journalctl -u edgenode -p warning", facts)
    if told.get("UnitFileState") not in ("enabled", "enabled-runtime"):
        return Finding("service", "edgenode", Level.NOTE, text, "systemctl enable --now edgenode", facts)
    return Finding("service", "edgenode", Level.OK, text, facts=facts)


def _sandbox(loaded: LoadedSettings, unit: Unit) -> list[Finding]:
    found = []
    usb = [camera.name for camera in loaded.settings.cameras if camera.source.startswith("usb:")]
    if usb and unit.last("PrivateDevices") in ("yes", "true", "1"):
        text = f"hides devices from the service: {', '.join(usb)} will not be found"
        advice = "systemctl edit edgenode: the lines that the unit gives for USB cameras"
        found.append(Finding("service", "PrivateDevices", Level.WARNING, text, advice))
    for camera in loaded.settings.cameras:
        if (address := _literal_address(camera.source)) and unit.barred((address,)) is not None:
            text = f"its IPAddressAllow does not cover {address}: the service will not reach {camera.name}"
            advice = f"systemctl edit edgenode: [Service] IPAddressAllow={address}"
            found.append(Finding("service", "IPAddressAllow", Level.WARNING, text, advice))
    if unit.last("ProtectHome") in ("yes", "true", "1"):
        hidden = [path for path in _paths(loaded) if os.path.realpath(path).startswith(("/home/", "/root/"))]
        if hidden:
            text = f"hides home directories: the service will not see {', '.join(map(str, hidden))}"
            found.append(Finding("service", "ProtectHome", Level.WARNING, text, "move them to /etc/edgenode"))
    if unit.last("DynamicUser") in ("yes", "true", "1"):
        locked = [path for path in _paths(loaded) if path.exists() and not readable_by_all(path)]
        if locked:
            text = f"the service's own user cannot read {', '.join(map(str, locked))}"
            advice = "chmod o+r, with passwords elsewhere: LoadCredential and mqtt.password_file"
            found.append(Finding("service", "DynamicUser", Level.WARNING, text, advice))
    return found


def _literal_address(source: str) -> str | None:
    """The host of a camera's URL where it is a numeric address; names are the cameras' own examination."""
    try:
        host = urlsplit(source).hostname or ""
        return str(ipaddress.ip_address(host))
    except ValueError:
        return None


def _paths(loaded: LoadedSettings) -> list[Path]:
    """Files the service itself must read."""
    mqtt = loaded.settings.mqtt
    named = [mqtt.password_file, mqtt.ca_file, mqtt.cert_file, mqtt.key_file]
    models = [loaded.base_dir / model.file for model in loaded.settings.models.values()]
    return [
        loaded.path,
        *(loaded.base_dir / path for path in named if path is not None),
        *(path for path in models if path.exists()),
    ]


def examine_secrets(
    loaded: LoadedSettings, unit: Unit, environment: Path = SERVICE_ENVIRONMENT
) -> list[Finding]:
    """Files with secrets in them that every user of the machine may read."""
    mqtt = loaded.settings.mqtt
    found = []
    files: dict[Path, str] = {}
    for named, what in (
        (mqtt.password_file, "the broker's password"),
        (mqtt.key_file, "the node's private key"),
        (loaded.settings.http.token_file, "the token of the HTTP listener"),
        (loaded.settings.http.key_file, "the private key of the HTTP listener"),
    ):
        if named is not None:
            files[unit.credential(named) or loaded.base_dir / named] = what
    # open to all, it is a warning of the configuration itself
    told = mqtt.password is None or readable_by_all(loaded.path)
    inside = [] if told else ["the broker's password"]
    with_password = {
        camera.name: ("cameras", index, "source") in loaded.from_environment
        for index, camera in enumerate(loaded.settings.cameras)
        if _has_password(camera.source)
    }
    inside += [f"the password of {name}" for name, elsewhere in with_password.items() if not elsewhere]
    if inside:
        files[loaded.path] = ", ".join(inside)
    if (outside := [name for name, elsewhere in with_password.items() if elsewhere]) and environment.exists():
        files[environment] = ", ".join(f"the password of {name}" for name in outside)
    for path, what in files.items():
        try:
            mode = path.stat().st_mode & 0o777
        except OSError:
            continue  # said where the file is used
        facts = {"mode": f"{mode:04o}"}
        if mode & 0o007:
            text = f"every user of this machine may read {what} (mode {mode:04o})"
            advice = f"chmod 600 {path}, and LoadCredential in the unit: docs/security.md"
            if path == loaded.path:
                first = next(iter(with_password), "NAME").upper()
                advice = (
                    f"the address in /etc/default/edgenode, mode 0600 (EDGENODE__CAMERAS__{first}__SOURCE=…), the "
                    "broker's password in mqtt.password_file: docs/security.md"
                )
            found.append(Finding("secrets", str(path), Level.WARNING, text, advice, facts))
        else:
            text = f"{what}: closed to others (mode {mode:04o})"
            found.append(Finding("secrets", str(path), Level.OK, text, facts=facts))
    return found


def _has_password(source: str) -> bool:
    before_host, at, _ = source.partition("://")[2].rpartition("@")
    return bool(at) and ":" in before_host


def examine_port(settings: Settings, state_dir: Path) -> list[Finding]:
    """Whether `http.listen` is free, or taken by this very node."""
    if not settings.http.enabled:
        return [Finding("port", "http", Level.NOTE, "http is switched off: no metrics, no health, no page")]
    host, port = settings.http.address
    subject = settings.http.listen
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        if (process := running_process(state_dir)) is not None and settings.http.token_file is not None:
            text = f"taken, as it should be while this node runs (process {process}); its token keeps it shut"
            return [Finding("port", subject, Level.OK, text)]
        if (name := _node_at(host, port)) is not None:
            if name == settings.node.name:
                return [Finding("port", subject, Level.OK, "this node listens there now")]
            text = f"another node listens there: {name}"
        else:
            text = f"cannot be listened on: {error.strerror or error}"
        advice = f"who has it: ss -ltnp 'sport = :{port}'; another http.listen"
        return [Finding("port", subject, Level.PROBLEM, text, advice)]
    return [Finding("port", subject, Level.OK, "free for metrics, health and the page")]


def _node_at(host: str, port: int) -> str | None:
    """The name of the node that answers there."""
    there = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    url = f"http://{f'[{there}]' if ':' in there else there}:{port}/status.json"
    try:
        with urllib.request.urlopen(url, timeout=3.0) as answer:
            return str(json.loads(answer.read(1 << 20))["node"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
