"""The refusals of a walk over a data set: each tells what is wrong, the tag path and byte offset, and how to fix it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from imaging.dicom.byte_source import Buffer
from imaging.dicom.limits import ScanLimits
from imaging.dicom.tag_path import place, tag_text
from imaging.dicom.value_representation import is_known_vr
from imaging.dicom.walked_data_set import OpenLevel
from imaging.errors import InvalidDicom, LimitExceeded, TruncatedDicom


class WalkRefusal:
    """Raises the typed error of each kind of broken structure; `stack` is the walk's own, outermost level first."""

    __slots__ = ("data", "limits", "note", "stack", "stop")

    def __init__(self, data: Buffer, stop: int, limits: ScanLimits, stack: Sequence[OpenLevel], note: str) -> None:
        self.data = data
        self.stop = stop
        self.limits = limits
        self.stack = stack
        self.note = note

    def parents(self, level: OpenLevel | None) -> list[tuple[int, int]]:
        """(sequence tag, item number) of all open sequences, those of the stack and `level` itself."""
        levels = self.stack if level is None else (*self.stack, level)
        return [(each.tag, each.items) for each in levels if each.is_sequence]

    def where(self, tag: int | None, offset: int, level: OpenLevel) -> str:
        """Tag path and byte offset of an element directly within `level`."""
        return place(tag, offset, self.parents(level), note=self.note)

    def header(self, offset: int, end: int, level: OpenLevel) -> NoReturn:
        """Too few bytes are left for the next element's tag and length."""
        where = self.where(None, offset, level)
        if end == self.stop:
            what = f"{end - offset} bytes are left, too few for an element"
            raise TruncatedDicom(what, where=where, hint="Send the file again: its end is missing.")
        what = f"{end - offset} bytes are left in the item or sequence, too few for an element"
        raise InvalidDicom(what, where=where, hint="A length is wrong: correct it at the source.")

    def length(self, tag: int, offset: int, value_offset: int, length: int, end: int, level: OpenLevel) -> NoReturn:
        """A declared length goes past what holds the element."""
        where = self.where(tag, offset, level)
        there = end - value_offset
        if level.implicit and offset == level.opened and is_known_vr(bytes(self.data[offset + 4 : offset + 6])):
            raise InvalidDicom(
                "The data set is encoded with explicit VR, although its transfer syntax says implicit",
                where=where,
                hint="Correct the Transfer Syntax UID (0002,0010) at the source.",
            )
        if value_offset + length > self.stop:
            raise TruncatedDicom(
                f"The element declares {length} bytes, {there} are there",
                where=where,
                hint="Send the file again: its end is missing, or this length is wrong.",
            )
        raise InvalidDicom(
            f"The element declares {length} bytes, its item or sequence has only {there} left",
            where=where,
            hint="A length is wrong: correct it at the source.",
        )

    def vr(self, tag: int, offset: int, level: OpenLevel) -> NoReturn:
        """The two bytes of the VR are none."""
        if not self.stack and offset == level.opened:
            what = "The first element has no explicit VR, although the transfer syntax says explicit"
            hint = "Correct the Transfer Syntax UID (0002,0010), or send the file again."
        else:
            what = "The element has no VR of the Standard"
            hint = "A length before it is wrong, or the VR is: correct it at the source."
        raise InvalidDicom(what, where=self.where(tag, offset, level), hint=hint)

    def group(self, tag: int, offset: int, level: OpenLevel) -> NoReturn:
        """A group that no data set has."""
        raise InvalidDicom(
            f"Group {tag >> 16:04X} cannot be in a data set",
            where=self.where(tag, offset, level),
            hint="The bytes are not a data set in the declared transfer syntax, or start at the wrong place.",
        )

    def undefined(self, tag: int, offset: int, level: OpenLevel) -> NoReturn:
        """An undefined length in a VR that does not allow it."""
        raise InvalidDicom(
            "The element has an undefined length, which its VR does not allow",
            where=self.where(tag, offset, level),
            hint="Only SQ, UN and encapsulated pixel data may have an undefined length (PS3.5 7.1.2).",
        )

    def count(self, tag: int, offset: int, level: OpenLevel) -> NoReturn:
        """More elements than the limit."""
        raise LimitExceeded(
            f"The data set has more than {self.limits.max_elements} elements",
            where=self.where(tag, offset, level),
            hint="Raise max_elements if the source is trusted.",
        )

    def outermost(self, tag: int, offset: int, level: OpenLevel) -> NoReturn:
        """More elements of the outermost level than the limit."""
        raise LimitExceeded(
            f"The data set has more than {self.limits.max_outermost_elements} elements outside of sequences",
            where=self.where(tag, offset, level),
            hint="No real object has as many: correct it at the source, or raise max_outermost_elements.",
        )

    def unclosed(self, level: OpenLevel) -> NoReturn:
        """The undefined length that opened `level` has no delimiter."""
        kind = "sequence" if level.is_sequence else "item"
        where = place(level.tag if level.is_sequence else None, level.opened, self.parents(None), note=self.note)
        what = f"The {kind} of undefined length that opens here is never closed"
        if level.end == self.stop:
            raise TruncatedDicom(what, where=where, hint="Send the file again: its end is missing.")
        raise InvalidDicom(what, where=where, hint="Its delimiter is missing: correct it at the source.")

    def depth(self, tag: int, offset: int, level: OpenLevel) -> NoReturn:
        """One sequence too many inside others."""
        raise LimitExceeded(
            f"Sequences are nested more than {self.limits.max_depth} deep",
            where=self.where(tag, offset, level),
            hint="No real object needs this depth: correct it at the source, or raise max_depth.",
        )

    def delimiter(self, tag: int, offset: int, level: OpenLevel) -> NoReturn:
        """An item or delimiter where no such thing is open."""
        raise InvalidDicom(
            f"{tag_text(tag)} stands where an element was expected",
            where=self.where(tag, offset, level),
            hint="An item or sequence is closed that is not open, or a length is wrong: correct it at the source.",
        )

    def item(self, tag: int, offset: int, level: OpenLevel) -> NoReturn:
        """Something else than an item in a sequence."""
        raise InvalidDicom(
            f"Expected an item of a sequence, found {tag_text(tag)}",
            where=self.where(None, offset, level),
            hint="A length before it is wrong, or the element is no sequence: correct it at the source.",
        )
