"""An S3 server in this process that fails as it is told: what no real server does on demand."""

from __future__ import annotations

import base64
import hashlib
import re
import threading
from collections import defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

import google_crc32c

from imaging.objectstore.s3_access import S3Access

BUCKET = "images"


class ScriptedS3(ThreadingHTTPServer):
    """Objects in memory. `script[method]` holds what goes wrong with the next requests, first things first.

    `drop`: the connection ends, and nothing is done. `lose`: done, and the connection ends without an answer. `wait`:
    no answer, and nothing done. `damage`: other bytes are kept. `cut`: half of the body is sent. `whole`: all of an
    object is sent, whatever was asked for. `text`: an answer of something that is no S3. `hidden`: an error in the body
    of an answer that says 200, as S3 gives when parts cannot be put together. `fine`: nothing goes wrong. Anything else
    is `Code:status`, an error of S3.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.script: defaultdict[str, deque[str]] = defaultdict(deque)
        self.always: dict[str, str] = {}
        self.buckets: dict[str, dict[str, bytes]] = {BUCKET: {}}
        self.parts: dict[str, dict[int, bytes]] = {}
        """Of uploads in parts that were begun and neither finished nor aborted."""

        self.etags: dict[str, str] = {}
        """Of objects that came in parts."""

        self.requests: list[str] = []
        self.tells_checksums = True
        self.knows_conditions = True
        self.ended = threading.Event()

    @property
    def objects(self) -> dict[str, bytes]:
        """What the bucket holds by key, without what the store keeps for itself."""
        return {key: content for key, content in self.buckets[BUCKET].items() if not key.startswith(".")}

    def access(self, **values: object) -> S3Access:
        """The access to the bucket; half a second of silence is too slow."""
        given = {"access_key": "key", "secret_key": "secret", "secure": False, "timeout_seconds": 0.5} | values
        return S3Access(f"127.0.0.1:{self.server_port}", BUCKET, **given)  # type: ignore[arg-type]  # a dict of fields

    def count(self, method: str) -> int:
        """Requests of a method so far."""
        return self.requests.count(method)

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that gave up are no news."""


@contextmanager
def scripted_s3() -> Iterator[ScriptedS3]:
    """A running one."""
    with ScriptedS3() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server
        finally:
            server.ended.set()
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ScriptedS3

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.requests.append(self.command)
        planned = self.server.script[self.command]
        trouble = planned.popleft() if planned else self.server.always.get(self.command, "fine")
        url = urlsplit(self.path)
        query = parse_qs(url.query, keep_blank_values=True)
        bucket, _, key = unquote(url.path).lstrip("/").partition("/")
        if trouble == "drop":
            self.close_connection = True
        elif trouble == "wait":
            self.server.ended.wait(20)
            self.close_connection = True
        elif trouble == "text":
            self._answer(500, b"no room in hell", content_type="text/plain")
        elif ":" in trouble:
            code, status = trouble.split(":")
            self._error(int(status), code)
        elif bucket not in self.server.buckets and not (self.command == "PUT" and not key):
            self._error(404, "NoSuchBucket")
        elif key and ("uploads" in query or "uploadId" in query):
            self._part(self.server.buckets[bucket], key, body, trouble, query)
        elif key:
            self._object(self.server.buckets[bucket], key, body, trouble)
        else:
            self._bucket(bucket, query)

    do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = _serve  # noqa: N815 - the names of the base class

    def _object(self, objects: dict[str, bytes], key: str, body: bytes, trouble: str) -> None:
        if self.command == "PUT":
            if self.server.knows_conditions and self.headers.get("If-None-Match") == "*" and key in objects:
                self._error(412, "PreconditionFailed")
                return
            objects[key] = _damaged(body) if trouble == "damage" else body
            if trouble == "lose":
                self.close_connection = True
                return
            self._answer(200, b"", **self._checksums(objects[key]))
        elif self.command == "DELETE":
            objects.pop(key, None)
            self._answer(204, b"")
        elif key not in objects:
            self._error(404, "NoSuchKey")
        else:
            content = objects[key]
            headers = self._checksums(content, self.server.etags.get(key))
            asked = re.match(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
            if asked and trouble != "whole":
                end = int(asked[2]) + 1 if asked[2] else len(content)
                self._answer(206, content[int(asked[1]) : end], cut=trouble == "cut", **headers)
                return
            self._answer(200, content, cut=trouble == "cut", **headers)

    def _part(
        self, objects: dict[str, bytes], key: str, body: bytes, trouble: str, query: dict[str, list[str]]
    ) -> None:
        """The requests of an upload in parts: begin, a part, put together, abort."""
        upload = query.get("uploadId", [""])[0]
        answer, headers = b"", {}
        if not upload:
            upload = f"upload-{len(self.server.requests)}"
            self.server.parts[upload] = {}
            answer = (
                f"<InitiateMultipartUploadResult><UploadId>{upload}</UploadId></InitiateMultipartUploadResult>".encode()
            )
        elif upload not in self.server.parts:
            self._error(404, "NoSuchUpload")
            return
        elif self.command == "PUT":
            content = _damaged(body) if trouble == "damage" else body
            self.server.parts[upload][int(query["partNumber"][0])] = content
            headers = {"ETag": f'"{hashlib.md5(content).hexdigest()}"'}
        elif self.command == "DELETE":
            del self.server.parts[upload]
        elif trouble == "hidden":
            answer = b"<Error><Code>InternalError</Code><Message>scripted</Message></Error>"
        elif self.headers.get("If-None-Match") == "*" and key in objects:
            self._error(412, "PreconditionFailed")
            return
        else:
            parts = [content for _, content in sorted(self.server.parts.pop(upload).items())]
            objects[key] = b"".join(parts)
            whole = hashlib.md5(b"".join(hashlib.md5(part).digest() for part in parts)).hexdigest()
            self.server.etags[key] = f"{whole}-{len(parts)}"
            answer = (
                f"<CompleteMultipartUploadResult><ETag>{self.server.etags[key]}</ETag></CompleteMultipartUploadResult>"
            ).encode()
        if trouble == "lose":
            self.close_connection = True
            return
        self._answer(204 if self.command == "DELETE" else 200, answer, **headers)

    def _bucket(self, bucket: str, query: dict[str, list[str]]) -> None:
        if self.command == "PUT":
            self.server.buckets.setdefault(bucket, {})
            self._answer(200, b"")
            return
        prefix = query.get("prefix", [""])[0]
        keys = "".join(
            f"<Contents><Key>{key}</Key><Size>{len(content)}</Size></Contents>"
            for key, content in self.server.buckets[bucket].items()
            if key.startswith(prefix)
        )
        listed = f"<Name>{bucket}</Name><IsTruncated>false</IsTruncated>{keys}"
        self._answer(200, f"<ListBucketResult>{listed}</ListBucketResult>".encode())

    def _checksums(self, content: bytes, etag_of_parts: str | None = None) -> dict[str, str]:
        if not self.server.tells_checksums:
            return {"ETag": '"encrypted"'}
        if etag_of_parts is not None:
            return {"ETag": f'"{etag_of_parts}"'}
        checksum = base64.b64encode(google_crc32c.value(content).to_bytes(4, "big")).decode()
        return {"ETag": f'"{hashlib.md5(content).hexdigest()}"', "x-amz-checksum-crc32c": checksum}

    def _error(self, status: int, code: str) -> None:
        self._answer(status, f"<Error><Code>{code}</Code><Message>scripted</Message></Error>".encode())

    def _answer(
        self, status: int, body: bytes, *, content_type: str = "application/xml", cut: bool = False, **headers: str
    ) -> None:
        self.send_response(status)
        headers |= {"Content-Type": content_type, "Last-Modified": formatdate(usegmt=True)}
        if status != 204:
            headers["Content-Length"] = str(len(body))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[: len(body) // 2] if cut else body)
        if cut:
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


def _damaged(body: bytes) -> bytes:
    return body[:-1] + bytes([body[-1] ^ 1])
