"""Headers that are too large for a message: the largest elements are left out, and named."""

from __future__ import annotations

from imaging.dicom.element_walk import walk_data_set
from imaging.dicom.limits import DEFAULT_LIMITS
from imaging.dicom.scan_warning import WarningLog
from imaging.dicom.transfer_syntax import transfer_syntax


def shortened(header: bytes, transfer_syntax_uid: str, max_bytes: int) -> tuple[bytes, list[int]]:
    """The header in at most `max_bytes`, and the tags that were left out for it, largest first.

    What stays is byte for byte the same. Contours, annotations, waveforms and encapsulated documents stand in what we
    call a header when an object has no pixel data; whoever needs them retrieves the instance.
    """
    if len(header) <= max_bytes:
        return header, []
    syntax = transfer_syntax(transfer_syntax_uid)
    walked = walk_data_set(
        header,
        0,
        len(header),
        implicit_vr=syntax.implicit_vr,
        little_endian=syntax.little_endian,
        limits=DEFAULT_LIMITS,
        log=WarningLog(0),
    )
    places = [(entry[1], tag) for tag, entry in walked.elements.items()]
    places += [(entry[1], tag) for tag, entries in walked.duplicates.items() for entry in entries]
    places.sort()
    ends = [offset for offset, _ in places[1:]] + [len(header)]
    pieces = {offset: (end - offset, tag) for (offset, tag), end in zip(places, ends, strict=True)}
    left, left_out = len(header), []
    for offset in sorted(pieces, key=lambda offset: pieces[offset][0], reverse=True):
        if left <= max_bytes:
            break
        size, tag = pieces.pop(offset)
        left -= size
        left_out.append(tag)
    return b"".join(header[offset : offset + size] for offset, (size, _) in pieces.items()), left_out
