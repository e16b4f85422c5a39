"""The settings of the gateway: its doors, and the destinations that it sends to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self, get_args

from pydantic import Field, StringConstraints, model_validator

from imaging.settings.own_database import OwnDatabase
from imaging.settings.section import Address, Addresses, FromText, Names, Section

AeTitle = Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^[ -\[\]-~]{1,16}$")]
"""PS3.5 6.2, AE: up to 16 printable characters, no backslash."""

Verb = Literal["echo", "store", "find", "move", "get", "commit"]
ALL_VERBS: tuple[Verb, ...] = get_args(Verb)

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
    """Speak DICOM TLS with the PACS; its certificate is checked against `ca_file`."""

    ca_file: Path | None = None
    """PEM certificates of whom the PACS or web server proves itself by. None: `security.ca_file`, or else whom this
    machine trusts."""

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


class Peer(Section):
    """A system that may call us by DIMSE."""

    ae_title: AeTitle
    """The AE title that it calls itself."""

    hosts: Names = ()
    """Addresses, networks (`10.1.0.0/16`) or host names that it calls from. Empty: any, which is worth little: an AE
    title is no secret."""

    may: frozenset[Verb] = frozenset(ALL_VERBS)
    """What it may ask for: echo, store, find, move, get, commit."""

    tls: bool = False
    """Take its calls only at `dimse_tls_address`."""


class GatewaySettings(OwnDatabase):
    """The gateway: PACS and web come in here, results go out."""

    address: Addresses = "127.0.0.1:50056"
    """`host:port` to listen on for gRPC, and where the others find it."""

    http_address: Address = "127.0.0.1:50057"
    """`host:port` to listen on for DICOMweb and the web page."""

    http_hosts: Names = ()
    """Names under which browsers may reach it, besides loopback and the host of `http_address`; `*`: any. A page of
    another site that points its own name to this address (DNS rebinding) is refused by this list."""

    http_cors_origins: Names = ()
    """Origins of foreign pages that may read what it answers, e.g. `https://viewer.example.org`. None by default."""

    viewer_url: str = Field("", pattern=r"^(https?://[^\s?#]+[^\s?#/])?$")
    """Base URL of an OHIF that reads from here, e.g. `https://ohif.example.org`: the web page links its studies to
    `/viewer?StudyInstanceUIDs=…` below it. Empty: no link."""

    dimse_address: Address = "127.0.0.1:50058"
    """`host:port` to listen on for DIMSE. At a loopback address anybody may call; elsewhere those of `peers`, and
    `dimse_plain_text` must say that this is meant."""

    dimse_plain_text: bool = False
    """Listen at a `dimse_address` that other machines reach, although nothing there is encrypted: most modalities speak
    no TLS. For a network that nobody else listens to."""

    dimse_tls_address: Address | Literal[""] = ""
    """`host:port` to listen on for DICOM TLS (PS3.15 B); 2762 by custom. Its certificate is `dimse_certificate_file`,
    or else `security.certificate_file`."""

    dimse_certificate_file: Path | None = None
    """PEM chain for DICOM TLS, where it is not that of the other services."""

    dimse_key_file: Path | None = None
    """PEM key of it; readable by its owner alone."""

    dimse_client_ca_file: Path | None = None
    """PEM certificates by which callers must prove themselves at `dimse_tls_address`. None: they need none."""

    dimse_unknown_callers: Literal["on-loopback", "never", "always"] = "on-loopback"
    """Where AEs may call that are not in `peers`; they may then ask for everything."""

    peers: Annotated[dict[DestinationId, Peer], FromText] = Field(default_factory=dict)
    """Who may call by DIMSE, by a short name."""

    dimse_storage_classes: Names = ()
    """Storage SOP Classes besides those of the Standard: private ones, as UIDs or patterns (`1.2.840.113619.4.*`);
    `*` takes every class that is not known as another service."""

    dimse_acceptors: int = Field(2, ge=1, le=64)
    """Processes that take associations; they share the addresses. One does some hundred instances a second."""

    dimse_max_associations: int = Field(256, ge=1)
    """Associations at the same time, of each of these processes. Over that, the one that is idle for longest gives
    way."""

    dimse_artim_seconds: float = Field(10.0, gt=0)
    """A connection that does not ask for an association within this time is closed."""

    dimse_idle_seconds: float = Field(300.0, gt=0)
    """An association without a request for so long is aborted."""

    dimse_answer_seconds: float = Field(30.0, gt=0)
    """Longest wait for storage before a sender is told to send again (0xA700)."""

    ae_title: AeTitle = "IMAGING"
    """Our AE title, called and calling."""

    destinations: Annotated[dict[DestinationId, Destination], FromText] = Field(default_factory=dict)
    """Where results can be sent, by a short name that recipes use."""

    send_again_hours: float = Field(24.0, ge=0)
    """An instance that a destination does not take now (it is away, full, busy) is sent again by itself for so long,
    less and less often; then it waits in the list of failed sends for a person. 0: it waits there at once."""

    send_again_seconds: float = Field(60.0, gt=0)
    """Wait before it is sent again for the first time; it doubles, up to an hour."""
