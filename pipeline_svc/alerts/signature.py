"""The signature of a webhook, as Standard Webhooks 1.0 has it: HMAC-SHA256 over id, time and body."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import Final

_PREFIX: Final = "whsec_"


def signed_headers(secret: str, message_id: str, unix_seconds: int, body: bytes) -> dict[str, str]:
    """The headers by which a receiver knows who sent a body, and when.

    Parameters
    ----------
    secret
        `whsec_` and base64 of the key; any other text is the key itself.
    message_id
        The same over all tries, so that a receiver can tell a repetition.
    """
    signed = b".".join((message_id.encode("ascii"), str(unix_seconds).encode("ascii"), body))
    digest = hmac.new(_key(secret), signed, hashlib.sha256).digest()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(unix_seconds),
        "webhook-signature": f"v1,{base64.b64encode(digest).decode('ascii')}",
    }


def _key(secret: str) -> bytes:
    if secret.startswith(_PREFIX):
        try:
            return base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
        except binascii.Error:
            pass
    return secret.encode()
