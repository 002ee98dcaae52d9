"""Certificates for tests, made by the script that is shipped (`mosquitto/certificates`)."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "mosquitto" / "certificates"


@dataclass(frozen=True)
class Identity:
    """A certificate and its key."""

    cert_file: Path
    key_file: Path


class Authority:
    """A private authority in `folder`."""

    def __init__(self, folder: Path) -> None:
        if shutil.which("openssl") is None:
            if os.environ.get("CI"):
                pytest.fail("openssl is not installed: apt install openssl")
            pytest.skip("openssl is not installed: apt install openssl")
        self.folder = folder
        self.run("ca")

    @property
    def ca_file(self) -> Path:
        return self.folder / "ca.crt"

    @property
    def crl_file(self) -> Path:
        return self.folder / "crl.pem"

    def run(
        self, *arguments: str, check: bool = True, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [str(SCRIPT), str(self.folder), *arguments],
            capture_output=True,
            text=True,
            env={**os.environ, **environment},
            timeout=60,
        )
        assert not check or done.returncode == 0, done.stderr
        return done

    def identity(self, file: str) -> Identity:
        return Identity(self.folder / f"{file}.crt", self.folder / f"{file}.key")

    def server(self, *hosts: str) -> Identity:
        self.run("server", *hosts)
        return self.identity(f"server-{hosts[0]}")

    def client(self, name: str) -> Identity:
        self.run("node", name)
        return self.identity(name)

    def expired(self, file: str) -> Identity:
        """A certificate for the key of `file` that no longer holds, in its place."""
        common_name = file.removeprefix("server-")
        for command in (
            ["req", "-new", "-config", "openssl.cnf", "-key", f"{file}.key", "-subj", f"/CN={common_name}",
             "-out", "old.csr"],
            ["ca", "-batch", "-notext", "-config", "openssl.cnf", "-in", "old.csr", "-out", f"{file}.crt", "-extfile",
             f"{file}.ext", "-startdate", "20200101000000Z", "-enddate", "20210101000000Z"],
        ):  # fmt: skip
            subprocess.run(
                ["openssl", *command], cwd=self.folder, check=True, capture_output=True, timeout=60
            )
        return self.identity(file)


def self_signed(folder: Path, name: str) -> Identity:
    """A certificate that nobody but its holder has signed."""
    made = Identity(folder / f"self-{name}.crt", folder / f"self-{name}.key")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", f"/CN={name}", "-keyout", str(made.key_file), "-out", str(made.cert_file)],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    return made
