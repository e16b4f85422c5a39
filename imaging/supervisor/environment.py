"""The settings of an installation as the environment of its child processes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from imaging.settings import Settings
from imaging.settings.loading import OTHER_VARIABLES


def child_environment(settings: Settings, environment: Mapping[str, str]) -> dict[str, str]:
    """The environment for a service: every setting as its `IMAGING_*` variable, whatever source it came from.

    The children read no settings file: all run with the same settings, also one that is started again after somebody
    has edited the file.
    """
    kept = {
        name: value
        for name, value in environment.items()
        if not name.startswith("IMAGING_") or name in OTHER_VARIABLES - {"IMAGING_CONFIG"}
    }
    return {**kept, **dict(_variables(settings.model_dump(mode="json")))}


def _variables(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        entries = value.items() if isinstance(value, Mapping) else [("", value)]
        for name, entry in entries:
            if entry is not None:
                yield "_".join(filter(None, ("IMAGING", key.upper(), name.upper()))), _text(entry)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return json.dumps(value) if isinstance(value, Mapping | list) else str(value)
