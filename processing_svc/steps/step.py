"""What a processing step is."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from imaging.derived.derivation import Algorithm, Derivation
from imaging.errors import InvalidArgument
from imaging.volume.volume import Volume

Progress = Callable[[int, int], None]
"""Called with (done, total) in slices; it may raise to end the work, so call it now and then."""


class StepParameters(BaseModel):
    """Base of a step's parameters: frozen, unknown names refused; units stand in the names (`spacing_mm`)."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


P = TypeVar("P", bound=StepParameters)


class SeriesStep(ABC, Generic[P]):
    """Something that makes a derived series of a series, by name and parameters."""

    name: ClassVar[str]
    """Lower-case words joined by hyphens: `resample-isotropic`."""

    version: ClassVar[str]
    """Changes when the result for the same input can change."""

    description: ClassVar[str]
    """What it does, in a sentence."""

    Parameters: type[P]
    """Its JSON Schema is shown to users, and recipes are checked against it when they are loaded."""

    def parameters_schema(self) -> str:
        """JSON Schema (2020-12) of the parameters."""
        return json.dumps(self.Parameters.model_json_schema(), sort_keys=True)

    def parsed(self, given: Mapping[str, Any]) -> P:
        """The parameters, checked and with defaults filled in.

        Raises
        ------
        InvalidArgument
            Names each parameter that is unknown, missing or out of range, and the known ones.
        """
        try:
            return self.Parameters.model_validate(dict(given))
        except ValidationError as error:
            problems = "; ".join(
                f"{'.'.join(str(part) for part in problem['loc']) or 'parameters'}: {problem['msg']}"
                for problem in error.errors(include_url=False, include_input=False)
            )
            known = ", ".join(self.Parameters.model_fields) or "none"
            raise InvalidArgument(
                f"Parameters of step {self.name} are refused: {problems}",
                where=f"step {self.name}",
                hint=f"Known parameters: {known}.",
                metadata={"step": self.name},
            ) from error

    def algorithm(self, parameters: P) -> Algorithm:
        """Name, version and all parameters, defaults included; what derived UIDs follow from."""
        return Algorithm(self.name, self.version, parameters.model_dump(mode="json"))


class Step(SeriesStep[P]):
    """A pure function from a volume to a volume: the same input and parameters give the same output."""

    within_slices: ClassVar[bool] = False
    """True if a slice is never mixed with others, so that it can be processed by itself. What is not given and is
    estimated (a noise, a range of values) is so of all slices: where it is given, the result is the same."""

    @abstractmethod
    def apply(self, volume: Volume, parameters: P, progress: Progress) -> Volume:
        """The processed volume; the given one is not changed. Runs in a thread.

        Raises
        ------
        VolumeRefused, InvalidArgument
            If the volume or the parameters do not allow it.
        """

    @abstractmethod
    def derivation(self, parameters: P) -> Derivation:
        """How the images of the output are described."""

    def derivation_of(self, processed: Volume, parameters: P) -> Derivation:
        """The same where the output is known, for what it tells more exactly than the parameters."""
        return self.derivation(parameters)
