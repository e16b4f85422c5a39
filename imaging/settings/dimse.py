"""Where the gateway listens for DIMSE; refused if it is unsafe or not whole."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from imaging.errors import SettingsInvalid
from imaging.rpc.loopback import is_loopback
from imaging.settings.model import Settings
from imaging.settings.security_files import check_server_certificate, check_trusted_certificates


@dataclass(frozen=True, slots=True)
class DimseTls:
    """How DICOM TLS is spoken."""

    certificate_file: Path
    key_file: Path
    client_ca_file: Path | None

    def context(self) -> ssl.SSLContext:
        """For a listening socket. TLS 1.2 is the least that PS3.15 B still allows."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self.certificate_file, self.key_file, password="")
        if self.client_ca_file is not None:
            context.load_verify_locations(self.client_ca_file)
            context.verify_mode = ssl.CERT_REQUIRED
        return context


@dataclass(frozen=True, slots=True)
class DimseListen:
    """An address that is listened on."""

    address: str
    is_open: bool
    """Callers that nobody knows may call here."""
    tls: DimseTls | None = None


def dimse_listen(settings: Settings) -> tuple[DimseListen, ...]:
    """The addresses: one in plain text, and one with TLS if the settings name one.

    Raises
    ------
    SettingsInvalid
        Patient data would travel in plain text without a word that this is meant, or files are missing or no good.
    """
    own = settings.gateway
    if not (is_loopback(own.dimse_address) or own.dimse_plain_text or settings.security.insecure):
        raise SettingsInvalid(
            f"Images would come to {own.dimse_address} in plain text",
            where="gateway.dimse_address",
            hint="Set gateway.dimse_plain_text for a network that nobody else listens to, and gateway.peers; or leave"
            " it at 127.0.0.1 and set gateway.dimse_tls_address.",
        )
    plain = DimseListen(own.dimse_address, _is_open(settings, own.dimse_address))
    if not own.dimse_tls_address:
        for name in ("dimse_certificate_file", "dimse_key_file", "dimse_client_ca_file"):
            if getattr(own, name) is not None:
                raise SettingsInvalid(
                    "A setting of DICOM TLS has no effect without its address",
                    where=f"gateway.{name}",
                    hint="Set gateway.dimse_tls_address too, or leave it out.",
                )
        return (plain,)
    return plain, DimseListen(own.dimse_tls_address, _is_open(settings, own.dimse_tls_address), _tls(settings))


def _is_open(settings: Settings, address: str) -> bool:
    rule = settings.gateway.dimse_unknown_callers
    return rule == "always" or (rule == "on-loopback" and is_loopback(address))


def _tls(settings: Settings) -> DimseTls:
    own, security = settings.gateway, settings.security
    if (own.dimse_certificate_file is None) != (own.dimse_key_file is None):
        missing = "key" if own.dimse_key_file is None else "certificate"
        raise SettingsInvalid(
            "A certificate and its key belong together", where=f"gateway.dimse_{missing}_file", hint="Set it too."
        )
    certificate = own.dimse_certificate_file or security.certificate_file
    key = own.dimse_key_file or security.key_file
    if certificate is None or key is None:
        raise SettingsInvalid(
            "DICOM TLS needs a certificate",
            where="gateway.dimse_tls_address",
            hint="Set gateway.dimse_certificate_file and dimse_key_file, or those of security.",
        )
    check_server_certificate(certificate, key)
    if own.dimse_client_ca_file is not None:
        check_trusted_certificates(own.dimse_client_ca_file, "gateway.dimse_client_ca_file")
    return DimseTls(certificate, key, own.dimse_client_ca_file)
