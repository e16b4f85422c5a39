"""The type of the storage stub over an aio channel; it exists for type checkers only."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from imaging.storage.v1.storage_service_pb2_grpc import StorageServiceAsyncStub

    StorageStub: TypeAlias = StorageServiceAsyncStub
