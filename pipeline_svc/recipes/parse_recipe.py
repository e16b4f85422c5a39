"""A recipe out of its YAML text, and what is wrong with it, told by file, line and key."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from imaging.errors import SettingsInvalid
from pipeline_svc.recipes.alert_rule import AlertRule
from pipeline_svc.recipes.located_yaml import LocatedYaml, Path, load_located_yaml
from pipeline_svc.recipes.recipe import Exclude, Match, Recipe, Select
from pipeline_svc.recipes.stage_spec import StageSpec
from pipeline_svc.recipes.suggestion import did_you_mean


@dataclass(frozen=True, slots=True)
class LoadedRecipe:
    """A recipe with the text that it came from."""

    recipe: Recipe
    source: str
    """The YAML text as it was loaded."""

    yaml: LocatedYaml


def parse_recipe(text: str, file: str) -> LoadedRecipe:
    """The recipe in a YAML text.

    Raises
    ------
    SettingsInvalid
        For the first thing that is wrong, with file, line and a hint.
    """
    located = load_located_yaml(text, file)
    if not isinstance(located.data, dict):
        raise SettingsInvalid(
            "A recipe is a mapping", where=located.where(()), hint="Start with `name: …` on a line of its own."
        )
    try:
        recipe = Recipe.model_validate(located.data)
    except ValidationError as error:
        raise _explained(error, located) from error
    return LoadedRecipe(recipe, text, located)


def _explained(error: ValidationError, located: LocatedYaml) -> SettingsInvalid:
    problem = error.errors(include_url=False)[0]
    path = _path_in_text(tuple(problem["loc"]), located)
    name = ".".join(str(part + 1) if isinstance(part, int) else part for part in path)
    hint = "See the built-in recipes for examples: `ListRecipes` gives their text."
    if problem["type"] == "extra_forbidden":
        known = _known_keys(path[:-1])
        what = f"{name} is not a key of a recipe{did_you_mean(str(path[-1]), known)}"
        hint = f"Known keys there: {', '.join(known)}."
    elif "parameters" in problem["loc"]:
        what = f"{name} is not a number, a text, true, false or a list of them"
        hint = "Write dates and the like in quotes."
    elif problem["type"] == "missing":
        what = f"The recipe has no {name}"
        hint = f"Add `{path[-1]}: …`."
    else:
        # What pydantic says is about the rule, not about a person: recipes hold no patient data.
        message = re.sub(r"^Value error, ", "", problem["msg"])
        what = f"{name}: {message}" if name else message[:1].upper() + message[1:]
        # A rule over several stages names the one that breaks it by its number.
        if not path and (number := re.match(r"stage (\d+) ", message)):
            path = ("stages", int(number.group(1)) - 1)
    return SettingsInvalid(what, where=located.where(path), hint=hint)


def _path_in_text(loc: Path, located: LocatedYaml) -> Path:
    """Where the author wrote what the model complains of; a key that is missing there counts.

    In the text, parameters stand beside the stage's own keys, and there are no members of unions.
    """
    path: Path = ()
    value: Any = located.data
    for part in (part for part in loc if part != "parameters"):
        if (*path, part) in located.lines:
            path, value = (*path, part), value[part]
        else:
            return (*path, part) if isinstance(value, dict) else path
    return path


def _known_keys(path: Path) -> list[str]:
    if path[:1] == ("alerts",):
        return list(AlertRule.model_fields)
    models: dict[Path, type[BaseModel]] = {
        (): Recipe,
        ("match",): Match,
        ("select",): Select,
        ("select", "exclude"): Exclude,
    }
    return list(models.get(path, StageSpec).model_fields)
