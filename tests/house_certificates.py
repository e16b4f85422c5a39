"""Certificates of a house authority, made by openssl for a day."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from shutil import which

import pytest


@dataclass(frozen=True, slots=True)
class ServerCertificate:
    """What a server needs, and whom its clients have to trust."""

    chain: Path
    key: Path
    authority: Path


class HouseCertificates:
    """An authority of its own in a folder; skips the test where openssl is missing."""

    def __init__(self, folder: Path) -> None:
        if which("openssl") is None:
            pytest.skip("the program openssl makes the certificates")
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.authority = folder / "authority.pem"
        self._key = folder / "authority.key"
        _openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=house authority",
                 "-addext", "keyUsage=critical,keyCertSign,cRLSign",
                 "-keyout", str(self._key), "-out", str(self.authority))  # fmt: skip

    def server(self, address: str) -> ServerCertificate:
        """The certificate of a server that is reached by this IP address and nothing else."""
        chain, key, request = (self._folder / f"{address}.{kind}" for kind in ("pem", "key", "csr"))
        _openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={address}",
                 "-keyout", str(key), "-out", str(request))  # fmt: skip
        names = self._folder / "names"
        names.write_text(f"subjectAltName=IP:{address}\n")
        _openssl("x509", "-req", "-days", "1", "-in", str(request), "-CA", str(self.authority), "-CAkey",
                 str(self._key), "-CAcreateserial", "-extfile", str(names), "-out", str(chain))  # fmt: skip
        key.chmod(0o600)
        return ServerCertificate(chain, key, self.authority)


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)
