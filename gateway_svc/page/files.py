"""The files of the web page, read once, under a policy that lets only them run."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

from gateway_svc.http.byte_range import is_unchanged
from gateway_svc.http.exchange import Exchange, Header
from gateway_svc.http.refusals import MethodNotAllowed
from imaging.errors import NotFound

ASSETS: Final = "assets"
"""First segment of the path of all files but the page itself."""

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_TYPES: Final = {
    ".html": b"text/html; charset=utf-8",
    ".js": b"text/javascript; charset=utf-8",
    ".css": b"text/css; charset=utf-8",
    ".svg": b"image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class _File:
    content: bytes
    media_type: bytes
    etag: str


class Page:
    """Answers requests for the page and its files, which hold no data: who has not signed in may have them."""

    def __init__(self) -> None:
        folder = files("gateway_svc.page") / "static"
        self._files: dict[str, _File] = {}
        for file in folder.iterdir():
            media_type = _TYPES.get(f".{file.name.rpartition('.')[2]}")
            if media_type is not None:
                content = file.read_bytes()
                etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
                self._files[file.name] = _File(content, media_type, etag)

    async def __call__(self, exchange: Exchange) -> None:
        """Answer one request."""
        file = self._file(exchange.path)
        if file is None:
            raise NotFound("There is no such page", where="path", hint="The page is /, DICOMweb is below /dicom-web.")
        exchange.route = f"/{ASSETS}/{{file}}" if exchange.path != "/" else "/"
        if exchange.method not in ("GET", "HEAD"):
            raise MethodNotAllowed(
                "The page has no such method", where="path", hint="It has GET, HEAD.", metadata={"allow": "GET, HEAD"}
            )
        headers: list[Header] = [
            (b"content-type", file.media_type),
            (b"content-security-policy", POLICY.encode("ascii")),
            (b"cross-origin-opener-policy", b"same-origin"),
            (b"cross-origin-resource-policy", b"same-origin"),
            (b"permissions-policy", b"camera=(), microphone=(), geolocation=()"),
            (b"x-frame-options", b"DENY"),
            (b"etag", file.etag.encode("ascii")),
            (b"cache-control", b"no-cache"),  # asked for again each time, so that page and gateway are of one release
        ]
        if is_unchanged(exchange, file.etag):
            await exchange.send(304, headers)
        else:
            await exchange.send(200, headers, file.content)

    def _file(self, path: str) -> _File | None:
        if path == "/":
            return self._files["index.html"]
        area, _, name = path.removeprefix("/").partition("/")
        return self._files.get(name) if area == ASSETS else None
