"""The broker: name, connection, TLS, log-in, rights, limits, and one message there and back."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from edgenode.delivery.broker_probe import BrokerAnswer, Reached, converse, reach
from edgenode.delivery.certificates import read_certificate
from edgenode.doctor.finding import Finding, Level
from edgenode.doctor.unit import Unit
from edgenode.errors import LinkError
from edgenode.host import is_credential, is_loopback
from edgenode.records import JsonObject
from edgenode.settings import MqttSettings, Settings

PART = "broker"
EXPIRY_DAYS = 30
"""A certificate that ends within this many days is a warning."""
LARGEST_SNAPSHOT_BYTES = 256 * 1024
_SLOW_S = 0.5
_LITTLE_INFLIGHT = 10


def examine_broker(settings: Settings, unit: Unit, base_dir: Path, timeout_s: float = 5.0) -> list[Finding]:
    """Never raises for what it finds. Takes a few times `timeout_s` at most."""
    mqtt = settings.mqtt
    subject = f"{mqtt.host}:{mqtt.effective_port}"
    if mqtt.host == "embedded":
        text = "the built-in broker, for trying things out: no access control, nothing is kept"
        return [Finding(PART, "embedded", Level.NOTE, text, "a broker of its own for real use: mosquitto/")]
    mqtt, found = _with_credential(mqtt, unit)
    found += _own_certificate(settings, mqtt.cert_file, base_dir)
    try:
        reached = reach(mqtt, timeout_s)
    except LinkError as error:
        return [*found, Finding(PART, subject, Level.PROBLEM, str(error), _unreached(settings, str(error)))]
    found += _reached(reached, subject, unit)
    try:
        answer = converse(mqtt, settings.node.name, timeout_s)
    except LinkError as error:
        return [*found, Finding(PART, subject, Level.PROBLEM, str(error), "docs/security.md, “The broker”")]
    return [*found, *_answered(answer, subject, settings)]


def _with_credential(mqtt: MqttSettings, unit: Unit) -> tuple[MqttSettings, list[Finding]]:
    """Settings whose secrets can be read here: systemd shows a credential to the service alone."""
    found = []
    for name in ("password_file", "key_file", "cert_file", "ca_file"):
        path: Path | None = getattr(mqtt, name)
        if path is None or not is_credential(path) or path.exists():
            continue
        stored = unit.credential(path)
        if stored is None:
            text = f"mqtt.{name} {path} is not there, and no LoadCredential of the unit makes it"
            file = f"/etc/edgenode/mqtt-{name.removesuffix('_file')}"
            advice = f"systemctl edit edgenode: [Service] LoadCredential={path.name}:{file}"
            found.append(Finding(PART, str(path), Level.PROBLEM, text, advice))
        else:
            mqtt = mqtt.model_copy(update={name: stored})
    return mqtt, found


def _unreached(settings: Settings, why: str) -> str:
    if "no such host" in why or "name service" in why:
        return "check mqtt.host, the name server and /etc/hosts; an address in numbers works without"
    if "certificate" in why or "TLS" in why:
        return "docs/security.md, “The broker”; edgenode never skips the check of a certificate"
    if is_loopback(settings.mqtt.host):
        return "is a broker installed and running? apt install mosquitto; systemctl status mosquitto"
    return "check mqtt.host and mqtt.port, and that a firewall lets this machine through"


def _own_certificate(settings: Settings, path: Path | None, base_dir: Path) -> list[Finding]:
    if path is None:
        return []
    try:
        told = read_certificate(base_dir / path)
    except LinkError as error:
        return [Finding(PART, str(path), Level.PROBLEM, str(error), "mqtt.cert_file must be PEM")]
    found = _expiry("the node's certificate", str(path), told.not_before, told.not_after)
    if told.common_name != settings.node.name:
        text = f"its common name is {told.common_name!r}, the node's name {settings.node.name!r}"
        advice = "topics and access list go by the common name: make them equal"
        found.append(Finding(PART, str(path), Level.WARNING, text, advice))
    return found


def _expiry(what: str, subject: str, not_before: datetime, not_after: datetime) -> list[Finding]:
    now_at = datetime.now(UTC)
    days = (not_after - now_at).total_seconds() / 86400.0
    facts = {"not_after": not_after.isoformat(), "days_left": round(days, 1)}
    if now_at < not_before:
        text = f"{what} holds only from {not_before:%Y-%m-%d %H:%M} UTC"
        advice = "is this machine's clock right? then make the certificate anew"
        return [Finding(PART, subject, Level.PROBLEM, text, advice, facts)]
    if days > EXPIRY_DAYS:
        text = f"{what} holds until {not_after:%Y-%m-%d}"
        return [Finding(PART, subject, Level.OK, text, facts=facts)]
    level = Level.PROBLEM if days <= 0 else Level.WARNING
    text = f"{what} {'ended' if days <= 0 else 'ends'} on {not_after:%Y-%m-%d}"
    return [Finding(PART, subject, level, text, "renew it: docs/operations.md, “Certificates”", facts)]


def _reached(reached: Reached, subject: str, unit: Unit) -> list[Finding]:
    facts = {"addresses": list(reached.addresses), "connect_ms": round(reached.connect_s * 1000.0, 2)}
    found = []
    if reached.tls is not None:
        facts |= {"tls": reached.tls.version, "cipher": reached.tls.cipher}
        text = f"{reached.tls.version}, certificate and host name verified"
        found.append(Finding(PART, subject, Level.OK, text, facts=facts))
        told = reached.tls.certificate
        if told is not None:
            found += _expiry("the broker's certificate", subject, told.not_before, told.not_after)
    if (barred := unit.barred(reached.addresses)) is not None:
        text = f"the unit's IPAddressAllow does not cover {barred}: the service will not reach it"
        advice = f"systemctl edit edgenode: [Service] IPAddressAllow={barred}"
        found.append(Finding(PART, subject, Level.WARNING, text, advice))
    return found


def _answered(answer: BrokerAnswer, subject: str, settings: Settings) -> list[Finding]:
    facts: JsonObject = {
        "protocol": answer.protocol,
        "connack_ms": round(answer.connack_s * 1000.0, 2),
        "round_trip_ms": None if answer.round_trip_s is None else round(answer.round_trip_s * 1000.0, 2),
        "receive_maximum": answer.receive_maximum,
        "maximum_packet_bytes": answer.max_packet_bytes,
        "maximum_qos": answer.maximum_qos,
        "retain_available": answer.retain_available,
        "server_keepalive_s": answer.server_keepalive_s,
        "software": answer.software,
    }
    found = [_conversation(answer, subject, settings, facts)]
    found += [_refused(topic, "subscribe to", "read", settings) for topic in answer.refused_subscriptions]
    found += [_refused(topic, "publish on", "write", settings) for topic in answer.refused_publications]
    if not answer.retain_available:
        text = "the broker keeps no retained messages: states would be lost on whoever comes later"
        found.append(Finding(PART, subject, Level.PROBLEM, text, "allow retained messages"))
    if answer.maximum_qos == 0:
        text = "the broker takes QoS 0 only: it acknowledges nothing, so no event could be delivered for sure"
        found.append(Finding(PART, subject, Level.PROBLEM, text, "allow QoS 1"))
    if answer.max_packet_bytes is not None and answer.max_packet_bytes < LARGEST_SNAPSHOT_BYTES + 1024:
        text = f"Maximum Packet Size is {answer.max_packet_bytes} bytes: larger snapshots will not be sent"
        advice = "mosquitto: max_packet_size 1048576"
        found.append(Finding(PART, subject, Level.WARNING, text, advice))
    if answer.receive_maximum is not None and answer.receive_maximum < _LITTLE_INFLIGHT:
        text = f"Receive Maximum is {answer.receive_maximum}: a full outbox will empty slowly"
        found.append(Finding(PART, subject, Level.NOTE, text, "mosquitto: max_inflight_messages 100"))
    return found


def _conversation(answer: BrokerAnswer, subject: str, settings: Settings, facts: JsonObject) -> Finding:
    who = settings.mqtt.username or ("its certificate" if settings.mqtt.cert_file else "nobody")
    shown = f"MQTT {answer.protocol}{f', {answer.software}' if answer.software else ''}, logged in as {who}"
    if answer.round_trip_s is None:
        text = f"{shown}; a message published under {settings.node.name}/commands did not come back"
        advice = (
            "the access list must let the node read its commands: mosquitto/acl"
            if not answer.refused_publications
            else "see the refused topics"
        )
        level = Level.WARNING if answer.refused_publications else Level.PROBLEM
        return Finding(PART, subject, level, text, advice, facts)
    text = f"{shown}, there and back in {answer.round_trip_s * 1000.0:.1f} ms"
    level, advice = Level.OK, ""
    if answer.round_trip_s > _SLOW_S:
        level, advice = Level.WARNING, "the way to the broker is slow: events will be as late"
    if answer.protocol == "3.1.1" and not answer.refused_publications:
        text += "; this version does not tell refused publications"
    return Finding(PART, subject, level, text, advice, facts)


def _refused(topic: str, verb: str, right: str, settings: Settings) -> Finding:
    whom = settings.mqtt.username or settings.node.name
    text = f"{whom} may not {verb} {topic}"
    kind = "pattern" if settings.mqtt.base_topic in topic else "topic"
    advice = f"the broker's access list: {kind} {right} … (mosquitto/acl); users must equal node.name there"
    return Finding(PART, topic, Level.PROBLEM, text, advice)
