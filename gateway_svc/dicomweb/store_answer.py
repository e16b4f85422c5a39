"""The answer to a store (PS3.18 10.5.3): what of each instance became, as DICOM JSON or XML."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from gateway_svc.dicomweb.dicom_xml import XML, native_model
from gateway_svc.dicomweb.representation import JSON, chosen
from gateway_svc.dicomweb.target import ROOT
from gateway_svc.dimse.status import status_of as failure_reason
from gateway_svc.http.exchange import Exchange, Header
from gateway_svc.http.problem import status_of
from gateway_svc.http.refusals import NotAcceptable
from imaging import errors
from imaging.errors import ImagingError
from imaging.rpc.enum_word import enum_word
from imaging.storage.v1 import storage_pb2

CREATOR: Final = "IMAGING PIPELINE"
"""Of the private elements in an item: (gggg,xx01) the kind of error or the outcome, such as STORED or ALREADY_STORED;
(gggg,xx02) the text of an error with a hint; (gggg,xx03) which part of the body it is about, counted from 1."""

_BUSY: Final = (errors.Overloaded, errors.Unavailable, errors.DeadlineExceeded, errors.Cancelled)


@dataclass(frozen=True, slots=True)
class Stored:
    """A part that is stored."""

    instance: storage_pb2.Instance
    outcome: storage_pb2.StoreOutcome.ValueType


@dataclass(frozen=True, slots=True)
class Failed:
    """A part that is not; the UIDs are those of its file meta, empty if that could not be read."""

    sop_class_uid: str
    sop_instance_uid: str
    error: ImagingError


async def send_store_answer(
    exchange: Exchange, accept: str, results: Sequence[Stored | Failed], broken: ImagingError | None
) -> None:
    """Answer with the results; `broken` tells why the body could not be read to its end."""
    numbered = list(enumerate(results, start=1))
    stored = [(number, result) for number, result in numbered if isinstance(result, Stored)]
    failed = [(number, result) for number, result in numbered if isinstance(result, Failed)]
    if broken is not None:
        failed.append((0, Failed("", "", broken)))
    model = _model(exchange.base_url + ROOT, stored, failed)
    try:
        media_type = chosen(accept, JSON, XML, "application/json", "application/xml", "text/xml")
    except NotAcceptable:  # it is stored by now: a 406 would say otherwise
        media_type = JSON
    body = json.dumps(model, ensure_ascii=False).encode("utf-8", "replace")
    if media_type.endswith("xml"):
        body = native_model(model)
    headers: list[Header] = [(b"content-type", media_type.encode("ascii")), (b"cache-control", b"no-store")]
    status = _status(bool(stored), [result.error for _, result in failed])
    if status == 503:
        headers.append((b"retry-after", b"5"))
    await exchange.send(status, headers, body)


def _status(stored: bool, failed: Sequence[ImagingError]) -> int:
    """200 all, 202 some, 409 none; if none because of us, the status that tells to come again."""
    if not failed:
        return 200
    if stored:
        return 202
    if all(isinstance(error, errors.StorageFull) for error in failed):
        return 507
    if all(isinstance(error, _BUSY) for error in failed):
        return 408 if status_of(failed[-1]) == 408 else 503
    return 409


def _model(root: str, stored: Sequence[tuple[int, Stored]], failed: Sequence[tuple[int, Failed]]) -> dict[str, Any]:
    model: dict[str, Any] = {}
    studies = {result.instance.study_instance_uid for _, result in stored}
    if len(studies) == 1:
        model["00081190"] = _element("UR", f"{root}/studies/{studies.pop()}")
    named = [_failed_item(*item) for item in failed if item[1].sop_instance_uid]
    others = [_reason(number, result.error) for number, result in failed if not result.sop_instance_uid]
    if named:
        model["00081198"] = {"vr": "SQ", "Value": named}
    if stored:
        model["00081199"] = {"vr": "SQ", "Value": [_stored_item(root, *item) for item in stored]}
    if others:
        model["0008119A"] = {"vr": "SQ", "Value": others}
    return model


def _stored_item(root: str, number: int, result: Stored) -> dict[str, Any]:
    outcome = enum_word(storage_pb2.StoreOutcome, result.outcome, "STORE_OUTCOME_")
    return {
        "00081150": _element("UI", result.instance.sop_class_uid),
        "00081155": _element("UI", result.instance.sop_instance_uid),
        "00081190": _element("UR", f"{root}/{result.instance.name}"),
        "00090010": _element("LO", CREATOR),
        "00091001": _element("LO", outcome),
        "00091003": _element("UL", number),
    }


def _failed_item(number: int, result: Failed) -> dict[str, Any]:
    return {
        "00081150": _element("UI", result.sop_class_uid),
        "00081155": _element("UI", result.sop_instance_uid),
        **_reason(number, result.error),
    }


def _reason(number: int, error: ImagingError) -> dict[str, Any]:
    return {
        "00081197": _element("US", failure_reason(error)),
        "00090010": _element("LO", CREATOR),
        "00091001": _element("LO", error.reason),
        "00091002": _element("UT", error.text),
        **({"00091003": _element("UL", number)} if number else {}),
    }


def _element(vr: str, value: str | int) -> dict[str, Any]:
    return {"vr": vr, "Value": [value]} if value != "" else {"vr": vr}
