"""The bucket before its first use: there, ours, writable, and known in what it can do."""

from __future__ import annotations

import io
import logging
import secrets
from dataclasses import dataclass
from typing import Final

from minio import Minio
from minio.error import S3Error
from minio.sse import Sse

from imaging.errors import FailedPrecondition
from imaging.objectstore.s3_failure import S3_ERRORS, Kind, explain

MARKER: Final = ".imaging-installation"
_PROBE: Final = ".imaging-probe"
"""Keys that start with a dot are none of `ObjectStore`: nothing lists or reads them."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BucketOwner:
    """The index whose objects a bucket keeps."""

    identity: str
    """A random word that the index keeps; an object in its bucket holds the same."""

    has_objects: bool
    """Whether it knows objects already; then an empty bucket is not the right one."""


def open_bucket(client: Minio, bucket: str, owner: BucketOwner, sse: Sse | None) -> bool:
    """Look at the bucket, make it if there is none; whether it refuses to write a key twice (`If-None-Match`).

    A bucket belongs to one index, because objects that an index does not know are swept from it: that of another
    index, or of one that was lost, would be emptied.

    Raises
    ------
    SettingsInvalid
        If the bucket is missing and may not be made, or keys, rights, clock, region or encryption are not right.
    FailedPrecondition
        If the bucket belongs to another index, or lacks the objects of this one.
    Unavailable, StorageFull
        If the object store does not answer, or has no room.
    """
    try:
        if not _exists(client, bucket):
            if owner.has_objects:
                raise _without_objects(bucket)
            _make(client, bucket)
        _check_owner(client, bucket, owner, sse)
        conditional = _probe(client, bucket, sse)
    except S3_ERRORS as error:
        raise explain(error).error_at_start() from error
    if not conditional:
        _log.warning("the object store ignores If-None-Match; keys are looked up before they are written")
    return conditional


def bucket_exists(client: Minio, bucket: str) -> bool:
    """Whether there is such a bucket, which may be listed with these keys; nothing is changed.

    Raises
    ------
    SettingsInvalid, Unavailable
        See `open_bucket`.
    """
    try:
        return _exists(client, bucket)
    except S3_ERRORS as error:
        raise explain(error).error_at_start() from error


def _exists(client: Minio, bucket: str) -> bool:
    """Asks by listing, whose error tells more than the bare status of a HEAD."""
    try:
        next(iter(client.list_objects(bucket, prefix=MARKER)), None)
    except S3Error as error:
        if error.code != "NoSuchBucket":
            raise
        return False
    return True


def _make(client: Minio, bucket: str) -> None:
    try:
        client.make_bucket(bucket)
        _log.info("made the bucket %s", bucket)
    except S3Error as error:
        if error.code not in ("BucketAlreadyOwnedByYou", "BucketAlreadyExists"):
            raise


def _check_owner(client: Minio, bucket: str, owner: BucketOwner, sse: Sse | None) -> None:
    marked = _content(client, bucket, MARKER)
    if marked is None and next(iter(client.list_objects(bucket)), None) is None:
        if owner.has_objects:
            raise _without_objects(bucket)
        try:
            _write(client, bucket, MARKER, owner.identity, sse)
        except S3_ERRORS as error:
            if explain(error).kind is not Kind.TAKEN:
                raise
        marked = _content(client, bucket, MARKER)
    if marked != owner.identity:
        raise FailedPrecondition(
            f"The bucket {bucket} belongs to another database, or holds other objects",
            where="storage.s3_bucket",
            hint="Name the bucket of this database, or an empty one for a new database. If the database was lost,"
            f" restore it: what it does not know would be removed. The object {MARKER} says whose the bucket is.",
        )


def _without_objects(bucket: str) -> FailedPrecondition:
    return FailedPrecondition(
        f"The bucket {bucket} is empty, but the database knows objects",
        where="storage.s3_bucket",
        hint=f"Name the bucket that holds them, or restore it as it was, also its object {MARKER}.",
    )


def _probe(client: Minio, bucket: str, sse: Sse | None) -> bool:
    """Write twice and delete under a key of the probe's own; whether the second write was refused."""
    key = f"{_PROBE}-{secrets.token_hex(8)}"
    try:
        _write(client, bucket, key, "first", sse)
        _write(client, bucket, key, "second", sse)
        return False
    except S3_ERRORS as error:
        if explain(error).kind is not Kind.TAKEN:
            raise
        return True
    finally:
        client.remove_object(bucket, key)


def _write(client: Minio, bucket: str, key: str, text: str, sse: Sse | None) -> None:
    content = text.encode()
    client.put_object(bucket, key, io.BytesIO(content), len(content), sse=sse)


def _content(client: Minio, bucket: str, key: str) -> str | None:
    try:
        response = client.get_object(bucket, key)
    except S3_ERRORS as error:
        if explain(error).kind is Kind.MISSING:
            return None
        raise
    with response:
        return response.read().decode("ascii", "replace").strip()
