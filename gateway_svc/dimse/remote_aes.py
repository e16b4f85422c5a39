"""The AEs that we may call: the destinations of the settings that speak DIMSE."""

from __future__ import annotations

import ssl

from gateway_svc.dimse.requestor import RemoteAe
from imaging.settings import Settings
from imaging.settings.gateway import Destination


class RemoteAes:
    """Destinations by AE title.

    Attributes
    ----------
    ae_title
        Ours, by which we call.
    """

    def __init__(self, settings: Settings) -> None:
        self.ae_title = settings.gateway.ae_title
        self._settings = settings
        self._by_title = {found.ae_title: found for found in settings.gateway.destinations.values() if found.address}

    def by_ae_title(self, ae_title: str) -> RemoteAe | None:
        """The AE of that title; None for one that is no destination."""
        found = self._by_title.get(ae_title)
        return None if found is None else remote_ae(found, self._settings)


def remote_ae(destination: Destination, settings: Settings) -> RemoteAe:
    """A destination as what is called; its TLS trusts the `ca_file` of the settings, or what the machine trusts."""
    if not destination.tls:
        return RemoteAe(destination.address, destination.ae_title)
    ca_file = destination.ca_file or settings.security.ca_file
    context = ssl.create_default_context(cafile=ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    certificate, key = settings.gateway.dimse_certificate_file, settings.gateway.dimse_key_file
    if certificate is not None and key is not None:
        context.load_cert_chain(certificate, key, password="")
    return RemoteAe(destination.address, destination.ae_title, context)
