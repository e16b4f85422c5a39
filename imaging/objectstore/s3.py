"""Objects in a bucket of an S3 server, through the `minio` client."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from urllib3.exceptions import HTTPError, MaxRetryError

from imaging.errors import DataLoss, FailedPrecondition, ImagingError, InvalidArgument, Unavailable
from imaging.objectstore.os_failure import os_failures
from imaging.objectstore.s3_access import S3Access
from imaging.objectstore.s3_bucket import MARKER, BucketOwner, open_bucket
from imaging.objectstore.s3_failure import S3_ERRORS, Kind, explain
from imaging.objectstore.s3_proof import Proof
from imaging.objectstore.s3_write import S3Writer
from imaging.objectstore.store import Content, ObjectStat, validate_key

CONNECTIONS: Final = 32
"""As many as there are threads that write and read at the same time; more would wait for a free one."""

_READ_ATTEMPTS: Final = 3
_RESTORE: Final = "Restore it from a backup, or send the instance again."


class S3ObjectStore:
    """An `ObjectStore` in one bucket, which belongs to `owner` alone; `root` is a local folder for the spool.

    How far an acknowledged object survives a power cut is the server's promise. Ours is that the server has told, by a
    checksum, that it keeps exactly these bytes (see `S3Writer`), and that a key is written once: the server refuses a
    second time (`If-None-Match`), or where it cannot, the key is looked up before.

    Raises
    ------
    SettingsInvalid, FailedPrecondition, Unavailable, StorageFull
        If the bucket cannot be used, see `open_bucket`.
    """

    def __init__(self, root: Path, access: S3Access, owner: BucketOwner) -> None:
        root = root.absolute()
        self._spool = root / ".spool"
        self._spool.mkdir(parents=True, exist_ok=True)
        self._bucket = access.bucket
        self._client = access.client(CONNECTIONS)
        sse = access.encryption()
        self._conditional = open_bucket(self._client, self._bucket, owner, sse)
        self._writer = S3Writer(self._client, self._bucket, sse)

    @property
    def spool(self) -> Path:
        """Files here outlive a restart: they belong to uploads that may be resumed."""
        return self._spool

    def put(self, key: str, content: Content) -> None:
        self._write(key, Proof(lambda: io.BytesIO(content)))

    def adopt(self, key: str, path: Path) -> None:
        with os_failures("storing an object", path.parent):
            self._write(key, Proof(lambda: path.open("rb")))
            path.unlink()

    def _write(self, key: str, proof: Proof) -> None:
        validate_key(key)
        if not self._conditional and self._stat(key) is not None:
            raise FailedPrecondition("The object key is taken", where=key, hint="Use a new key.")
        self._writer.write(key, proof)

    def read(self, key: str, offset: int = 0, length: int | None = None) -> bytes:
        validate_key(key)
        if length == 0:  # not a range that S3 knows
            return self._nothing(key, offset)
        for attempt in range(1, _READ_ATTEMPTS + 1):
            try:
                content = self._read(key, offset, length)
                break
            except S3_ERRORS as error:
                failure = explain(error)
                if failure.kind is Kind.MISSING:
                    self._require_bucket()
                    raise DataLoss("A stored object is gone", where=key, hint=_RESTORE) from error
                if failure.code == "InvalidRange":
                    return self._nothing(key, offset, length)
                broken = isinstance(error, HTTPError) and not isinstance(error, MaxRetryError)  # in its body
                if not broken or attempt == _READ_ATTEMPTS:
                    raise failure.error("reading an object") from error
        if length is not None and len(content) < length:
            raise _ends_early(key, length - len(content))
        if length is not None and len(content) > length:
            raise Unavailable(
                "The object store sends more of an object than was asked for",
                where="storage.s3_endpoint",
                hint="It, or what stands before it, ignores ranges (the header `Range`): correct it.",
            )
        return content

    def _read(self, key: str, offset: int, length: int | None) -> bytes:
        response = self._client.get_object(self._bucket, key, offset, length or 0)
        try:
            return bytes(response.read())
        finally:
            response.close()
            response.release_conn()

    def _nothing(self, key: str, offset: int, length: int | None = None) -> bytes:
        """The bytes from the end of an object on: none, if that is where the range starts and no more are asked for."""
        found = self.stat(key)
        if found is None:
            raise DataLoss("A stored object is gone", where=key, hint=_RESTORE)
        if length or found.size_bytes < offset:
            raise _ends_early(key, offset + (length or 0) - found.size_bytes)
        return b""

    def read_at_once(self, key: str, into: memoryview) -> bool:
        return False

    def stat(self, key: str) -> ObjectStat | None:
        validate_key(key)
        found = self._stat(key)
        if found is None:
            self._require_bucket()
        return found

    def _require_bucket(self) -> None:
        """Pass if the bucket is there with our marker in it: one that is gone, or another one, has lost no object."""
        if self._stat(MARKER) is None:
            raise Unavailable(
                "The bucket is not there, or is not the one of this database",
                where="storage.s3_bucket",
                hint=f"Bring back the bucket that holds its objects, with its object {MARKER}.",
            )

    def _stat(self, key: str) -> ObjectStat | None:
        try:
            found = self._client.stat_object(self._bucket, key)
        except S3_ERRORS as error:
            failure = explain(error)
            if failure.kind is Kind.MISSING:
                return None
            raise failure.error("looking for an object") from error
        return ObjectStat(key, found.size or 0, _time(found.last_modified))

    def delete(self, key: str) -> None:
        validate_key(key)
        try:
            self._client.remove_object(self._bucket, key)
        except S3_ERRORS as error:
            failure = explain(error)
            if failure.kind is not Kind.MISSING:
                raise failure.error("deleting an object") from error

    def list(self, prefix: str = "") -> Iterator[ObjectStat]:
        folder = f"{validate_key(prefix.rstrip('/'))}/" if prefix else ""
        try:
            for found in self._client.list_objects(self._bucket, prefix=folder, recursive=True):
                with suppress(InvalidArgument):  # our own marker, and what others may have put there
                    yield ObjectStat(validate_key(found.object_name or ""), found.size or 0, _time(found.last_modified))
        except S3_ERRORS as error:
            raise explain(error).error("listing objects") from error


def _time(modified: datetime | None) -> datetime:
    """The time of the last change; an unknown one counts as now, so that nothing is taken for old."""
    return modified or datetime.now(UTC)


def _ends_early(key: str, missing_bytes: int) -> ImagingError:
    return DataLoss(f"A stored object ends {missing_bytes} bytes too early", where=key, hint=_RESTORE)
