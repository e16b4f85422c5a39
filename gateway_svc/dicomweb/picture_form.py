"""How a client wants its pictures: Accept and the parameters of rendered resources (PS3.18 8.3.5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Final

from gateway_svc.dicomweb.representation import one_number
from gateway_svc.http.media_type import parse_accept
from gateway_svc.http.refusals import NotAcceptable
from imaging.errors import InvalidArgument
from imaging.storage.v1 import storage_service_pb2 as pb

JPEG: Final = "image/jpeg"
PNG: Final = "image/png"
_OFFERED: Final = {JPEG: JPEG, "image/jpg": JPEG, PNG: PNG}
_ANY: Final = ("*/*", "image/*", "")

Window = pb.RenderFramesRequest.Window
_FUNCTIONS: Final = {
    "linear": Window.FUNCTION_LINEAR,
    "linear-exact": Window.FUNCTION_LINEAR_EXACT,
    "sigmoid": Window.FUNCTION_SIGMOID,
}

IGNORED: Final = ("annotation", "iccprofile", "charset")
"""Parameters of the Standard that change nothing here; the answer says so."""


@dataclass(frozen=True, slots=True)
class PictureForm:
    """How pictures are made and sent."""

    media_type: str
    """`image/jpeg` or `image/png`."""

    in_parts: bool | None
    """True: each as a part of a multipart body; False: one as the whole body; None: the client takes either."""

    request: pb.RenderFramesRequest
    """Without its selections; not to be changed."""

    ignored: tuple[str, ...] = ()
    """Parameters that were given and change nothing."""

    def of(self, *selections: pb.RenderFramesRequest.Selection) -> pb.RenderFramesRequest:
        """The request for frames in this form."""
        request = pb.RenderFramesRequest(selections=selections)
        request.MergeFrom(self.request)
        return request

    @property
    def identity(self) -> str:
        """The same for forms that make the same picture."""
        return self.request.SerializeToString(deterministic=True).hex()


def picture_form(accept: str, query: Sequence[tuple[str, str]], *, longest_side: int = 0) -> PictureForm:
    """The form for an Accept header and the parameters `window`, `viewport` and `quality`.

    Parameters
    ----------
    longest_side
        Pixels of the longer side where the query has no viewport; 0: as many as the frame has.

    Raises
    ------
    NotAcceptable
        If no media type of pictures is accepted.
    InvalidArgument
        If a parameter cannot be read.
    """
    media_type, in_parts = _kind(accept)
    request = pb.RenderFramesRequest(media_type=media_type, max_side_pixels=longest_side)
    given = dict(query)
    if "window" in given:
        request.window.CopyFrom(_window(given["window"]))
    if "viewport" in given:
        request.viewport.CopyFrom(_viewport(given["viewport"]))
        request.max_side_pixels = 0
    if "quality" in given:
        quality = one_number(given["quality"], least=1, most=100, where="quality")
        request.quality = quality if media_type == JPEG else 0
    return PictureForm(media_type, in_parts, request, tuple(name for name in IGNORED if name in given))


def _kind(accept: str) -> tuple[str, bool | None]:
    for media_type in parse_accept(accept):
        several = media_type.name in ("multipart/related", "multipart/*")
        name = media_type.part if several else media_type.name
        if name in _OFFERED:
            return _OFFERED[name], several
        if name in _ANY:
            return JPEG, several or (None if name == "*/*" else False)
    raise NotAcceptable(
        "Pictures are not served in any of the accepted media types",
        where="Accept",
        hint=f"Accept {JPEG} or {PNG}, alone or as the type of multipart/related.",
    )


def _window(text: str) -> Window:
    values = text.split(",")
    if len(values) not in (2, 3):
        raise InvalidArgument("The window cannot be read", where="window", hint="Give center,width[,function].")
    name = values[2].strip().lower().replace("_", "-") if len(values) == 3 else "linear"
    if name not in _FUNCTIONS:
        raise InvalidArgument(
            "The function of the window is unknown", where="window", hint=f"Known are {', '.join(_FUNCTIONS)}."
        )
    center, width = (_number(value, "window") for value in values[:2])
    return Window(centre=center, width=width, function=_FUNCTIONS[name])


def _viewport(text: str) -> pb.RenderFramesRequest.Viewport:
    values = text.split(",")
    if not 2 <= len(values) <= 6:
        raise InvalidArgument(
            "The viewport cannot be read", where="viewport", hint="Give width,height[,left,top,width,height]."
        )
    columns, rows = (one_number(value.strip(), least=1, most=8192, where="viewport") for value in values[:2])
    region = [_number(value, "viewport") if value.strip() else 0.0 for value in values[2:]]
    left, top, width, height = (region + [0.0] * 4)[:4]
    if any(value.strip() and not size for value, size in zip(values[4:], region[2:], strict=True)):
        raise InvalidArgument("The region has no pixels", where="viewport", hint="Its width and height are not 0.")
    return pb.RenderFramesRequest.Viewport(columns=columns, rows=rows, left=left, top=top, width=width, height=height)


def _number(text: str, where: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not isfinite(number) or "_" in text:
        raise InvalidArgument("A number cannot be read", where=where, hint="Give decimal numbers, with commas between.")
    return number
