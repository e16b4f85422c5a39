"""Messages of the contracts as JSON: protobuf's own mapping, so that the page sees the contracts and nothing else."""

from __future__ import annotations

import json
from typing import Any, Final

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from gateway_svc.http.exchange import Exchange, Header
from imaging.errors import InvalidArgument

MAX_BODY_BYTES: Final = 64 * 1024

HEADERS: Final[tuple[Header, ...]] = (
    (b"content-type", b"application/json"),
    (b"cache-control", b"no-store"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


def to_json(message: Message) -> dict[str, Any]:
    """A message by the JSON names of its fields; 64-bit integers are texts, fields without presence always there."""
    return MessageToDict(message, always_print_fields_with_no_presence=True)


async def send_json(exchange: Exchange, content: Any) -> None:
    """Answer with a JSON document."""
    await exchange.send(200, HEADERS, json.dumps(content, ensure_ascii=False).encode("utf-8", "replace"))


async def json_body(exchange: Exchange) -> dict[str, Any]:
    """The JSON object that a request carries; empty without a body.

    Raises
    ------
    InvalidArgument
        If it carries anything else.
    """
    body = await exchange.small_body(MAX_BODY_BYTES)
    try:
        found = json.loads(body) if body else {}
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise InvalidArgument("The body is no JSON object", where="body", hint="Send application/json.")
    return found
