"""What a DICOMweb path names (PS3.18 10.1): a study, series or instance, and which resource of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from imaging.dicom.uid import validate_uid
from imaging.errors import InvalidArgument, NotFound

ROOT: Final = "/dicom-web"

COLLECTIONS = ("studies", "series", "instances")
_SINGULAR = ("study", "series", "instance")
MAX_FRAMES = 10_000
"""Frame numbers of one request."""

_FRAMES = re.compile(r"[1-9][0-9]{0,8}(?:,[1-9][0-9]{0,8})*\Z")


@dataclass(frozen=True, slots=True)
class Target:
    """A resource."""

    uids: tuple[str, ...] = ()
    """Study, series and SOP Instance UID, as many as are given."""

    resource: str = ""
    """`metadata`, `rendered`, `frames/rendered`, …; `search/series` for a search below; empty for the thing itself."""

    frame_numbers: tuple[int, ...] = ()
    """Count from 1."""

    path: str = ""
    """Of a bulk value: tag, or tag/item/tag."""

    @property
    def name(self) -> str:
        """The resource name in storage, `studies/{uid}/…`; empty for all studies."""
        return "/".join(f"{collection}/{uid}" for collection, uid in zip(COLLECTIONS, self.uids, strict=False))

    @property
    def level(self) -> int:
        """0 all studies, 1 study, 2 series, 3 instance."""
        return len(self.uids)

    @property
    def route(self) -> str:
        """The path with placeholders for all that is not ours."""
        above = "".join(
            f"/{collection}/{{{singular}}}" for collection, singular in zip(COLLECTIONS, _SINGULAR, strict=True)
        )
        parts = above.split("/")[: 1 + 2 * self.level]
        tail = {
            "bulkdata": "bulkdata/{path}",
            "frames": "frames/{list}",
            "frames/rendered": "frames/{list}/rendered",
            "frames/thumbnail": "frames/{list}/thumbnail",
        }.get(self.resource, self.resource.removeprefix("search/"))
        return "/".join([*parts, tail]) if tail else "/".join(parts)


def parse_target(segments: Sequence[str]) -> Target:
    """The target of a path below the service's root, split at its slashes.

    Raises
    ------
    NotFound
        If there is no such resource.
    InvalidArgument
        If a UID or a list of frames is none.
    """
    if segments and not segments[-1]:
        segments = segments[:-1]
    uids: list[str] = []
    position = 0
    while position < len(segments) and len(uids) < 3 and segments[position] == COLLECTIONS[len(uids)]:
        if position + 1 == len(segments):
            break
        uids.append(validate_uid(segments[position + 1], where=f"{COLLECTIONS[len(uids)]} in the path"))
        position += 2
    tail = segments[position:]
    found = _resource(tuple(uids), tail)
    if found is None:
        raise NotFound(
            "There is no such resource",
            where="path",
            hint="Paths are those of PS3.18, e.g. /studies/{uid}/series/{uid}/metadata.",
        )
    return found


def _resource(uids: tuple[str, ...], tail: Sequence[str]) -> Target | None:
    level = len(uids)
    if not tail:
        return Target(uids)
    first = tail[0]
    if len(tail) == 1:
        if first in COLLECTIONS[level:]:
            return Target(uids, f"search/{first}")
        if level and first in ("metadata", "rendered", "thumbnail"):
            return Target(uids, first)
    if level == 3 and first == "frames" and 2 <= len(tail) <= 3:
        inner = tail[2] if len(tail) == 3 else ""
        if inner not in ("", "rendered", "thumbnail"):
            return None
        return Target(uids, f"frames/{inner}" if inner else "frames", _frame_numbers(tail[1]))
    if level == 3 and first == "bulkdata" and len(tail) > 1:
        return Target(uids, "bulkdata", path="/".join(tail[1:]))
    return None


def _frame_numbers(text: str) -> tuple[int, ...]:
    if not _FRAMES.match(text) or text.count(",") >= MAX_FRAMES:
        raise InvalidArgument(
            "The list of frames cannot be read",
            where="frames in the path",
            hint=f"Give up to {MAX_FRAMES} numbers that count from 1, with commas between.",
        )
    return tuple(map(int, text.split(",")))
