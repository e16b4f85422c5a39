"""The conformance statement tells what is so."""

from __future__ import annotations

import re
from pathlib import Path

from gateway_svc.dimse.pdu import DEFAULT_MAX_LENGTH
from gateway_svc.dimse.query_model import KNOWN, MATCHED, Level, keyword
from gateway_svc.dimse.sop_classes import SopClasses, Verb
from imaging.dicom.implementation import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from imaging.settings import Settings

TEXT = (Path(__file__).parents[3] / "docs" / "dicom-conformance.md").read_text()


def test_the_attributes_that_are_matched_are_told_at_their_levels() -> None:
    for level in Level:
        (listed,) = re.findall(rf"^\| {level.name} \| (.*) \|$", TEXT, re.MULTILINE)
        assert set(listed.split(", ")) == {keyword(tag) for tag, at in MATCHED.items() if at is level}
    (told,) = re.findall(r"Told only: (.*?)\.", TEXT, re.DOTALL)
    assert set(re.split(r",\s+", told)) == {keyword(tag) for tag in KNOWN.keys() - MATCHED.keys()}


def test_each_sop_class_is_one_that_is_served() -> None:
    served = SopClasses()
    verbs = [served.verb(uid) for uid in re.findall(r"\| (1\.2\.840\.10008\.[0-9.]+) \| (?:yes|no)", TEXT)]
    assert None not in verbs
    assert set(verbs) == set(Verb) - {Verb.STORE}


def test_names_and_limits_are_those_of_the_program() -> None:
    own = Settings().gateway
    for text in (
        f"`gateway.ae_title`\n(`{own.ae_title}`)",
        IMPLEMENTATION_CLASS_UID,
        IMPLEMENTATION_VERSION_NAME,
        f"| {DEFAULT_MAX_LENGTH} bytes",
        f"`gateway.dimse_max_associations` ({own.dimse_max_associations})",
        f"`gateway.dimse_acceptors` ({own.dimse_acceptors})",
        f"`gateway.dimse_artim_seconds` ({own.dimse_artim_seconds:g})",
        f"`gateway.dimse_idle_seconds` ({own.dimse_idle_seconds:g})",
    ):
        assert text in TEXT, text
