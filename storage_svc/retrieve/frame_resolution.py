"""How much of a progressive frame a caller asks for: a prefix that is a smaller image, or what follows after it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import google_crc32c

from imaging.codecs.resolution_levels import MAX_LEVEL, resolution_prefixes
from imaging.dicom.transfer_syntax import HTJ2K_LOSSLESS_RPCL
from imaging.errors import InvalidArgument
from imaging.storage.v1 import storage_service_pb2 as pb
from storage_svc.retrieve.frame_source import Bytes


@dataclass(frozen=True, slots=True)
class FrameResolution:
    """The bytes between those of one resolution level and those of a finer one."""

    level: int
    after: int
    """0: from the first byte on."""

    @classmethod
    def of(cls, request: pb.RetrieveFramesRequest) -> FrameResolution | None:
        """What the request asks for; None for whole frames.

        Raises
        ------
        InvalidArgument
            If there is no such level, or nothing between the two.
        """
        level, after = request.resolution_level, request.after_resolution_level
        for name, value in (("resolution_level", level), ("after_resolution_level", after)):
            if not 0 <= value <= MAX_LEVEL:
                raise InvalidArgument(
                    f"There is no resolution level {value}", where=name, hint=f"Levels are 0 to {MAX_LEVEL}."
                )
        if after and after <= level:
            raise InvalidArgument(
                f"Nothing comes after level {after} on the way to level {level}",
                where="after_resolution_level",
                hint="The finer a level, the smaller its number: 0 is the whole frame.",
            )
        return cls(level, after) if level or after else None

    def wants_progressive(self, stored_uid: str, accept: Collection[str]) -> bool:
        """Whether a frame of that transfer syntax is to be encoded anew, so that it has levels."""
        return HTJ2K_LOSSLESS_RPCL in accept and stored_uid != HTJ2K_LOSSLESS_RPCL

    def cut(
        self, header: pb.RetrieveFramesResponse.Header, content: Bytes
    ) -> tuple[pb.RetrieveFramesResponse.Header, Bytes]:
        """The header and the bytes that are sent."""
        prefixes = resolution_prefixes(
            content if isinstance(content, bytes) else content.data, header.transfer_syntax_uid
        )
        smallest = len(prefixes) - 1
        level = min(self.level, smallest)
        first = prefixes[min(self.after, smallest)] if self.after else 0
        sent = content[first : prefixes[level]]
        header.resolution_level = level
        header.first_byte = first
        header.size_bytes = len(sent)
        header.frame_size_bytes = len(content)
        header.frame_crc32c = google_crc32c.value(content)
        return header, sent
