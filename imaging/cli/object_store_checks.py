"""Check of the object store: where it is, and whether it can be used with the settings."""

from __future__ import annotations

import time
from collections.abc import Iterator

from imaging.cli.check import Check
from imaging.errors import ImagingError
from imaging.settings import Settings
from imaging.settings.s3 import s3_access


def object_store_checks(settings: Settings) -> Iterator[Check]:
    """The S3 bucket, if the settings name one; it is asked, and not changed."""
    try:
        access = s3_access(settings)
        if access is None:
            return
        from imaging.objectstore.s3_bucket import bucket_exists  # its client takes time to load

        client = access.client(1)
        began = time.perf_counter()
        exists = bucket_exists(client, access.bucket)
    except ImagingError as error:
        where = f" (at {error.where})" if error.where else ""
        yield Check("objects", "S3 bucket", "failed", f"{error.what}{where}", error.hint)
        return
    place = f"{access.bucket} on {access.endpoint}"
    if exists:
        yield Check("objects", "S3 bucket", "ok", f"{place} answers in {(time.perf_counter() - began) * 1000:.0f} ms")
    else:
        hint = "The storage service makes it at its start, if the keys allow it."
        yield Check("objects", "S3 bucket", "warning", f"{place} does not exist yet", hint)
