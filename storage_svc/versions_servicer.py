"""The part of the gRPC face by which versions and quarantine are listed, read and decided over; the audit."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from functools import partial
from typing import Any

import grpc

from imaging.rpc.page_token import decode_token, encode_token, page_size, query_digest
from imaging.storage.v1 import storage_admin_service_pb2 as pb
from imaging.storage.v1 import storage_admin_service_pb2_grpc as pb_grpc
from storage_svc import resources
from storage_svc.admin_parts import AdminParts
from storage_svc.caller import asked_by
from storage_svc.lifecycle.audit import audit_entries, audit_entry
from storage_svc.names import parse_name
from storage_svc.versions.instance_versions import instance_version, instance_versions
from storage_svc.versions.kept_name import parse_quarantine_name, parse_version_name
from storage_svc.versions.quarantine import quarantined_instance, quarantined_instances, require_quarantined
from storage_svc.versions.read_object import read_object

Context = grpc.aio.ServicerContext[Any, Any]


class VersionsServicer(pb_grpc.StorageAdminServiceServicer):
    """Implements what `imaging.storage.v1.StorageAdminService` has for versions, quarantine and audit."""

    def __init__(self, parts: AdminParts) -> None:
        self._parts = parts

    async def ListQuarantinedInstances(
        self, request: pb.ListQuarantinedInstancesRequest, context: Context
    ) -> pb.ListQuarantinedInstancesResponse:
        parent = parse_name(request.parent) if request.parent else None
        size, digest = page_size(request.page_size), query_digest("quarantine", request.parent)
        position = decode_token(request.page_token, digest, (int, str))
        before = (int(position[0]), str(position[1])) if position else None
        rows = await self._parts.database.read(
            partial(quarantined_instances, parent=parent, before=before, limit=size + 1)
        )
        more = len(rows) > size
        last = (rows[size - 1]["create_time"], rows[size - 1]["object_key"]) if more else ()
        return pb.ListQuarantinedInstancesResponse(
            quarantined_instances=map(quarantined_instance, rows[:size]),
            next_page_token=encode_token(last, digest) if more else "",
        )

    async def GetQuarantinedInstance(
        self, request: pb.GetQuarantinedInstanceRequest, context: Context
    ) -> pb.GetQuarantinedInstanceResponse:
        wanted = parse_quarantine_name(request.name)
        row = await self._parts.database.read(partial(require_quarantined, wanted_id=wanted))
        return pb.GetQuarantinedInstanceResponse(quarantined_instance=quarantined_instance(row))

    async def AcceptQuarantinedInstance(
        self, request: pb.AcceptQuarantinedInstanceRequest, context: Context
    ) -> pb.AcceptQuarantinedInstanceResponse:
        wanted, asked = parse_quarantine_name(request.name), asked_by(context, request.reason)
        row = await self._parts.decisions.accept(wanted, asked, expected_etag=request.etag)
        return pb.AcceptQuarantinedInstanceResponse(instance=resources.instance(row))

    async def DiscardQuarantinedInstance(
        self, request: pb.DiscardQuarantinedInstanceRequest, context: Context
    ) -> pb.DiscardQuarantinedInstanceResponse:
        wanted, asked = parse_quarantine_name(request.name), asked_by(context, request.reason)
        await self._parts.decisions.discard(wanted, asked)
        return pb.DiscardQuarantinedInstanceResponse()

    async def ListInstanceVersions(
        self, request: pb.ListInstanceVersionsRequest, context: Context
    ) -> pb.ListInstanceVersionsResponse:
        instance = parse_name(request.parent, 3)
        size, digest = page_size(request.page_size), query_digest("versions", request.parent)
        position = decode_token(request.page_token, digest, (int,))
        before = int(position[0]) if position else None
        rows = await self._parts.database.read(
            partial(instance_versions, instance=instance, before=before, limit=size + 1)
        )
        more = len(rows) > size
        return pb.ListInstanceVersionsResponse(
            instance_versions=map(instance_version, rows[:size]),
            next_page_token=encode_token((rows[size - 1]["version"],), digest) if more else "",
        )

    async def RestoreInstanceVersion(
        self, request: pb.RestoreInstanceVersionRequest, context: Context
    ) -> pb.RestoreInstanceVersionResponse:
        instance, version = parse_version_name(request.name)
        asked, decisions = asked_by(context, request.reason), self._parts.decisions
        row = await decisions.restore_version(instance, version, asked, expected_etag=request.etag)
        return pb.RestoreInstanceVersionResponse(instance=resources.instance(row))

    async def ListAuditEntries(
        self, request: pb.ListAuditEntriesRequest, context: Context
    ) -> pb.ListAuditEntriesResponse:
        size, digest = page_size(request.page_size), query_digest("audit")
        position = decode_token(request.page_token, digest, (int,))
        before = int(position[0]) if position else 0
        rows = await self._parts.database.read(partial(audit_entries, before=before, limit=size + 1))
        more = len(rows) > size
        return pb.ListAuditEntriesResponse(
            audit_entries=map(audit_entry, rows[:size]),
            next_page_token=encode_token((rows[size - 1]["id"],), digest) if more else "",
        )

    async def ReadObject(
        self, request: pb.ReadObjectRequest, context: Context
    ) -> AsyncGenerator[pb.ReadObjectResponse]:
        parts = self._parts
        messages = read_object(parts.database, parts.store, parts.record, parts.readers, request.name)
        async for message in messages:
            yield message
