"""What the header and the finish of an upload announce."""

from __future__ import annotations

from dataclasses import dataclass, replace

from imaging.dicom.limits import DEFAULT_LIMITS
from imaging.dicom.uid import validate_uid
from imaging.errors import InvalidArgument, LimitExceeded
from imaging.storage.v1 import storage_pb2
from imaging.storage.v1 import storage_service_pb2 as pb
from storage_svc.ingest.examine import Expected
from storage_svc.ingest.origin import DERIVED, FROM_OUTSIDE, RECEIVED, OriginOf

MAX_ORIGIN_LENGTH = 256
"""Characters of run and of stage: they come back in errors, and those must fit into gRPC's trailers."""


@dataclass(frozen=True, slots=True)
class Announced:
    """What the sender says of an upload."""

    size_bytes: int
    """0 while `size_follows`."""
    expected: Expected = Expected()  # noqa: RUF009 - immutable
    source: str = ""
    origin: OriginOf = FROM_OUTSIDE
    size_follows: bool = False
    """The finish tells the size."""

    @property
    def most_bytes(self) -> int:
        """No more may come."""
        return DEFAULT_LIMITS.max_file_bytes if self.size_follows else self.size_bytes


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
    if header.size_follows and header.size_bytes:
        raise InvalidArgument(
            "The header declares a size and says that it follows", where="header.size_follows", hint="Do one of both."
        )
    for field, uid in (
        ("study_instance_uid", header.study_instance_uid),
        ("sop_instance_uid", header.sop_instance_uid),
        ("sop_class_uid", header.sop_class_uid),
    ):
        if uid:
            validate_uid(uid, where=f"header.{field}", name="The expected UID")
    return Announced(
        size_bytes=header.size_bytes,
        expected=Expected(
            object_crc32c=header.object_crc32c if header.HasField("object_crc32c") else None,
            study_instance_uid=header.study_instance_uid,
            sop_instance_uid=header.sop_instance_uid,
            headerless_transfer_syntax_uid=header.headerless_transfer_syntax_uid,
            sop_class_uid=header.sop_class_uid,
        ),
        source=header.source.replace("\0", "")[:256],  # AE titles are padded with it, and PostgreSQL takes none
        origin=_origin(header.origin),
        size_follows=header.size_follows,
    )


def _origin(origin: storage_pb2.Origin) -> OriginOf:
    if origin.kind in (storage_pb2.Origin.KIND_UNSPECIFIED, RECEIVED):
        return OriginOf(RECEIVED)
    if origin.kind != DERIVED:  # of a newer contract: taken as received, it would start a run that nobody wants
        raise InvalidArgument(
            f"The kind of origin {origin.kind} is unknown", where="header.origin.kind", hint="Use RECEIVED or DERIVED."
        )
    if max(len(origin.run), len(origin.stage)) > MAX_ORIGIN_LENGTH:
        raise InvalidArgument(
            f"Run or stage has more than {MAX_ORIGIN_LENGTH} characters", where="header.origin", hint="Shorten it."
        )
    if "\0" in origin.run + origin.stage:
        raise InvalidArgument(
            "Run or stage holds a null character", where="header.origin", hint="Use the names that the pipeline gave."
        )
    return OriginOf(DERIVED, origin.run, origin.stage, origin.attempt)


def finished_by(announced: Announced, finish: pb.StoreInstancesRequest.Finish) -> Announced:
    """The announcement with what the finish tells: checksum, and size where that was left to it.

    Raises
    ------
    InvalidArgument
        If header and finish tell different things.
    """
    if finish.size_bytes and not announced.size_follows and finish.size_bytes != announced.size_bytes:
        raise InvalidArgument(
            "Header and finish declare different sizes", where="finish.size_bytes", hint="Tell it once."
        )
    if announced.size_follows:
        announced = replace(announced, size_bytes=finish.size_bytes, size_follows=False)
    if not finish.HasField("object_crc32c"):
        return announced
    if announced.expected.object_crc32c not in (None, finish.object_crc32c):
        raise InvalidArgument(
            "Header and finish declare different checksums", where="finish.object_crc32c", hint="Tell it once."
        )
    return replace(announced, expected=announced.expected._replace(object_crc32c=finish.object_crc32c))
