"""Checks a recipe's parameters against the JSON Schema that a step or model publishes.

The part of JSON Schema (2020-12) that models of flat parameters make: object, number, integer, string, boolean, array,
null, ranges, lengths, enum, const, anyOf, local $ref. Keywords beyond that are left to the service, which checks its
parameters itself; here the point is to tell the author of a recipe early, at the line.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline_svc.recipes.suggestion import did_you_mean


@dataclass(frozen=True, slots=True)
class Misfit:
    """What is wrong with a parameter."""

    parameter: str
    """Its name; empty for one that is missing."""

    what: str
    hint: str


def check_parameters(parameters: Mapping[str, Any], schema_json: str) -> Misfit | None:
    """The first thing that is wrong with the parameters; None if they fit the schema."""
    root: dict[str, Any] = json.loads(schema_json or "{}")
    schema = _resolved(root, root)
    properties: dict[str, Any] = schema.get("properties", {})
    for name, value in parameters.items():
        if name not in properties:
            if schema.get("additionalProperties", True) is not False:
                continue
            return Misfit(
                name, f"it has no parameter {name!r}{_other_name(name, properties)}", _parameters_hint(properties)
            )
        problem = _problem(value, properties[name], root)
        if problem:
            return Misfit(
                name, f"the parameter {name!r} {problem}", _value_hint(name, _resolved(properties[name], root))
            )
    for name in schema.get("required", []):
        if name not in parameters:
            return Misfit("", f"the parameter {name!r} is missing", f"Add `{name}: …` to the stage.")
    return None


def _problem(value: Any, schema: dict[str, Any], root: dict[str, Any]) -> str:
    """What is wrong with a value, as the end of a sentence; empty if nothing."""
    schema = _resolved(schema, root)
    if "anyOf" in schema:
        problems = [_problem(value, option, root) for option in schema["anyOf"]]
        # The first alternative is the one that is meant; the others are mostly null.
        return "" if "" in problems else problems[0]
    if "const" in schema and value != schema["const"]:
        return f"is {value!r}, must be {schema['const']!r}"
    if "enum" in schema and value not in schema["enum"]:
        known = [str(option) for option in schema["enum"]]
        return f"is {value!r}, must be one of {', '.join(known)}{did_you_mean(str(value), known)}"
    kind = schema.get("type")
    if kind is not None and not any(_is_of_type(value, one) for one in ([kind] if isinstance(kind, str) else kind)):
        return f"is {value!r}, must be of type {kind if isinstance(kind, str) else ' or '.join(kind)}{_unit(value)}"
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _range_problem(value, schema)
    if isinstance(value, str):
        return _length_problem(len(value), schema, "minLength", "maxLength", "characters") or (
            f"is {value!r}, must match {schema['pattern']}"
            if "pattern" in schema and not re.search(schema["pattern"], value)
            else ""
        )
    if isinstance(value, list | tuple):
        item = schema.get("items")
        inner = (_problem(one, item, root) for one in value) if isinstance(item, dict) else iter(())
        problem = next(filter(None, inner), "")
        return _length_problem(len(value), schema, "minItems", "maxItems", "values") or (
            problem and f"has one that {problem}"
        )
    return ""


def _range_problem(value: float, schema: Mapping[str, Any]) -> str:
    limits = (
        ("minimum", value >= schema.get("minimum", value), "at least"),
        ("maximum", value <= schema.get("maximum", value), "at most"),
        ("exclusiveMinimum", value > schema.get("exclusiveMinimum", value - 1), "more than"),
        ("exclusiveMaximum", value < schema.get("exclusiveMaximum", value + 1), "less than"),
    )
    return next((f"is {value:g}, must be {words} {schema[key]:g}" for key, holds, words in limits if not holds), "")


def _length_problem(length: int, schema: Mapping[str, Any], least: str, most: str, of: str) -> str:
    if length < schema.get(least, 0):
        return f"has {length} {of}, must have at least {schema[least]}"
    if length > schema.get(most, length):
        return f"has {length} {of}, must have at most {schema[most]}"
    return ""


def _is_of_type(value: Any, kind: str) -> bool:
    if kind in {"number", "integer"}:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and (kind == "number" or float(value).is_integer())
    types: dict[str, type | tuple[type, ...]] = {
        "string": str,
        "boolean": bool,
        "array": (list, tuple),
        "object": dict,
        "null": type(None),
    }
    return isinstance(value, types[kind]) if kind in types else True


def _unit(value: Any) -> str:
    """A word about `1.5mm`, the likeliest mistake: units stand in the names of parameters."""
    is_quantity = isinstance(value, str) and re.match(r"\s*[-+]?[\d.]+\s*[^\d\s]+\s*$", value)
    return " without a unit (the name tells the unit)" if is_quantity else ""


def _other_name(name: str, properties: Mapping[str, Any]) -> str:
    """Also finds `spacing_cm` or `spacing` for `spacing_mm`: a wrong or missing unit."""
    stem = name.rsplit("_", 1)[0]
    same_stem = [known for known in properties if known != name and known.rsplit("_", 1)[0] in {stem, name}]
    if len(same_stem) == 1:
        return f"; did you mean {same_stem[0]!r} (mind the unit)?"
    return did_you_mean(name, properties)


def _parameters_hint(properties: Mapping[str, Any]) -> str:
    return f"Its parameters are: {', '.join(properties)}." if properties else "It takes no parameters."


def _value_hint(name: str, schema: Mapping[str, Any]) -> str:
    description = schema.get("description")
    return f"{name}: {description}" if description else f"Correct the value of {name}."


def _resolved(schema: dict[str, Any], root: dict[str, Any]) -> dict[str, Any]:
    for _ in range(8):  # references to references; a circle is not followed for ever
        reference = schema.get("$ref")
        if not isinstance(reference, str) or not reference.startswith("#/"):
            return schema
        target: Any = root
        for part in reference[2:].split("/"):
            target = target.get(part, {}) if isinstance(target, dict) else {}
        schema = {**target, **{key: value for key, value in schema.items() if key != "$ref"}}
    return schema
