"""The signature of a webhook, as Standard Webhooks 1.0 has it: HMAC-SHA256 over id, time and body."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import Final

from imaging.errors import SettingsInvalid

_PREFIX: Final = "whsec_"
_SHORTEST_KEY: Final = 16
"""Bytes. Shorter ones can be guessed from one alert and its signature."""
_MAKE_ONE: Final = "Make one: echo whsec_$(openssl rand -base64 32)."


def signing_key(secret: str, where: str) -> bytes:
    """The key of a secret: what base64 after `whsec_` means; of any other text its bytes.

    Raises
    ------
    SettingsInvalid
        If it is no base64, or too short. A receiver would find every signature wrong, or somebody could make them.
    """
    key = secret.encode()
    if secret.startswith(_PREFIX):
        try:
            key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
        except binascii.Error:
            raise SettingsInvalid("After whsec_ the secret is no base64", where=where, hint=_MAKE_ONE) from None
    if len(key) < _SHORTEST_KEY:
        raise SettingsInvalid(f"The key is shorter than {_SHORTEST_KEY} bytes", where=where, hint=_MAKE_ONE)
    return key


def signed_headers(key: bytes, message_id: str, unix_seconds: int, body: bytes) -> dict[str, str]:
    """The headers by which a receiver knows who sent a body, and when.

    Parameters
    ----------
    key
        As `signing_key` gives it.
    message_id
        The same over all tries, so that a receiver can tell a repetition.
    """
    signed = b".".join((message_id.encode("ascii"), str(unix_seconds).encode("ascii"), body))
    digest = hmac.new(key, signed, hashlib.sha256).digest()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(unix_seconds),
        "webhook-signature": f"v1,{base64.b64encode(digest).decode('ascii')}",
    }
