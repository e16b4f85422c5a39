"""The parameters of a stage as they travel: a Struct, which knows no whole numbers."""

from __future__ import annotations

from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Struct

from imaging.errors import InvalidArgument


def given_parameters(given: Struct) -> dict[str, Any]:
    """The parameters by name, all numbers as `float`.

    Raises
    ------
    InvalidArgument
        If a number is not finite: JSON has none of those.
    """
    try:
        return dict(MessageToDict(given))
    except ValueError as error:
        raise InvalidArgument(
            "A parameter is not a finite number", where="parameters", hint="Give finite numbers."
        ) from error


def stage_parameters(given: Struct) -> dict[str, Any]:
    """The parameters by name, with whole numbers as `int`, also inside lists and objects.

    Raises
    ------
    InvalidArgument
        See `given_parameters`.
    """
    return {name: _plain(value) for name, value in given_parameters(given).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return value
