"""Bad values: UIDs that are paths, texts that attack who shows them, characters, dates and numbers that are none."""

from __future__ import annotations

from functools import partial

from imaging.errors import InvalidDicom
from tests.dicom.part10 import RT_PLAN, data_set, file_meta, identity, part10
from tests.dicom.wheel_files import wheel_file
from tests.faults.bad_input import BadInput, Refused, Taken, report

CHARACTER_SET, NAME = 0x00080005, 0x00100010
UIDS = {"SOP Class": 0x00080016, "SOP Instance": 0x00080018, "Study": 0x0020000D, "Series": 0x0020000E}

BAD_UIDS = {
    "a path": b"../../../x",
    "an absolute path": b"/etc/passwd ",
    "a Windows path": b"..\\..\\etc\\passwd ",
    "65 characters": b"1." + b"2" * 63 + b"\0",
    "a leading zero": b"1.02.3",
    "empty": b"",
    "an empty component": b"1..2.3",
    "unicode digits": "1.٢.3".encode(),
    "full-width digits": "1.２".encode(),
    "NUL inside": b"1.2\x003.4\0",
    "a line feed": b"1.2.3\n",
    "a trailing dot": b"1.2.3.",
    "SQL": b"1' OR '1'='1",
    "markup": b"<script>",
}

HOSTILE_NAMES = {
    "markup": "<script>alert(1)</script>",
    "a template": "{{7*7}}",
    "terminal colours": "\x1b[31mred\x1b[0m",
    "text that runs backwards": "\u202egnp.exe",
    "formats": "%s%n%x",
    "a formula": "=cmd|' /C calc'!A0",
    "SQL": "'; DROP TABLE study; --",
}

NOT_CLEAN = ("CHARSET",)


def named(name: bytes, character_set: bytes = b"ISO_IR 192") -> bytes:
    """An instance with that patient name, padded."""
    return report({CHARACTER_SET: ("CS", character_set + b" " * (len(character_set) % 2)), NAME: ("PN", _even(name))})


def with_uid(tag: int, value: bytes) -> bytes:
    """An instance with that UID."""
    return part10(identity(RT_PLAN) | {tag: ("UI", _even(value, b"\0"))})


def with_value(tag: int, vr: str, value: bytes) -> bytes:
    """An instance with that value."""
    return report({tag: (vr, value)})


def _even(value: bytes, padding: bytes = b" ") -> bytes:
    return value + padding * (len(value) % 2)


VALUES = [
    *(
        BadInput(f"{kind} UID is {name}", partial(with_uid, tag, value),
                 Refused(InvalidDicom, f"({tag >> 16:04X},{tag & 0xFFFF:04X})", "UID"))
        for kind, tag in UIDS.items()
        for name, value in BAD_UIDS.items()
    ),
    *(
        BadInput(f"no {kind} UID", partial(lambda tag: part10({k: v for k, v in identity().items() if k != tag}), tag),
                 Refused(InvalidDicom, f"({tag >> 16:04X},{tag & 0xFFFF:04X})", "missing"))
        for kind, tag in UIDS.items()
    ),
    BadInput(
        "a DICOMDIR that names ..\\..\\etc\\passwd",
        lambda: wheel_file("DICOMDIR").replace(b"PT000000\\ST000000\\SE000000", b"..\\..\\..\\etc\\passwd\\xxxx"),
        Refused(InvalidDicom, "(0008,0016)", "DICOMDIR"),
    ),
    BadInput(
        "another instance in the file meta",
        lambda: file_meta(sop_class=RT_PLAN).replace(b"1.2.3.4.5", b"9.9.9.9.9") + data_set(identity(RT_PLAN)),
        Taken(("META_MISMATCH",)),
    ),
    *(
        BadInput(f"patient name is {kind}", partial(named, name.encode()),
                 Taken(NOT_CLEAN if "\x1b" in name else (), study={} if "\x1b" in name else {"patient_name": name}))
        for kind, name in HOSTILE_NAMES.items()
    ),
    BadInput("patient comments of 10 MB", partial(with_value, 0x00104000, "UT", b"x" * 10_000_000),
             Taken(("VALUE_TOO_LONG",))),
    BadInput("NUL in the patient name", partial(named, b"A\0B^C"),
             Taken(("BAD_VALUE",), study={"patient_name": "A\ufffdB^C"})),
    BadInput("Latin-1 said to be UTF-8", partial(named, "Jérôme".encode("latin-1")),
             Taken(NOT_CLEAN, study={"patient_name": "J\ufffdr\ufffdme"})),
    BadInput("an unknown character set", partial(named, b"Buc^J\xe9r\xf4me", b"ISO_IR 999"), Taken(NOT_CLEAN)),
    BadInput("an ISO 2022 escape that ends nowhere", partial(named, b"Yamada=\x1b$B;3ED", b"\\ISO 2022 IR 87"),
             Taken()),
    BadInput("an ISO 2022 escape cut in two", partial(named, b"Yamada=\x1b$", b"\\ISO 2022 IR 87"), Taken(NOT_CLEAN)),
    *(
        BadInput(f"{keyword} {value.decode()}", partial(with_value, tag, vr, value),
                 Taken(("BAD_VALUE",), study={field: ""} if field else {}))
        for tag, vr, keyword, field, value in (
            (0x00080020, "DA", "StudyDate", "study_date", b"20240230"),
            (0x00080020, "DA", "StudyDate", "study_date", b"yesterday "),
            (0x00080030, "TM", "StudyTime", "study_time", b"246060"),
            (0x00100030, "DA", "PatientBirthDate", "patient_birth_date", b"00000000"),
            (0x00180050, "DS", "SliceThickness", "", b"1,25"),
            (0x00180050, "DS", "SliceThickness", "", b"NaN "),
            (0x00180050, "DS", "SliceThickness", "", b"1.2345678901234567890 "),
            (0x00200011, "IS", "SeriesNumber", "", b"1e400 "),
            (0x00200013, "IS", "InstanceNumber", "", b"99999999999 "),
        )
    ),
    BadInput("Series Number as a number of 16 bits", partial(with_value, 0x00200011, "US", b"\1\0"),
             Taken(("VR_MISMATCH",))),
    BadInput("empty Pixel Spacing and Image Position",
             partial(report, {0x00200032: ("DS", b""), 0x00280030: ("DS", b"")}), Taken()),
]  # fmt: skip
