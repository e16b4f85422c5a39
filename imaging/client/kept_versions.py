"""Versions of instances and what is in quarantine: listing, reading, deciding over them, and who decided."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import google_crc32c
import grpc

from imaging.client.kept_object import KeptObject, kept_object, time_of
from imaging.errors import ChecksumMismatch, Unavailable
from imaging.rpc.enum_word import enum_word
from imaging.rpc.status import domain_errors
from imaging.storage.v1 import storage_admin_pb2, storage_admin_service_pb2_grpc
from imaging.storage.v1 import storage_admin_service_pb2 as pb

Contradiction = Literal[
    "unspecified", "other_study", "other_series", "other_patient", "other_content", "stored_is_damaged"
]
VersionReason = Literal["unspecified", "stored", "corrected", "accepted"]
_LARGEST_PAGE = 1000


@dataclass(frozen=True, slots=True)
class QuarantinedInstance:
    """An instance that contradicts what is stored under its SOP Instance UID."""

    name: str
    """`quarantinedInstances/{id}`."""

    claimed_instance: str
    """The name that it would have."""

    reason: Contradiction
    object: KeptObject
    """Its bytes; `object.instance` is what is stored under its UID, empty if nothing is."""


@dataclass(frozen=True, slots=True)
class InstanceVersion:
    """A version of an instance: the one that is served, or one that was replaced."""

    name: str
    reason: VersionReason
    origin_run: str
    """Which run has made it; empty for what was received."""

    object: KeptObject


@dataclass(frozen=True, slots=True)
class ServedVersion:
    """Which version of an instance is served."""

    instance: str
    version: int


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Somebody took something away, brought it back, or decided over it."""

    time: datetime | None
    action: str
    """`delete`, `restore`, `purge`, `hold`, `release`, `restore_version`, `accept` or `discard`."""

    names: tuple[str, ...]
    """To what. A quarantined instance is followed by the instance that it became, or claimed to be."""

    peer: str
    """Address of the caller; empty: the service itself."""

    reason: str


class AsyncKeptVersions:
    """What the administration of storage does with versions and quarantined instances."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._admin: storage_admin_service_pb2_grpc.StorageAdminServiceAsyncStub = (
            storage_admin_service_pb2_grpc.StorageAdminServiceStub(channel)
        )

    async def quarantined(self, parent: str = "") -> AsyncGenerator[QuarantinedInstance]:
        """What is in quarantine, newest first.

        Parameters
        ----------
        parent
            A study, series or instance: what claims to be of it, and what contradicts one of its instances.
        """
        request = pb.ListQuarantinedInstancesRequest(parent=parent, page_size=_LARGEST_PAGE)
        while True:
            with domain_errors(parent or "storage"):
                page = await self._admin.ListQuarantinedInstances(request)
            for message in page.quarantined_instances:
                yield _quarantined(message)
            request.page_token = page.next_page_token
            if not page.next_page_token:
                return

    async def quarantined_instance(self, name: str) -> QuarantinedInstance:
        """One of them, by `quarantinedInstances/{id}` or the id."""
        name = _quarantine_name(name)
        with domain_errors(name):
            answer = await self._admin.GetQuarantinedInstance(pb.GetQuarantinedInstanceRequest(name=name))
        return _quarantined(answer.quarantined_instance)

    async def accept(self, name: str, *, reason: str = "", etag: str = "") -> ServedVersion:
        """Serve a quarantined instance as the newest version of the instance of its UID; the one before is kept.

        Parameters
        ----------
        reason
            Why, for the audit; no patient data.
        etag
            Of the stored instance that it was compared with: if that has changed since, nothing happens.

        Raises
        ------
        FailedPrecondition
            If it was discarded, or the etag is another one by now.
        OnHold
            If the instance would leave a study that is under legal hold.
        """
        name = _quarantine_name(name)
        request = pb.AcceptQuarantinedInstanceRequest(name=name, reason=reason, etag=etag)
        with domain_errors(name):
            instance = (await self._admin.AcceptQuarantinedInstance(request)).instance
        return ServedVersion(instance.name, instance.version)

    async def discard(self, name: str, *, reason: str = "") -> None:
        """Forget a quarantined instance with its bytes.

        Raises
        ------
        FailedPrecondition
            If it was accepted.
        OnHold
            If the study that it names, or that of the stored instance, is under legal hold.
        """
        name = _quarantine_name(name)
        with domain_errors(name):
            await self._admin.DiscardQuarantinedInstance(pb.DiscardQuarantinedInstanceRequest(name=name, reason=reason))

    async def restore_version(self, name: str, *, reason: str = "", etag: str = "") -> ServedVersion:
        """Serve another version, `…/instances/{uid}/versions/{version}`; parameters and errors as for `accept`."""
        request = pb.RestoreInstanceVersionRequest(name=name, reason=reason, etag=etag)
        with domain_errors(name):
            instance = (await self._admin.RestoreInstanceVersion(request)).instance
        return ServedVersion(instance.name, instance.version)

    async def versions(self, instance: str) -> AsyncGenerator[InstanceVersion]:
        """The versions of `studies/{uid}/series/{uid}/instances/{uid}` that are kept, newest first."""
        request = pb.ListInstanceVersionsRequest(parent=instance, page_size=_LARGEST_PAGE)
        while True:
            with domain_errors(instance):
                page = await self._admin.ListInstanceVersions(request)
            for message in page.instance_versions:
                yield _version(message)
            request.page_token = page.next_page_token
            if not page.next_page_token:
                return

    async def audit(self, *, limit: int | None = None) -> AsyncGenerator[AuditEntry]:
        """Who took something away, brought it back or decided over it, newest first; None: all of it."""
        left = limit
        request = pb.ListAuditEntriesRequest()
        while left is None or left > 0:
            request.page_size = _LARGEST_PAGE if left is None else min(left, _LARGEST_PAGE)
            with domain_errors("storage"):
                page = await self._admin.ListAuditEntries(request)
            for message in page.audit_entries:
                yield _audit_entry(message)
            left = None if left is None else left - len(page.audit_entries)
            request.page_token = page.next_page_token
            if not page.next_page_token:
                return

    async def read_object(self, name: str) -> AsyncGenerator[bytes]:
        """The bytes of a version or of a quarantined instance, as they were sent, in pieces.

        They are those that were stored only if this ends without an error.

        Raises
        ------
        DataLoss
            If the stored bytes are not those that were sent.
        ChecksumMismatch
            If bytes changed on the way.
        """
        name = name if "/" in name else _quarantine_name(name)
        crc, size, finished = 0, 0, False
        with domain_errors(name):
            async for message in self._admin.ReadObject(pb.ReadObjectRequest(name=name)):
                content = message.data.content
                crc, size = google_crc32c.extend(crc, content), size + len(content)
                if message.data.offset + len(content) != size:
                    raise ChecksumMismatch("A part of the object is missing", where=name, hint="Fetch it again.")
                yield content
                if message.HasField("finish"):
                    finished = message.finish.object_crc32c == crc
                    if not finished:
                        raise ChecksumMismatch("Bytes changed on the way", where=name, hint="Fetch it again.")
        if not finished:
            raise Unavailable("Storage ended the stream in the middle of an object", where=name)


def _quarantine_name(name: str) -> str:
    return name if "/" in name else f"quarantinedInstances/{name}"


def _quarantined(message: storage_admin_pb2.QuarantinedInstance) -> QuarantinedInstance:
    reason = _word(storage_admin_pb2.QuarantinedInstance.Reason, message.reason)
    return QuarantinedInstance(message.name, message.claimed_instance, reason, kept_object(message.object))


def _version(message: storage_admin_pb2.InstanceVersion) -> InstanceVersion:
    reason = _word(storage_admin_pb2.InstanceVersion.Reason, message.reason)
    return InstanceVersion(message.name, reason, message.origin.run, kept_object(message.object))


def _audit_entry(message: storage_admin_pb2.AuditEntry) -> AuditEntry:
    action = enum_word(storage_admin_pb2.AuditEntry.Action, message.action, "ACTION_").lower()
    return AuditEntry(time_of(message.create_time), action, tuple(message.names), message.peer, message.reason)


def _word(enumeration: Any, value: int) -> Any:  # one of the literals, which are the names of the enumeration
    return enum_word(enumeration, value, "REASON_").lower()
