"""Odd inputs that are kept as they were sent: preambles that pose, hidden programs, rare encodings, odd pixels."""

from __future__ import annotations

from functools import partial

from imaging.dicom import transfer_syntax as ts
from tests.dicom.part10 import data_set, element, file_meta, identity, image, part10
from tests.faults.bad_input import BadInput, Taken, report
from tests.faults.bad_pixels import FRAMES, numbers

PREAMBLES = {
    "a Windows program": b"MZ\x90\0",
    "a Linux program": b"\x7fELF\2\1",
    "a macOS program": b"\xcf\xfa\xed\xfe",
    "a script": b"#!/bin/sh\nrm -rf /\n",
    "a PDF": b"%PDF-1.7",
    "a ZIP archive": b"PK\x03\x04",
    "a JSON text": b'{"a":',
    "a page": b"<html><script>",
}
PDF_WITH_SCRIPT = b"%PDF-1.7\n1 0 obj<</OpenAction<</S/JavaScript/JS(app.alert(1))>>>>endobj\n%%EOF\n"
PDF, PRIVATE = "1.2.840.10008.5.1.4.1.1.104.1", "1.2.826.0.1.3680043.9.9"
BITS = numbers(ALLOCATED=1, STORED=1, HIGH_BIT=0)


def with_preamble(start: bytes) -> bytes:
    """An image whose preamble begins like that."""
    content = part10(image())
    return start + content[len(start) :]


def big_endian() -> bytes:
    """An image in the retired big endian syntax; its pixels too."""
    values = {tag: (vr, value[::-1] if vr == "US" else value) for tag, (vr, value) in image().items()}
    return file_meta(ts.EXPLICIT_VR_BIG_ENDIAN) + data_set(values, big=True)


def single_bits() -> bytes:
    """Three frames of 5 x 3 pixels of one bit each: no frame but the first begins at a byte."""
    return part10(image(5, 3, pixel_data=b"\xaa\x55\xaa\x55\xaa\x55") | BITS | {FRAMES: ("IS", b"3 ")})


KEPT = [
    *(
        BadInput(f"preamble of {kind}", partial(with_preamble, start), Taken(("PREAMBLE_EXECUTABLE",), frames=1))
        for kind, start in PREAMBLES.items()
    ),
    BadInput("preamble of a TIFF, as slides have it", partial(with_preamble, b"II*\0"), Taken(frames=1)),
    BadInput("a program in a private element",
             lambda: report(element(0x00090010, "LO", b"ACME") + element(0x00091001, "OB", b"MZ" + bytes(4000))),
             Taken()),
    BadInput("an encapsulated PDF with JavaScript", lambda: file_meta(sop_class=PDF) + data_set(
        identity(PDF) | {0x00420011: ("OB", PDF_WITH_SCRIPT)}), Taken()),
    BadInput("big endian", big_endian, Taken(frames=1)),
    BadInput("implicit VR with private elements", lambda: part10(
        image() | {0x00090010: ("LO", b"ACME"), 0x00091001: ("UN", b"\1\2\3\4")}, ts.IMPLICIT_VR_LITTLE_ENDIAN),
             Taken(frames=1)),
    BadInput("GE's private syntax", lambda: file_meta(ts.GE_PRIVATE_IMPLICIT) + data_set(image(), implicit=True),
             Taken(frames=1)),
    BadInput("frames of single bits that begin within bytes", single_bits, Taken(frames=3)),
    BadInput("a UN sequence of undefined length", lambda: report(
        element(0x00091002, "UN", element(0xFFFEE000, "", b"") + element(0xFFFEE0DD, "", b""), length=0xFFFFFFFF)),
             Taken()),
    BadInput("10,000 frames of 4 x 4", lambda: part10(
        image(pixel_data=bytes(320_000)) | {FRAMES: ("IS", b"10000 ")}), Taken(frames=10_000)),
    BadInput("a class that nobody knows", lambda: file_meta(sop_class=PRIVATE) + data_set(identity(PRIVATE)), Taken()),
]  # fmt: skip
