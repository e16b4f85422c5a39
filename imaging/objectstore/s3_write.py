"""One object into a bucket, sent until the server has proven that it keeps the bytes; never assumed."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from typing import Final, cast

import google_crc32c
from minio import Minio
from minio.sse import Sse

from imaging.errors import Unavailable
from imaging.objectstore.s3_failure import S3_ERRORS, Kind, S3Failure, explain
from imaging.objectstore.s3_proof import PART_BYTES, Proof, crc32c_text

_ATTEMPTS: Final = 3
_PAUSE_SECONDS: Final = 0.2
_IN_PARTS_AT_ONCE: Final = 4
"""Large objects sent at the same time; each holds one part in memory."""

_CHECKSUM: Final = "x-amz-checksum-crc32c"
_TELL_CHECKSUM: Final = {"x-amz-checksum-mode": "ENABLED"}
_DOING: Final = "storing an object"
_PIECE: Final = 1024 * 1024
_NOT_KEPT: Final = S3Failure(
    Kind.UNAVAILABLE, "The object store did not keep what it took", "Send again later; nothing was recorded."
)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class S3Writer:
    """Writes objects of one bucket; many threads at once."""

    client: Minio
    bucket: str
    sse: Sse | None
    _in_parts: threading.BoundedSemaphore = field(
        default_factory=lambda: threading.BoundedSemaphore(_IN_PARTS_AT_ONCE), init=False
    )

    def write(self, key: str, proof: Proof) -> None:
        """Return when the server has proven that it keeps the bytes under the key.

        After an answer that did not come, or came late, the server is asked what it keeps, by its checksum; only then
        the object is there, or is sent again. What is sent is refused by the server where something is under the key.

        Raises
        ------
        FailedPrecondition
            If the key is taken by another object.
        StorageFull, Unavailable
            If it is not proven in three attempts. It may be there all the same; nobody knows its key then.
        """
        with self._in_parts if proof.in_parts else nullcontext():
            for attempt in range(_ATTEMPTS):
                if attempt:
                    time.sleep(_PAUSE_SECONDS * 4 ** (attempt - 1))
                try:
                    self._send(key, proof)
                    return
                except S3_ERRORS as error:
                    cause, failure = error, explain(error)
                    if failure.kind is Kind.MISSING:  # of parts, an error may stand in an answer that says 200
                        failure = _NOT_KEPT
                taken = failure.kind is Kind.TAKEN and attempt > 0  # maybe by our own attempt before
                if not taken and failure.kind is not Kind.UNAVAILABLE:
                    raise failure.error(_DOING) from cause
                _log.warning("the object store did not confirm an object: %s", failure.what)
                with suppress(*S3_ERRORS):
                    if self._is_there(key, proof):
                        return
                    if taken:
                        raise failure.error(_DOING) from cause
        raise failure.error(_DOING) from cause

    def _send(self, key: str, proof: Proof) -> None:
        with proof.open_content() as file:
            answer = self.client.put_object(
                self.bucket,
                key,
                file,
                proof.size_bytes,
                metadata=None if proof.in_parts else {_CHECKSUM: proof.crc32c},
                sse=self.sse,
                part_size=PART_BYTES,
                num_parallel_uploads=1,  # with more, the client reads the whole object ahead into memory
            )
        headers = cast(Mapping[str, str], answer.http_headers or {})
        proven = proof.matches(headers.get(_CHECKSUM), answer.etag)
        if proven is None:
            proven = self._reads_back(key, proof)
        if not proven:
            with suppress(*S3_ERRORS):
                self.client.remove_object(self.bucket, key)
            raise Unavailable(
                "The object store kept other bytes than were sent",
                where=key,
                hint="Check its health and its network, then send again: nothing was recorded.",
            )

    def _is_there(self, key: str, proof: Proof) -> bool:
        try:
            found = self.client.stat_object(self.bucket, key, extra_headers=dict(_TELL_CHECKSUM))
        except S3_ERRORS as error:
            if explain(error).kind is Kind.MISSING:
                return False
            raise
        if found.size != proof.size_bytes:
            return False
        headers = cast(Mapping[str, str], found.metadata or {})
        proven = proof.matches(headers.get(_CHECKSUM), found.etag)
        return self._reads_back(key, proof) if proven is None else proven

    def _reads_back(self, key: str, proof: Proof) -> bool:
        """Whether the bytes are the same when they are read: the proof for encrypted objects in parts."""
        checksum = 0
        response = self.client.get_object(self.bucket, key)
        try:
            for piece in response.stream(_PIECE):
                checksum = google_crc32c.extend(checksum, piece)
        finally:
            response.close()
            response.release_conn()
        return crc32c_text(checksum) == proof.crc32c
