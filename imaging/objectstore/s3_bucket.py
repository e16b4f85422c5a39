"""The bucket before its first use: there, ours, writable, and known in what it can do."""

from __future__ import annotations

import io
import logging
import os
import secrets
from pathlib import Path
from typing import Final

from minio import Minio
from minio.error import S3Error
from minio.sse import Sse

from imaging.errors import FailedPrecondition
from imaging.objectstore.folder_sync import DurableFolders
from imaging.objectstore.os_failure import os_failures
from imaging.objectstore.s3_failure import S3_ERRORS, Kind, explain

_MARKER: Final = ".imaging-installation"
_PROBE: Final = ".imaging-probe"
"""Keys that start with a dot are none of `ObjectStore`: nothing lists or reads them."""

_log = logging.getLogger(__name__)


def open_bucket(client: Minio, bucket: str, identity_file: Path, sse: Sse | None) -> bool:
    """Look at the bucket, make it if there is none; whether it refuses to write a key twice (`If-None-Match`).

    A bucket belongs to one installation, because objects that an index does not know are swept from it: that of
    another index, or of one that was lost, would be emptied. `identity_file` and an object in the bucket hold the same
    random word; the file belongs to the index and has to be kept with it.

    Raises
    ------
    SettingsInvalid
        If the bucket is missing and may not be made, or keys, rights, clock, region or encryption are not right.
    FailedPrecondition
        If the bucket belongs to another installation.
    Unavailable, StorageFull
        If the object store does not answer, or has no room.
    """
    try:
        if not _exists(client, bucket):
            _make(client, bucket)
        _check_owner(client, bucket, identity_file, sse)
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
        next(iter(client.list_objects(bucket, prefix=_MARKER)), None)
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


def _check_owner(client: Minio, bucket: str, identity_file: Path, sse: Sse | None) -> None:
    ours = identity_file.read_text().strip() if identity_file.exists() else ""
    marked = _content(client, bucket, _MARKER)
    if marked is None and next(iter(client.list_objects(bucket)), None) is None:
        ours = ours or secrets.token_hex(16)
        _keep_identity(identity_file, ours)
        try:
            _write(client, bucket, _MARKER, ours, sse)
        except S3_ERRORS as error:
            if explain(error).kind is not Kind.TAKEN:
                raise
        marked = _content(client, bucket, _MARKER)
    if not ours or marked != ours:
        raise FailedPrecondition(
            "The bucket belongs to another installation, or holds other objects",
            where="storage.s3_bucket",
            hint=f"Name an empty bucket of its own. To use this one with a restored index, restore {identity_file} too;"
            f" it holds what the object {_MARKER} of the bucket holds.",
        )


def _keep_identity(file: Path, identity: str) -> None:
    with os_failures("writing the bucket's identity"):
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("w") as writer:
            writer.write(f"{identity}\n")
            writer.flush()
            os.fsync(writer.fileno())
        DurableFolders(file.parent).sync(file.parent)


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
