"""Settings from a TOML file, `IMAGING_*` variables and flags, the later ones winning.

A key that nobody knows is refused with its place and the nearest known name: a misspelt setting must never be ignored
in a hospital.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from imaging.errors import SettingsInvalid
from imaging.settings.model import Settings
from imaging.settings.section import Section

OTHER_VARIABLES: Final = frozenset({"IMAGING_CONFIG", "IMAGING_DEBUG", "IMAGING_TEST_BUG"})
"""`IMAGING_*` variables that are not settings."""

_ALL_SETTINGS: Final = "imaging/settings/model.py lists all settings."


def load_settings(
    file: Path | None = None,
    env: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Settings:
    """The settings from a file, the environment and flags; the later ones win.

    Parameters
    ----------
    file
        TOML; None: `IMAGING_CONFIG` of the environment, or none.
    env
        The environment; None: that of the process. `IMAGING_STORAGE_ADDRESS` sets `storage.address`.
    overrides
        Values by dotted name, e.g. `{"storage.address": "127.0.0.1:0"}`.

    Raises
    ------
    SettingsInvalid
        An unknown key, a wrong type or value; `where` is `file:line`, the variable or the flag.
    """
    env = os.environ if env is None else env
    file = file or (Path(env["IMAGING_CONFIG"]) if env.get("IMAGING_CONFIG") else None)
    values: dict[str, Any] = {}
    places: dict[str, str] = {}
    for name, value, place in [*_from_file(file), *_from_env(env), *_from_flags(overrides or {})]:
        if name not in _NAMES:
            near = difflib.get_close_matches(name, _NAMES, 1)
            raise SettingsInvalid(
                f"The setting `{name}` is unknown",
                where=place,
                hint=f"Did you mean `{near[0]}`?" if near else _ALL_SETTINGS,
            )
        values[name], places[name] = value, place
    nested: dict[str, Any] = {}
    for name, value in values.items():
        section, _, key = name.rpartition(".")
        (nested.setdefault(section, {}) if section else nested)[key] = value
    try:
        return Settings.model_validate(nested)
    except ValidationError as invalid:
        first = invalid.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        place = places.get(".".join(name.split(".")[:2]), name)  # a table in a section came as one value
        raise SettingsInvalid(f"`{name}`: {first['msg']}", where=place, hint=_ALL_SETTINGS) from None


def _names() -> Iterator[str]:
    for name, info in Settings.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, Section):
            yield from (f"{name}.{key}" for key in info.annotation.model_fields)
        else:
            yield name


_NAMES: Final = tuple(_names())


def _from_file(file: Path | None) -> Iterator[tuple[str, Any, str]]:
    if file is None:
        return
    try:
        text = file.read_text()
        tree = tomllib.loads(text)
    except OSError as error:
        raise SettingsInvalid(
            f"The settings cannot be read ({error.strerror})", where=str(file), hint="Check the path."
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsInvalid(
            f"The settings are not valid TOML: {error}", where=str(file), hint="See toml.io."
        ) from None
    for key, value in tree.items():
        entries = value.items() if isinstance(value, dict) else [("", value)]
        for name, entry in entries:
            dotted = f"{key}.{name}" if name else key
            yield dotted, entry, f"{file}:{_line_of(text, key if name else '', name or key)}"


def _line_of(text: str, section: str, key: str) -> int:
    within = not section
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[([^\]]+)\]", line):
            within = header[1].strip() == section
            if section and f"{header[1].strip()}.".startswith(f"{section}.{key}."):
                return number
        elif within and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*[.=]", line):
            return number
    return 1


def _from_env(env: Mapping[str, str]) -> Iterator[tuple[str, Any, str]]:
    known = {f"IMAGING_{name.replace('.', '_').upper()}": name for name in _NAMES}
    for variable, value in env.items():
        if variable.startswith("IMAGING_") and variable not in OTHER_VARIABLES:
            if variable not in known:
                near = difflib.get_close_matches(variable, known, 1)
                raise SettingsInvalid(
                    "The variable names no setting",
                    where=variable,
                    hint=f"Did you mean {near[0]}?" if near else _ALL_SETTINGS,
                )
            yield known[variable], value, variable


def _from_flags(overrides: Mapping[str, Any]) -> Iterator[tuple[str, Any, str]]:
    for name, value in overrides.items():
        yield name, value, f"--set {name}"
