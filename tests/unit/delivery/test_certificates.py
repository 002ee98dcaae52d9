"""What a certificate's file tells, held against what OpenSSL was asked to write."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from edgenode.delivery.certificates import certificate_told, read_certificate
from edgenode.errors import LinkError


def made(folder: Path, days: int, subject: str = "/O=plant/CN=gateway-7") -> Path:
    path = folder / f"c{days}.crt"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-keyout", folder / "k", "-out", path, "-days", str(days), "-subj", subject],
        check=True, capture_output=True,
    )  # fmt: skip
    return path


@pytest.mark.parametrize("days", [2, 12000])
def test_the_name_and_the_end_are_read(tmp_path: Path, days: int) -> None:
    """12,000 days end after 2050, from which on the time is written in another form."""
    told = read_certificate(made(tmp_path, days))
    assert told.common_name == "gateway-7"
    assert abs(told.not_after - told.not_before - timedelta(days=days)) < timedelta(seconds=5)
    assert abs(datetime.now(UTC) - told.not_before) < timedelta(minutes=5)


def test_a_subject_without_a_common_name_has_none(tmp_path: Path) -> None:
    assert read_certificate(made(tmp_path, 2, "/O=plant")).common_name == ""


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_what_is_no_certificate_is_refused_with_its_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.crt").write_bytes(content)
    with pytest.raises(LinkError, match=r"x\.crt: no certificate"):
        read_certificate(tmp_path / "x.crt")


def test_any_cut_certificate_is_refused_and_never_read_wrong(tmp_path: Path) -> None:
    import ssl

    der = ssl.PEM_cert_to_DER_cert(made(tmp_path, 2).read_text())
    for end in range(0, len(der), 7):
        with pytest.raises((ValueError, IndexError)):
            certificate_told(der[:end])
