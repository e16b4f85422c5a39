"""The Native DICOM Model (PS3.19 A.1): DICOM JSON as XML, for clients that take nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final
from xml.sax.saxutils import escape, quoteattr

from pydicom.datadict import keyword_for_tag

from gateway_svc.dicomweb.multipart import part_start

XML: Final = "application/dicom+xml"

_NAME_PARTS: Final = ("FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix")


def native_model(model: Mapping[str, Any]) -> bytes:
    """The XML document of one DICOM JSON object, UTF-8."""
    return "".join(
        [
            '<?xml version="1.0" encoding="UTF-8"?>\n<NativeDicomModel xml:space="preserve"'
            ' xmlns="http://dicom.nema.org/PS3.19/models/NativeDICOM">',
            *_attributes(model),
            "</NativeDicomModel>",
        ]
    ).encode("utf-8", "replace")


def xml_parts(boundary: str, models: Iterable[Mapping[str, Any]], *, first: bool = True) -> bytes:
    """A part of a multipart body for each DICOM JSON object."""
    parts = []
    for model in models:
        document = native_model(model)
        parts += [part_start(boundary, XML, first=first, size_bytes=len(document)), document]
        first = False
    return b"".join(parts)


def _attributes(model: Mapping[str, Any]) -> Iterator[str]:
    for tag, element in sorted(model.items()):
        vr = str(element["vr"])
        keyword = str(keyword_for_tag(int(tag, 16)))
        named = f" keyword={quoteattr(keyword)}" if keyword else ""
        yield f"<DicomAttribute tag={quoteattr(tag)} vr={quoteattr(vr)}{named}>"
        if "BulkDataURI" in element:
            yield f"<BulkData uri={quoteattr(str(element['BulkDataURI']))}/>"
        if "InlineBinary" in element:
            yield f"<InlineBinary>{_text(element['InlineBinary'])}</InlineBinary>"
        for number, value in enumerate(element.get("Value", ()), 1):
            yield from _value(vr, number, value)
        yield "</DicomAttribute>"


def _value(vr: str, number: int, value: Any) -> Iterator[str]:
    if vr == "SQ":
        yield f'<Item number="{number}">'
        yield from _attributes(value or {})
        yield "</Item>"
    elif vr == "PN" and isinstance(value, Mapping):
        yield f'<PersonName number="{number}">'
        for group, name in value.items():
            parts = zip(_NAME_PARTS, str(name).split("^"), strict=False)
            inner = "".join(f"<{part}>{_text(text)}</{part}>" for part, text in parts if text)
            yield f"<{group}>{inner}</{group}>"
        yield "</PersonName>"
    elif value is not None:
        yield f'<Value number="{number}">{_text(value)}</Value>'


def _text(value: Any) -> str:
    """Escaped, without the characters that XML cannot hold."""
    return escape("".join(sign for sign in str(value) if sign >= " " or sign in "\t\n\r"))
