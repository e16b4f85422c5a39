"""The settings of an installation as the environment of its child processes."""

from __future__ import annotations

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
    return {**kept, **dict(_variables("IMAGING", settings.model_dump(mode="json")))}


def _variables(prefix: str, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        name = f"{prefix}_{key.upper()}"
        if isinstance(value, Mapping):
            yield from _variables(name, value)
        elif value is not None:
            yield name, str(value).lower() if isinstance(value, bool) else str(value)
