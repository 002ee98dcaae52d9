"""What a certificate says of itself: how long it holds, and for whom. Python's `ssl` tells this only of a peer
whose certificate it trusts; a walk over the DER tells it of any file.

DER: ITU-T X.690; the fields: RFC 5280, section 4.1.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from edgenode.errors import LinkError

_SEQUENCE, _SET, _EXPLICIT_0, _UTC_TIME = 0x30, 0x31, 0xA0, 0x17
_COMMON_NAME = bytes.fromhex("550403")
"""Object identifier 2.5.4.3."""
_END = "-----END CERTIFICATE-----"


@dataclass(frozen=True, slots=True)
class CertificateTold:
    """`common_name` is empty where the subject has none."""

    common_name: str
    not_before: datetime
    not_after: datetime


def read_certificate(path: Path) -> CertificateTold:
    """The first certificate of a PEM file. Raises LinkError."""
    try:
        text = path.read_text(encoding="ascii")
        first = text[: text.index(_END) + len(_END)]
        return certificate_told(ssl.PEM_cert_to_DER_cert(first[first.index("-----BEGIN CERTIFICATE-----") :]))
    except (OSError, ValueError, IndexError) as error:
        raise LinkError(f"{path}: no certificate that can be read ({error})") from error


def certificate_told(der: bytes) -> CertificateTold:
    """Raises ValueError or IndexError where `der` is no certificate."""
    (_, certificate), *_ = _elements(der)
    (_, to_be_signed), *_ = _elements(certificate)
    fields = _elements(to_be_signed)
    if fields[0][0] == _EXPLICIT_0:  # the version, left out in certificates of version 1
        fields = fields[1:]
    _serial, _algorithm, _issuer, (_, validity), (_, subject), *_ = fields
    begin, end = (_instant(tag, value) for tag, value in _elements(validity))
    return CertificateTold(_common_name(subject), begin, end)


def _elements(data: bytes) -> list[tuple[int, bytes]]:
    """The (tag, content) pairs that `data` consists of."""
    found, at = [], 0
    while at < len(data):
        tag, length = data[at], data[at + 1]
        at += 2
        if length & 0x80:
            count = length & 0x7F
            length = int.from_bytes(data[at : at + count], "big")
            at += count
        if at + length > len(data):
            raise ValueError("an element is cut off")
        found.append((tag, data[at : at + length]))
        at += length
    return found


def _common_name(subject: bytes) -> str:
    for tag, names in _elements(subject):
        if tag != _SET:
            continue
        for _, pair in _elements(names):
            (_, kind), (_, value) = _elements(pair)
            if kind == _COMMON_NAME:
                return value.decode("utf-8", errors="replace")
    return ""


def _instant(tag: int, value: bytes) -> datetime:
    text = value.decode("ascii")
    if tag == _UTC_TIME:  # two digits of the year: 50 to 99 are 19xx
        text = ("19" if int(text[:2]) >= 50 else "20") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
