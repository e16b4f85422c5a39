"""The first 132 bytes of a Part 10 file: the prefix, and preambles that pose as another kind of file (PS3.10 7.1)."""

from __future__ import annotations

from imaging.dicom.byte_source import Buffer
from imaging.dicom.scan_warning import WarningLog
from imaging.errors import NotDicom

PREAMBLE_BYTES = 128
PREFIX = b"DICM"
META_START = PREAMBLE_BYTES + len(PREFIX)

_DISGUISES = (
    (b"MZ", "a Windows program (MZ)"),
    (b"\x7fELF", "a Linux program (ELF)"),
    (b"\xfe\xed\xfa\xce", "a macOS program (Mach-O)"),
    (b"\xfe\xed\xfa\xcf", "a macOS program (Mach-O)"),
    (b"\xce\xfa\xed\xfe", "a macOS program (Mach-O)"),
    (b"\xcf\xfa\xed\xfe", "a macOS program (Mach-O)"),
    (b"\xca\xfe\xba\xbe", "a macOS program (Mach-O, universal) or Java class"),
    (b"#!", "a script (#!)"),
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b'{"', "a JSON text"),
    (b"<", "a markup text"),
)


def has_part10_prefix(data: Buffer) -> bool:
    """True if `DICM` stands after a preamble of 128 bytes."""
    return bytes(data[PREAMBLE_BYTES:META_START]) == PREFIX


def check_prefix(data: Buffer) -> None:
    """Pass if this is a Part 10 file.

    Raises
    ------
    NotDicom
        If it is empty or has no `DICM` prefix.
    """
    if len(data) == 0:
        raise NotDicom("The file is empty", where="byte 0", hint="Send it again from its source.")
    if not has_part10_prefix(data):
        raise NotDicom(
            f"The file of {len(data)} bytes is not DICOM Part 10: no DICM at byte {PREAMBLE_BYTES}",
            where=f"byte {min(PREAMBLE_BYTES, len(data))}",
            hint="If it is a bare data set without preamble and file meta information, add --raw for headerless.",
        )


def disguise_of(data: Buffer) -> str:
    """What the preamble makes the file readable as, by a machine that runs it or a browser that opens it; or empty.

    A TIFF header is no disguise: dual-format slides have it on purpose (PS3.10 7.1).
    """
    start = bytes(data[:4])
    if start == b"\0\0\0\0":
        return ""
    return next((kind for magic, kind in _DISGUISES if start.startswith(magic)), "")


def note_disguise(data: Buffer, log: WarningLog) -> None:
    """Warn if the preamble is a disguise."""
    kind = disguise_of(data)
    if kind:
        message = f"The preamble makes the file look like {kind}; it is kept as sent and neutralised by HTTP"
        log.add("preamble_executable", "byte 0", message)


def harmless_preamble(start: bytes) -> bytes:
    """The first bytes of a file with a preamble of zeros where it was a disguise; all else as it is."""
    if not disguise_of(start) or not has_part10_prefix(start):
        return start
    return bytes(PREAMBLE_BYTES) + start[PREAMBLE_BYTES:]
