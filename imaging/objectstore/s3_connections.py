"""Connections to an S3 server: as many as there are writers, with timeouts, and retries where they are safe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from urllib3 import BaseHTTPResponse, PoolManager, Retry, Timeout
from urllib3.util import parse_url

_CONNECT_SECONDS = 3.0

_CONNECT_ONLY = Retry(connect=2, read=0, redirect=0, status=0, other=0, backoff_factor=0.1)
"""Nothing was sent yet, so nothing can be done twice."""

_HARMLESS = Retry(
    total=3,
    redirect=0,
    backoff_factor=0.1,
    status_forcelist=(500, 502, 503, 504),
    allowed_methods=None,
    raise_on_status=False,  # the client reads the error from the last answer
    respect_retry_after_header=False,  # a server could hold a thread for as long as it likes
)
"""Reading, deleting, and sending a part again have the same effect however often they are done."""


class S3Connections(PoolManager):
    """The connection pool below the `minio` client, whose own one holds 10 and sends an object again unasked.

    An object is created only where none is (`If-None-Match: *`), also when its parts are put together. Sending one
    again after an unknown outcome is left to the caller, who has to look first what became of it.
    """

    def __init__(self, connections: int, timeout_seconds: float, ca_file: Path | None) -> None:
        super().__init__(
            maxsize=connections,
            block=True,
            timeout=Timeout(connect=_CONNECT_SECONDS, read=timeout_seconds),
            cert_reqs="CERT_REQUIRED",
            ca_certs=None if ca_file is None else str(ca_file),  # None: those of the system, or SSL_CERT_FILE
        )

    def urlopen(  # type: ignore[override]  # the base has overloads of the same signature
        self, method: str, url: str, redirect: bool = True, **kw: Any
    ) -> BaseHTTPResponse:
        query = parse_url(url).query or ""
        part = "partNumber=" in query
        creates = (method == "PUT" and not query and _names_object(url)) or (method == "POST" and "uploadId=" in query)
        if creates:
            kw["headers"]["If-None-Match"] = "*"
        kw["retries"] = _HARMLESS if part or method in ("GET", "HEAD", "DELETE") else _CONNECT_ONLY
        return super().urlopen(method, url, redirect, **kw)


def _names_object(url: str) -> bool:
    """Whether the path goes on after the bucket. Buckets stand in the path, or on AWS in the name of the host."""
    parsed = parse_url(url)
    components = [part for part in (parsed.path or "").split("/") if part]
    return len(components) > (0 if (parsed.host or "").endswith(".amazonaws.com") else 1)
