"""Who is told of alerts by HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from imaging.rpc.loopback import is_loopback
from imaging.settings.section import Section

PatientAttribute = Literal["patient_id", "patient_name", "accession_number", "study_date", "study_description"]


class Webhook(Section):
    """A receiver of alerts: each is a signed POST (docs/alerts.md)."""

    url: str = Field(pattern=r"^https?://[^\s#]+$")
    """Where to POST; `https`, or `http` on this machine."""

    secret_file: Path
    """File with the secret of the signature, `whsec_` and base64, or any text; 16 bytes at least, and readable by its
    owner alone."""

    include: frozenset[PatientAttribute] = frozenset()
    """Patient data that it is told besides the study's UID: patient_id, patient_name, accession_number, study_date,
    study_description. None by default."""

    ca_file: Path | None = None
    """PEM certificates of whom the receiver proves itself by. None: whom this machine trusts."""

    @field_validator("url")
    @classmethod
    def _can_be_called(cls, url: str) -> str:
        parts = urlsplit(url)
        if not parts.hostname or parts.port == 0 or not _can_be_looked_up(url):
            raise ValueError("it names no host that can be called")
        if parts.scheme == "http" and not is_loopback(f"{parts.hostname}:{parts.port or 80}"):
            raise ValueError("alerts leave this machine by https alone")
        return url


def _can_be_looked_up(url: str) -> bool:
    import httpx  # who calls it decides; only few settings have webhooks

    try:
        called = httpx.URL(url)
        return bool(called.host and called.raw_host.decode("ascii").encode("idna"))
    except (httpx.InvalidURL, UnicodeError):
        return False
