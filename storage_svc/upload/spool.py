"""The spool: uploads in chunks, resumable after a break or a restart when they are over 8 MiB."""

from __future__ import annotations

import asyncio
import re
import secrets
import shutil
import time
import uuid
from collections.abc import Sequence, Set
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, delete, select, update

from imaging.database import Database, clock
from imaging.database.insert_new import insert_new
from imaging.dicom.uid import is_valid_uid
from imaging.errors import FailedPrecondition, ImagingError, StorageFull
from imaging.objectstore.os_failure import os_failures
from storage_svc.schema import UPLOAD
from storage_svc.upload.header import Announced
from storage_svc.upload.open_uploads import OpenUploads
from storage_svc.upload.spooled import SpooledUpload

RESUMABLE_BYTES = 8 * 1024 * 1024
"""Larger uploads can be resumed; smaller ones are sent again."""

RESUME_SECONDS = 60.0
"""How long a broken resumable upload holds its study: a sender that lives comes back within this."""

_STUDY = re.compile(rb"\x20\x00\x0d\x00(?:UI[\x00-\x40]\x00|[\x00-\x40]\x00\x00\x00)([0-9.]{1,64})", re.DOTALL)


def is_resumable(upload_id: str, size_bytes: int) -> bool:
    """True for a large upload under a UUID: other ids are not unique between senders."""
    if size_bytes <= RESUMABLE_BYTES:
        return False
    try:
        return str(uuid.UUID(upload_id)) == upload_id.lower()
    except ValueError:
        return False


def study_hint(first_bytes: bytes) -> str:
    """The Study Instance UID that an upload seems to have, before it can be scanned; empty if none is seen.

    Only good for holding that study's quiet time.
    """
    match = _STUDY.search(first_bytes)
    uid = match[1].decode("ascii") if match else ""
    return uid if is_valid_uid(uid) else ""


def is_awaited(connection: Connection, study_instance_uid: str) -> bool:
    """True if a resumable upload of the study goes on, or was broken off lately, in whatever process."""
    since = clock.now() - int(RESUME_SECONDS * 1_000_000)
    own = (UPLOAD.c.study_instance_uid == study_instance_uid) & (UPLOAD.c.update_time >= since)
    return connection.execute(select(UPLOAD.c.upload_id).where(own).limit(1)).first() is not None


async def _unlink(path: Path) -> None:
    """Remove a file that nobody needs; one that cannot go now, as on a disk that fails, goes at the next start."""
    with suppress(OSError):
        await asyncio.to_thread(path.unlink, missing_ok=True)


class UploadSpool:
    """Opens, resumes and forgets spooled uploads."""

    def __init__(self, database: Database, folder: Path, open_uploads: OpenUploads) -> None:
        self._database = database
        self._folder = folder
        self._open_uploads = open_uploads
        self._live: dict[str, SpooledUpload] = {}

    async def open(self, upload_id: str, announced: Announced) -> SpooledUpload:
        """The upload, ready for its next chunk at `persisted_bytes`.

        An earlier stream that still holds it loses it: the sender has come back before we saw it leave.

        Raises
        ------
        FailedPrecondition
            If an upload of another size is known under this id.
        StorageFull
            If there is less room than it needs: told before its bytes are sent.
        Overloaded, Unavailable
            If it cannot be begun now, or another process is receiving it.
        """
        if not is_resumable(upload_id, announced.size_bytes):
            self._require_room(announced.size_bytes)
            upload = SpooledUpload(self._folder / f"once-{secrets.token_hex(8)}", announced)
        else:
            while True:
                while (before := self._live.pop(upload_id, None)) is not None:
                    await self._keep(upload_id, before)
                name, persisted = await self._recorded(upload_id, announced)
                if upload_id not in self._live:
                    break
            # Nothing is awaited from here on, so that no second stream can open the same file in between.
            self._require_room(announced.size_bytes - persisted)
            upload = SpooledUpload(self._folder / name, announced, persisted)
            self._live[upload_id] = upload
        if announced.expected.study_instance_uid:
            self.hold(upload, announced.expected.study_instance_uid)
        return upload

    def _require_room(self, size_bytes: int) -> None:
        with os_failures("receiving an upload", self._folder):
            free = shutil.disk_usage(self._folder).free
        if size_bytes > free:
            raise StorageFull(
                f"The disk has {free} bytes left, the upload needs {size_bytes}",
                where=str(self._folder),
                hint="Free or add space, then send it again.",
            )

    def hold(self, upload: SpooledUpload, study_instance_uid: str) -> None:
        """Hold the study that the upload is of, until it is let go."""
        if study_instance_uid and not upload.study_hint:
            upload.study_hint = study_instance_uid
            self._open_uploads.enter(study_instance_uid)

    async def persist(self, upload_id: str, upload: SpooledUpload) -> int:
        """Make what was received durable and record it; its size in bytes."""
        persisted = await upload.persist()
        values: dict[str, Any] = {"persisted_bytes": persisted, "update_time": clock.now()}
        if upload.study_hint:
            values["study_instance_uid"] = upload.study_hint

        def write(connection: Connection) -> None:
            connection.execute(update(UPLOAD).where(UPLOAD.c.upload_id == upload_id).values(**values))

        await self._database.write(write)
        return persisted

    async def let_go(self, upload_id: str, upload: SpooledUpload, *, refused: ImagingError | None = None) -> None:
        """The stream broke: keep a resumable upload for when its sender comes back, drop any other.

        Parameters
        ----------
        refused
            Why, if it was refused. For want of room it is dropped in any case: what it has would be in others' way.
        """
        if isinstance(refused, StorageFull):
            with suppress(ImagingError):  # its row stays, and has nothing to go on with
                await self.forget(upload_id, upload)
            return
        resumable = is_resumable(upload_id, upload.announced.size_bytes)
        if self._live.get(upload_id) is upload:
            await self._keep(upload_id, upload)
        else:
            await upload.close()
        self._leave(upload)
        if self._live.get(upload_id) is upload:
            del self._live[upload_id]
        if upload.is_whole or not resumable:
            await _unlink(upload.path)

    async def _keep(self, upload_id: str, upload: SpooledUpload) -> None:
        """Close a resumable upload; what came of it since it was last persisted need not come again."""
        if upload.written_bytes > upload.persisted_bytes:
            with suppress(ImagingError):  # it goes on from where it was persisted before
                await self.persist(upload_id, upload)
        await upload.close()

    async def forget(self, upload_id: str, upload: SpooledUpload) -> None:
        """The upload has its outcome: nothing of it is needed any more."""
        await upload.close()
        self._leave(upload)
        if self._live.get(upload_id) is upload:
            del self._live[upload_id]
        await _unlink(upload.path)
        if is_resumable(upload_id, upload.announced.size_bytes):

            def write(connection: Connection) -> None:
                connection.execute(delete(UPLOAD).where(UPLOAD.c.upload_id == upload_id))

            await self._database.write(write)

    def _leave(self, upload: SpooledUpload) -> None:
        if upload.study_hint:
            self._open_uploads.leave(upload.study_hint)
            upload.study_hint = ""

    async def _recorded(self, upload_id: str, announced: Announced) -> tuple[str, int]:
        new = {
            "upload_id": upload_id,
            "size_bytes": announced.size_bytes,
            "persisted_bytes": 0,
            "spool_name": f"part-{secrets.token_hex(8)}",
            "study_instance_uid": announced.expected.study_instance_uid,
            "update_time": clock.now(),
        }

        def write(connection: Connection) -> tuple[str, int]:
            if not insert_new(connection, UPLOAD, [new]):
                # Goes on: other processes must neither complete its study nor let it expire.
                own = (UPLOAD.c.upload_id == upload_id) & (UPLOAD.c.size_bytes == announced.size_bytes)
                connection.execute(update(UPLOAD).where(own).values(update_time=new["update_time"]))
            row = connection.execute(select(UPLOAD).where(UPLOAD.c.upload_id == upload_id)).mappings().one()
            if row["size_bytes"] != announced.size_bytes:
                raise FailedPrecondition(
                    f"An upload of {row['size_bytes']} bytes is known under this upload_id",
                    where=upload_id,
                    hint="Use a new upload_id for another object.",
                )
            return row["spool_name"], row["persisted_bytes"]

        return await self._database.write(write)

    async def sweep(self, expiry: timedelta) -> int:
        """Drop uploads that nobody has gone on with for `expiry`, and files of none; the number of uploads dropped."""
        live = set(self._live)
        live_files = {upload.path.name for upload in self._live.values()}

        def expire(connection: Connection) -> tuple[int, set[str]]:
            before = clock.now() - clock.microseconds(expiry)
            old = (UPLOAD.c.update_time < before) & UPLOAD.c.upload_id.not_in(live)
            dropped = connection.execute(delete(UPLOAD).where(old)).rowcount
            return dropped, set(connection.execute(select(UPLOAD.c.spool_name)).scalars())

        dropped, kept = await self._database.write(expire)
        # A file that is younger may be of an upload that began since the look at the database.
        await asyncio.to_thread(self._remove, ["part-*"], expiry, kept | live_files)
        return dropped

    def remove_left_over(self, older_than: timedelta) -> None:
        """Files of uploads that cannot be resumed, and copies made for comparing, that nobody has written to lately."""
        self._remove(["once-*", "whole-*", "compare-*"], older_than, set())

    def _remove(self, patterns: Sequence[str], older_than: timedelta, kept: Set[str]) -> None:
        before = time.time() - older_than.total_seconds()
        for pattern in patterns:
            for path in self._folder.glob(pattern):
                with suppress(FileNotFoundError):
                    if path.name not in kept and path.stat().st_mtime <= before:
                        path.unlink()
