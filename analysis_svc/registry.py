"""The installed models, found by the entry point group `imaging.models`."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from analysis_svc.model import Model
from analysis_svc.onnx.onnx_model import CARD, OnnxModel
from imaging.errors import FailedPrecondition, ImagingError, InvalidArgument, NotFound

GROUP: Final = "imaging.models"
_NAME: Final = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class InstalledModel:
    """A model and the package that brought it."""

    model: Model
    distribution: str
    """Name and version of the package, e.g. `imaging-pipeline 0.1.0`."""

    @property
    def parameters_schema(self) -> str:
        """JSON Schema of the parameters."""
        return json.dumps(self.model.Parameters.model_json_schema(), sort_keys=True)

    def parameters(self, given: Mapping[str, Any]) -> BaseModel:
        """The checked parameters, defaults filled in.

        Raises
        ------
        InvalidArgument
            Naming each field that the schema refuses.
        """
        try:
            return self.model.Parameters.model_validate(dict(given))
        except ValidationError as error:
            problems = "; ".join(
                f"{'.'.join(str(part) for part in problem['loc']) or 'parameters'}: {problem['msg']}"
                for problem in error.errors(include_url=False, include_input=False)
            )
            known = ", ".join(self.model.Parameters.model_fields) or "none"
            raise InvalidArgument(
                f"Parameters of model {self.model.name} are refused: {problems}",
                where="parameters",
                hint=f"Its parameters are: {known}.",
            ) from error


class ModelRegistry:
    """Models by name, and what could not be loaded.

    Raises
    ------
    FailedPrecondition
        If two packages bring a model of the same name: nobody could tell whose findings these are.
    """

    def __init__(self, installed: Iterable[InstalledModel], problems: Iterable[str] = ()) -> None:
        self._by_name: dict[str, InstalledModel] = {}
        self.problems = tuple(problems)
        """One sentence for each plug-in that was left out."""
        for entry in sorted(installed, key=lambda entry: entry.model.name):
            name = entry.model.name
            if name in self._by_name:
                raise FailedPrecondition(
                    f"Two packages bring a model named {name}: {self._by_name[name].distribution} and"
                    f" {entry.distribution}",
                    where=f"entry points {GROUP}",
                    hint="Uninstall one of them, or rename the model.",
                )
            self._by_name[name] = entry

    @classmethod
    def discover(cls, onnx_dir: Path | None = None) -> ModelRegistry:
        """The models of all installed packages, and of a folder of ONNX models; a broken one is logged and left out.

        Parameters
        ----------
        onnx_dir
            Its subfolders hold `model.onnx` and `model.yaml` each.
        """
        installed: list[InstalledModel] = []
        problems: list[str] = []
        for entry_point in sorted(metadata.entry_points(group=GROUP), key=lambda point: (point.name, point.value)):
            try:
                installed.append(_load(entry_point))
            # A plug-in is foreign code: whatever its import raises must not stop the service.
            except Exception as error:  # noqa: BLE001
                problem = f"Model {entry_point.name} ({entry_point.value}) is left out: {type(error).__name__}: {error}"
                problems.append(problem)
                _log.warning("a model is left out", extra={"entry_point": entry_point.name, "problem": problem})
        for folder in sorted(onnx_dir.iterdir()) if onnx_dir is not None and onnx_dir.is_dir() else []:
            if (folder / CARD).is_file():
                try:
                    installed.append(_load_onnx(folder))
                except ImagingError as error:
                    problem = f"The model in {folder.name} is left out: {error.text}"
                    problems.append(problem)
                    _log.warning("a model is left out", extra={"folder": folder.name, "problem": problem})
        return cls(installed, problems)

    def all(self) -> tuple[InstalledModel, ...]:
        """Every model, sorted by name."""
        return tuple(self._by_name.values())

    def get(self, name: str) -> InstalledModel:
        """The model of a name.

        Raises
        ------
        NotFound
            With the names that are there.
        """
        try:
            return self._by_name[name]
        except KeyError:
            raise NotFound(
                f"No model named {name!r} is installed",
                where="model",
                hint=f"Installed are: {', '.join(self._by_name) or 'none'}.",
            ) from None


def _load(entry_point: metadata.EntryPoint) -> InstalledModel:
    model = entry_point.load()()
    _check(model, entry_point.name)
    distribution = entry_point.dist
    origin = f"{distribution.metadata['Name']} {distribution.version}" if distribution is not None else "unknown"
    return InstalledModel(model, origin)


def _load_onnx(folder: Path) -> InstalledModel:
    if find_spec("onnxruntime") is None:
        raise FailedPrecondition(
            "ONNX Runtime is not installed",
            where=str(folder),
            hint="Install it: pip install 'imaging-pipeline[onnx]'.",
        )
    model = OnnxModel(folder)
    _check(model, model.name)
    return InstalledModel(model, f"{folder.name} ({model.card.licence})")


def _check(model: object, entry_point_name: str) -> None:
    if not isinstance(model, Model):
        missing = [
            attribute
            for attribute in ("name", "version", "description", "modalities", "requires", "Parameters", "analyze")
            if not hasattr(model, attribute)
        ]
        raise TypeError(f"it is no Model: it has no {', '.join(missing)}")
    if model.name != entry_point_name:
        raise ValueError(f"its name is {model.name!r}, not that of its entry point")
    if not _NAME.fullmatch(model.name):
        raise ValueError("its name is not made of lower-case words joined by hyphens")
    if not model.version or not isinstance(model.version, str):
        raise ValueError("it has no version")
    if isinstance(model.modalities, str):
        raise TypeError("modalities is a string; it must be a sequence of strings")
    if model.requires not in ("volume", "frames", "regions"):
        raise ValueError("requires is neither 'volume' nor 'frames' nor 'regions'")
    if not (isinstance(model.Parameters, type) and issubclass(model.Parameters, BaseModel)):
        raise TypeError("Parameters is not a pydantic model")
    # A field without a default would make every recipe without parameters fail, and only at its first run.
    model.Parameters()
