"""The recipes that are loaded, in the order in which they are tried."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from importlib import resources
from pathlib import Path

from imaging.errors import NotFound, SettingsInvalid
from imaging.storage.v1 import storage_pb2
from pipeline_svc.recipes.fit import first_that_fits
from pipeline_svc.recipes.parse_recipe import LoadedRecipe, parse_recipe
from pipeline_svc.recipes.recipe import Recipe
from pipeline_svc.recipes.suggestion import did_you_mean

BUILT_IN = (
    "ct-calcium",
    "ct-chest",
    "pet-ct",
    "segmented",
    "ct-general",
    "mr-general",
    "xray-general",
    "ultrasound-general",
    "general",
)
"""From the most special to the one that takes anything with images."""


class RecipeBook:
    """Recipes by name and in order: the user's own, by file name, before the built-in ones."""

    def __init__(self, loaded: Iterable[LoadedRecipe]) -> None:
        self._loaded: dict[str, LoadedRecipe] = {}
        for one in loaded:
            name = one.recipe.name
            if name in self._loaded:
                raise SettingsInvalid(
                    f"Two recipes have the name {name!r}, this one and {self._loaded[name].yaml.where(('name',))}",
                    where=one.yaml.where(("name",)),
                    hint="Give one of them another name.",
                )
            self._loaded[name] = one

    def __iter__(self) -> Iterator[LoadedRecipe]:
        return iter(self._loaded.values())

    def get(self, name: str) -> LoadedRecipe:
        """The recipe of that name.

        Raises
        ------
        NotFound
            If it is not loaded.
        """
        if name not in self._loaded:
            raise NotFound(
                f"No recipe {name!r} is loaded{did_you_mean(name, self._loaded)}",
                where=name,
                hint=f"Loaded are: {', '.join(self._loaded)}.",
            )
        return self._loaded[name]

    @property
    def sends(self) -> bool:
        """True if a recipe has a stage `send`."""
        return any(stage.kind == "send" for loaded in self for stage in loaded.recipe.stages)

    def from_on(self, name: str) -> list[LoadedRecipe]:
        """The recipe of that name and those that are tried after it; empty if it is not loaded."""
        names = list(self._loaded)
        return [self._loaded[later] for later in names[names.index(name) :]] if name in self._loaded else []

    def first_that_fits(self, study: storage_pb2.Study, series: Sequence[storage_pb2.Series]) -> LoadedRecipe | None:
        """The first recipe that fits the study; None if there is none."""
        recipes: list[Recipe] = [one.recipe for one in self]
        found = first_that_fits(recipes, study, series)
        return self._loaded[found.name] if found is not None else None


def load_recipe_book(folder: Path | None) -> RecipeBook:
    """The recipes of a folder (`*.yaml`, `*.yml`) and the built-in ones.

    A user's recipe with the name of a built-in one takes its place.

    Raises
    ------
    SettingsInvalid
        For the first recipe that is wrong, with file, line and a hint; or if the folder is not there.
    """
    own = [] if folder is None else [_load_file(path) for path in _recipe_files(folder)]
    replaced = {one.recipe.name for one in own}
    built_in = (_load_built_in(name) for name in BUILT_IN)
    return RecipeBook([*own, *(one for one in built_in if one.recipe.name not in replaced)])


def _recipe_files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise SettingsInvalid(
            "The folder of recipes is not there",
            where=f"pipeline.recipes_dir = {folder}",
            hint="Make the folder, or leave the setting out.",
        )
    return sorted(path for path in folder.iterdir() if path.suffix in {".yaml", ".yml"} and path.is_file())


def _load_file(path: Path) -> LoadedRecipe:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise SettingsInvalid(
            f"The recipe cannot be read: {reason}", where=str(path), hint="Check the file and its permissions."
        ) from error
    return parse_recipe(text, str(path))


def _load_built_in(name: str) -> LoadedRecipe:
    text = resources.files("pipeline_svc").joinpath("recipes", f"{name}.yaml").read_text(encoding="utf-8")
    return parse_recipe(text, f"{name}.yaml")
