"""The settings of the gateway: its doors, and the destinations that it sends to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from imaging.settings.section import Address, FromText, Names, Section

AeTitle = Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^[ -\[\]-~]{1,16}$")]
"""PS3.5 6.2, AE: up to 16 printable characters, no backslash."""

DestinationId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]


class Destination(Section):
    """A system to send to: a PACS (`ae_title` and `address`) or a DICOMweb server (`url`)."""

    description: str = Field("", max_length=200)
    """What people call it."""

    ae_title: AeTitle | Literal[""] = ""
    """AE title of the PACS."""

    address: Address | Literal[""] = ""
    """`host:port` of the PACS."""

    tls: bool = False
    """Speak DICOM TLS with the PACS; its certificate is checked against `security.ca_file`."""

    url: str = Field("", pattern=r"^(https?://[^\s?#]+)?$")
    """Base URL of the DICOMweb service, e.g. `https://pacs.example.org/dicom-web`; `/studies` is added."""

    token_file: Path | None = None
    """File with the bearer token for `url`; readable by its owner alone."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if bool(self.url) == bool(self.address):
            raise ValueError("give either `url`, or `address` with `ae_title`")
        if bool(self.address) != bool(self.ae_title):
            raise ValueError("`address` and `ae_title` belong together")
        return self


class GatewaySettings(Section):
    """The gateway: PACS and web come in here, results go out."""

    address: Address = "127.0.0.1:50056"
    """`host:port` to listen on for gRPC, and where the others find it."""

    http_address: Address = "127.0.0.1:50057"
    """`host:port` to listen on for DICOMweb and the web page."""

    http_hosts: Names = ()
    """Names under which browsers may reach it, besides loopback and the host of `http_address`; `*`: any. A page of
    another site that points its own name to this address (DNS rebinding) is refused by this list."""

    http_cors_origins: Names = ()
    """Origins of foreign pages that may read what it answers, e.g. `https://viewer.example.org`. None by default."""

    dimse_address: Address = "127.0.0.1:50058"
    """`host:port` to listen on for DIMSE."""

    ae_title: AeTitle = "IMAGING"
    """Our AE title, called and calling."""

    destinations: Annotated[dict[DestinationId, Destination], FromText] = Field(default_factory=dict)
    """Where results can be sent, by a short name that recipes use."""
