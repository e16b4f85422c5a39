"""WADO-URI (PS3.18 9): one object or picture by the parameters of a query, from what serves WADO-RS."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from gateway_svc.dicomweb.picture_form import picture_form
from gateway_svc.dicomweb.pictured_frames import PicturedFrame, first_frame
from gateway_svc.dicomweb.representation import DICOM, InstanceForm, one_number
from gateway_svc.dicomweb.retrieve_instances import send_file
from gateway_svc.dicomweb.retrieve_rendered import RenderedResources
from gateway_svc.dicomweb.target import Target
from gateway_svc.http.exchange import Exchange
from gateway_svc.http.media_type import parse_accept
from gateway_svc.http.refusals import MethodNotAllowed
from imaging.dicom.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN
from imaging.dicom.uid import validate_uid
from imaging.errors import InvalidArgument

if TYPE_CHECKING:
    from imaging.client.stub import StorageStub

PATH: Final = "/wado"
_UIDS: Final = ("studyUID", "seriesUID", "objectUID")
_PASSED_ON: Final = {"imageQuality": "quality", "annotation": "annotation", "charset": "charset"}
_REFUSED: Final = ("anonymize", "presentationUID", "presentationSeriesUID")
"""What changes the meaning of the answer, so that it must not be passed over."""

_LARGEST_SIDE: Final = 8192


class WadoUri:
    """Answers requests to `/wado`."""

    def __init__(self, storage: StorageStub, rendered: RenderedResources) -> None:
        self._storage = storage
        self._rendered = rendered

    async def __call__(self, exchange: Exchange) -> None:
        """Answer one request."""
        exchange.route = PATH
        if exchange.method not in ("GET", "HEAD"):
            raise MethodNotAllowed("WADO-URI only reads", where=PATH, metadata={"allow": "GET, HEAD"})
        asked = dict(exchange.query)
        target = _target(asked)
        kinds = [media_type.name for media_type in parse_accept(asked.get("contentType", ""))]
        frame = None if DICOM in kinds else await first_frame(self._storage, target)
        if frame is None or (kinds[0] == "*/*" and not frame.instance.number_of_frames):
            # The transfer syntax asked for, or else Explicit VR Little Endian (PS3.18 9.1.2.2.4).
            accept = tuple(
                dict.fromkeys((asked.get("transferSyntax") or EXPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_LITTLE_ENDIAN))
            )
            await send_file(exchange, self._storage, target.name, InstanceForm(accept, multipart=False))
            return
        form = picture_form(asked.get("contentType", ""), _picture_query(asked, frame))
        await self._rendered.send_one(exchange, frame, form)


def _target(asked: Mapping[str, str]) -> Target:
    if asked.get("requestType", "").upper() != "WADO":
        raise InvalidArgument("It is no WADO request", where="requestType", hint="Give requestType=WADO.")
    for name in _REFUSED:
        if asked.get(name, "no") not in ("", "no"):
            raise InvalidArgument("The parameter is not supported", where=name, hint="Ask without it.")
    uids = []
    for name in _UIDS:
        if not asked.get(name):
            raise InvalidArgument("A UID is missing", where=name, hint=f"Give {', '.join(_UIDS)}.")
        uids.append(validate_uid(asked[name], where=name))
    number = one_number(asked.get("frameNumber", "1"), least=1, most=10**9, where="frameNumber")
    return Target(tuple(uids), frame_numbers=(number,))


def _picture_query(asked: Mapping[str, str], frame: PicturedFrame) -> list[tuple[str, str]]:
    """The parameters of WADO-RS that mean the same."""
    query = [(new, asked[old]) for old, new in _PASSED_ON.items() if old in asked]
    if "windowCenter" in asked or "windowWidth" in asked:
        query.append(("window", f"{asked.get('windowCenter', '')},{asked.get('windowWidth', '')}"))
    if asked.keys() & {"rows", "columns", "region"}:
        left, top, right, bottom = _region(asked.get("region", "0,0,1,1"))
        width, height = frame.instance.columns, frame.instance.rows
        box = [left * width, top * height, (right - left) * width, (bottom - top) * height]
        whole = not asked.keys() & {"rows", "columns"}
        columns = asked.get("columns") or (max(round(box[2]), 1) if whole else _LARGEST_SIDE)
        rows = asked.get("rows") or (max(round(box[3]), 1) if whole else _LARGEST_SIDE)
        query.append(("viewport", ",".join(map(str, (columns, rows, *box)))))
    return query


def _region(text: str) -> list[float]:
    try:
        left, top, right, bottom = region = [float(value) for value in text.split(",")]
    except ValueError:
        region = []
    if not region or not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise InvalidArgument(
            "The region cannot be read", where="region", hint="Give left,top,right,bottom as fractions of the image."
        )
    return region
