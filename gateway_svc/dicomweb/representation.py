"""Which form of a resource a client gets (PS3.18 8.7): lenient, because clients say what they accept in many ways."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from zlib import crc32

from gateway_svc.http.media_type import MediaType, parse_accept
from gateway_svc.http.refusals import NotAcceptable
from imaging.dicom.transfer_syntax import (
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    GE_PRIVATE_IMPLICIT,
    IMPLICIT_VR_LITTLE_ENDIAN,
    TRANSFER_SYNTAXES,
)
from imaging.errors import InvalidArgument

OCTETS: Final = "application/octet-stream"
DICOM: Final = "application/dicom"
JSON: Final = "application/dicom+json"

_LOSSY_JPEG, _JPEG_12, _JPEG_PROCESS_14, _JPEG_LOSSLESS = (f"1.2.840.10008.1.2.4.{n}" for n in (50, 51, 57, 70))
SYNTAXES_OF: Final[dict[str, tuple[str, ...]]] = {
    "image/jpeg": (_JPEG_LOSSLESS, _LOSSY_JPEG, _JPEG_12, _JPEG_PROCESS_14),
    "image/jls": ("1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81"),
    "image/jp2": ("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91"),
    "image/jpx": ("1.2.840.10008.1.2.4.92", "1.2.840.10008.1.2.4.93"),
    "image/jphc": ("1.2.840.10008.1.2.4.201", "1.2.840.10008.1.2.4.202", "1.2.840.10008.1.2.4.203"),
    "image/jxl": ("1.2.840.10008.1.2.4.110", "1.2.840.10008.1.2.4.111", "1.2.840.10008.1.2.4.112"),
    "image/dicom-rle": ("1.2.840.10008.1.2.5",),
}
"""Transfer syntaxes by the media type of their frames (PS3.18 Table 8.7.3-5)."""

_ALIASES: Final = {"image/x-jls": "image/jls", "image/x-dicom-rle": "image/dicom-rle"}

AS_STORED: Final = tuple(
    sorted(set(TRANSFER_SYNTAXES) - {EXPLICIT_VR_BIG_ENDIAN, GE_PRIVATE_IMPLICIT, IMPLICIT_VR_LITTLE_ENDIAN})
)
"""What `transfer-syntax=*` means for frames: no viewer turns words round, and native pixels are Explicit VR."""

_IMAGE_OF: Final = {syntax: name for name, syntaxes in SYNTAXES_OF.items() for syntax in syntaxes}


@dataclass(frozen=True, slots=True)
class FrameForm:
    """How frames are sent."""

    accept: tuple[str, ...]
    """Transfer syntaxes that the client takes, the one that it likes best first."""

    multipart: bool
    """False: one frame as the whole body."""

    images: frozenset[str]
    """Image media types that it takes by name."""

    def part_type(self, transfer_syntax_uid: str) -> str:
        """The Content-Type of a frame; it always tells the transfer syntax."""
        image = _IMAGE_OF.get(transfer_syntax_uid, "")
        return f"{image if image in self.images else OCTETS}; transfer-syntax={transfer_syntax_uid}"


@dataclass(frozen=True, slots=True)
class InstanceForm:
    """How whole instances are sent."""

    accept: tuple[str, ...]
    """Transfer syntaxes that the client takes; empty: as they are stored."""

    multipart: bool
    """False: one instance as the whole body."""

    @property
    def identity(self) -> str:
        """Short, and the same for the same transfer syntaxes."""
        return f"{crc32(','.join(self.accept).encode('utf-8', 'replace')):08x}"


@lru_cache(maxsize=256)
def frame_form(accept: str) -> FrameForm:
    """The form of frames for an Accept header.

    Without a transfer syntax, `application/octet-stream` means Explicit VR Little Endian, as the Standard says.

    Raises
    ------
    NotAcceptable
        If nothing of it is a form of frames.
    """
    syntaxes: list[str] = []
    images: set[str] = set()
    as_stored, multipart = False, None
    for kind, parameters, several in _kinds(accept, OCTETS):
        named = parameters.get("transfer-syntax", "")
        if kind == OCTETS:
            as_stored |= named == "*"
            syntaxes += [named or EXPLICIT_VR_LITTLE_ENDIAN]
        elif (kind := _ALIASES.get(kind, kind)) in SYNTAXES_OF or kind == "image/*":
            names = [kind] if kind in SYNTAXES_OF else list(SYNTAXES_OF)
            images.update(names)
            known = [syntax for name in names for syntax in SYNTAXES_OF[name]]
            syntaxes += known if named in ("", "*") else [named]
        else:
            continue
        multipart = several if multipart is None else multipart
    if multipart is None:
        raise NotAcceptable(
            "Frames are not served in any of the accepted media types",
            where="Accept",
            hint="Accept multipart/related; type=application/octet-stream; transfer-syntax=*.",
        )
    return FrameForm(AS_STORED if as_stored else tuple(dict.fromkeys(syntaxes)), multipart, frozenset(images))


@lru_cache(maxsize=256)
def instance_form(accept: str) -> InstanceForm:
    """The form of whole instances for an Accept header.

    Raises
    ------
    NotAcceptable
        If nothing of it is a form of instances.
    """
    syntaxes: list[str] = []
    as_stored, multipart = False, None
    for kind, parameters, several in _kinds(accept, DICOM):
        if kind != DICOM:
            continue
        named = parameters.get("transfer-syntax", "")
        if named in ("", "*"):
            as_stored = True
        else:
            syntaxes.append(named)
        multipart = several if multipart is None else multipart
    if multipart is None:
        raise NotAcceptable(
            "Instances are not served in any of the accepted media types",
            where="Accept",
            hint='Accept multipart/related; type="application/dicom", or application/dicom for one instance.',
        )
    return InstanceForm(() if as_stored else tuple(dict.fromkeys(syntaxes)), multipart)


def chosen(accept: str, *offered: str) -> str:
    """The first of the media types that the client takes, by its order of preference.

    Raises
    ------
    NotAcceptable
        If it takes none of them.
    """
    for media_type in parse_accept(accept):
        for name in offered:
            if media_type.matches(name) or (media_type.name == "multipart/related" and media_type.part == name):
                return name
    raise NotAcceptable(
        "None of the accepted media types is offered", where="Accept", hint=f"Offered are {', '.join(offered)}."
    )


def accept_of(header: str, query: list[tuple[str, str]]) -> str:
    """The Accept header, or the `accept` parameter of the query, which wins (PS3.18 8.3.3.1)."""
    return ", ".join(value for key, value in query if key == "accept") or header


def one_number(text: str, *, least: int, most: int, where: str) -> int:
    """The number that a query parameter tells.

    Raises
    ------
    InvalidArgument
        If it is none, or out of range.
    """
    if not (text.isascii() and text.isdigit() and len(text) < 12 and least <= int(text) <= most):
        raise InvalidArgument("The parameter is out of range", where=where, hint=f"Give {least} to {most}.")
    return int(text)


def one_truth(text: str, *, where: str) -> bool:
    """What a query parameter says that is true or false.

    Raises
    ------
    InvalidArgument
        If it says neither.
    """
    if text not in ("true", "false"):
        raise InvalidArgument("The parameter is neither true nor false", where=where, hint="Give true or false.")
    return text == "true"


def _kinds(accept: str, default: str) -> Iterator[tuple[str, dict[str, str], bool]]:
    """Media type of the content, parameters, and whether it comes in parts, for each range that may fit."""
    for media_type in parse_accept(accept):
        if media_type.name in ("*/*", "multipart/*"):
            yield default, _parameters(media_type, default), True
        elif media_type.name == "multipart/related":
            kind = media_type.part
            yield default if kind in ("", "*/*", "application/*") else kind, media_type.parameters, True
        elif media_type.name == "application/*":
            yield default, media_type.parameters, False
        else:
            yield media_type.name, media_type.parameters, False


def _parameters(media_type: MediaType, default: str) -> dict[str, str]:
    # Who takes anything takes whole objects as they are kept; for pixels it means the Standard's default.
    return media_type.parameters if default == OCTETS else {"transfer-syntax": "*", **media_type.parameters}
