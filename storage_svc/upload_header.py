"""What the header and the finish of an upload announce."""

from __future__ import annotations

from dataclasses import replace

from imaging.dicom.limits import DEFAULT_LIMITS
from imaging.errors import InvalidArgument, LimitExceeded
from imaging.storage.v1 import storage_service_pb2 as pb
from storage_svc.arrival import DERIVED, RECEIVED, OriginOf
from storage_svc.examine import Announced


def announced_by(header: pb.StoreInstancesRequest.Header) -> Announced:
    """What a header says.

    Raises
    ------
    LimitExceeded
        If the object is too large.
    InvalidArgument
        If the header contradicts itself.
    """
    if header.size_bytes > DEFAULT_LIMITS.max_file_bytes:
        raise LimitExceeded(
            f"The header declares {header.size_bytes} bytes, more than {DEFAULT_LIMITS.max_file_bytes}",
            where="header.size_bytes",
            hint="Objects of up to 4 GiB are taken: split it, or send it as concatenation.",
        )
    if header.size_bytes < 0:
        raise InvalidArgument("The header declares a negative size", where="header.size_bytes", hint="Correct it.")
    origin = header.origin
    derived = origin.kind == DERIVED
    return Announced(
        size_bytes=header.size_bytes,
        object_crc32c=header.object_crc32c if header.HasField("object_crc32c") else None,
        study_instance_uid=header.study_instance_uid,
        sop_instance_uid=header.sop_instance_uid,
        source=header.source[:256],
        origin=OriginOf(DERIVED, origin.run, origin.stage, origin.attempt) if derived else OriginOf(RECEIVED),
        headerless_transfer_syntax_uid=header.headerless_transfer_syntax_uid,
    )


def with_crc(announced: Announced, crc32c: int | None) -> Announced:
    """The announcement with the checksum that came with the finish.

    Raises
    ------
    InvalidArgument
        If header and finish tell different ones.
    """
    if crc32c is None:
        return announced
    if announced.object_crc32c not in (None, crc32c):
        raise InvalidArgument(
            "Header and finish declare different checksums", where="finish.object_crc32c", hint="Tell it once."
        )
    return replace(announced, object_crc32c=crc32c)
