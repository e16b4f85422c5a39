"""The word of an enumeration of the contracts, also for a value that only a later release knows."""

from __future__ import annotations

from typing import Any


def enum_word(enumeration: Any, value: int, prefix: str) -> str:
    """The name of `value` without what all names of the enumeration begin with; UNSPECIFIED for one without a name.

    Contracts grow: a server of a later release may answer with a value that did not exist when this was built. What is
    told beside it is still true, so the rest of the answer has to reach whoever asked (AIP-126).

    Parameters
    ----------
    enumeration
        The generated wrapper (`pipeline_pb2.State`).
    value
        Its number on the wire.
    prefix
        `STATE_`, for `STATE_RUNNING`.
    """
    number: Any = enumeration.DESCRIPTOR.values_by_number.get(value)
    return str(number.name).removeprefix(prefix) if number is not None else "UNSPECIFIED"
