"""Names of kept objects: `…/instances/{uid}/versions/{version}` and `quarantinedInstances/{id}`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from imaging.errors import InvalidArgument, NotFound
from storage_svc.names import Name, instance_name, parse_name

_VERSION = re.compile(r"(.+)/versions/([1-9][0-9]{0,8})")
_QUARANTINED = re.compile(r"quarantinedInstances/([0-9a-f]{1,40})")
_FORMS = "studies/{uid}/series/{uid}/instances/{uid}/versions/{version}"
_FORM = "quarantinedInstances/{id}"
Row = Mapping[str, Any]


def version_name(instance: Name | str, version: int) -> str:
    """The name of a version of an instance."""
    return f"{instance}/versions/{version}"


def quarantine_id(object_key: str) -> str:
    """The id that a quarantined instance has: the part of its key that no other object has."""
    return object_key.rpartition("_")[2].removesuffix(".dcm")


def quarantine_name(quarantine_id: str) -> str:
    """The name of a quarantined instance."""
    return f"quarantinedInstances/{quarantine_id}"


def parse_version_name(name: str) -> tuple[Name, int]:
    """The instance and the version.

    Raises
    ------
    InvalidArgument
        If it is not such a name.
    """
    if (match := _VERSION.fullmatch(name)) is None:
        raise InvalidArgument("The name is not that of a version", where="name", hint=f"Give {_FORMS}.")
    return parse_name(match[1], 3), int(match[2])


def parse_quarantine_name(name: str) -> str:
    """The id of a quarantined instance.

    Raises
    ------
    InvalidArgument
        If it is not such a name.
    """
    if (match := _QUARANTINED.fullmatch(name)) is None:
        raise InvalidArgument("The name is not that of a quarantined instance", where="name", hint=f"Give {_FORM}.")
    return match[1]


def is_quarantine_name(name: str) -> bool:
    """True for the name of a quarantined instance, well-formed or not."""
    return name.startswith("quarantinedInstances/")


def no_such_quarantined(quarantine_id: str) -> NotFound:
    """The error for an id under which nothing is in quarantine."""
    return NotFound(
        "There is no such quarantined instance",
        where=quarantine_name(quarantine_id),
        hint="It was accepted, discarded, or purged with its instance.",
    )


def kept_name(row: Row) -> str:
    """The name of a row of `kept_objects`."""
    if row["version"] == 0:
        return quarantine_name(quarantine_id(row["object_key"]))
    uids = row["stored_study"], row["stored_series"], row["sop_instance_uid"]
    return version_name(instance_name(*uids), row["version"])
