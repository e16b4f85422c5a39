"""`model.yaml`: what an ONNX model takes, gives, may be used for, and may take of the machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from imaging.errors import SettingsInvalid

if TYPE_CHECKING:
    from pydicom.sr.coding import Code

_MOST_CHARACTERS: Final = 100_000
_Size = Annotated[int, Field(ge=1, le=1024)]
_Step = Annotated[float, Field(gt=0.0, le=100.0)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class CodedConcept(_Strict):
    """A coded concept (PS3.16)."""

    value: str = Field(min_length=1, max_length=16)
    scheme: str = Field(min_length=1, max_length=16)
    meaning: str = Field(min_length=1, max_length=64)

    @property
    def code(self) -> Code:
        """As pydicom has it."""
        from pydicom.sr.coding import Code  # slow to import, and the child process needs none

        return Code(self.value, self.scheme, self.meaning)


class OnnxInput(_Strict):
    """What the network is given: float32 of shape (batch, 1, z, y, x), or (batch, 1, y, x) for a patch of one slice."""

    orientation: Literal["patient"] = "patient"
    """z to the head, y to the back, x to the patient's left."""

    spacing_mm: tuple[_Step, _Step, _Step] | None = None
    """Along (z, y, x), to which images are resampled; None: as they are."""

    window: tuple[float, float]
    """Values that become 0 and 1; what is beyond is cut off."""

    patch: tuple[_Size, _Size, _Size]
    """Of the sliding window, (z, y, x)."""

    overlap: float = Field(0.25, ge=0.0, le=0.9)
    """Of neighbouring patches, as a part of the patch."""

    batch: int = Field(1, ge=1, le=64)

    @model_validator(mode="after")
    def _has_a_range(self) -> OnnxInput:
        if self.window[0] >= self.window[1]:
            raise ValueError("window goes from the lower to the higher value")
        return self


class OnnxOutput(_Strict):
    """One thing that the network marks: a channel of its output, of shape (batch, channels, z, y, x)."""

    label: str = Field(min_length=1, max_length=64)
    channel: int = Field(ge=0, le=255)
    category: CodedConcept = CodedConcept(value="91723000", scheme="SCT", meaning="Anatomical Structure")
    type: CodedConcept
    site: CodedConcept | None = None
    colour: tuple[Annotated[int, Field(ge=0, le=255)], ...] = Field((230, 60, 60), min_length=3, max_length=3)


class OnnxLimits(_Strict):
    """What one run may take; over it, the process is ended and its stage fails."""

    threads: int = Field(1, ge=1, le=64)
    memory_mib: int = Field(2048, ge=64, le=1 << 20)
    """Address space on top of the loaded runtime."""

    minutes: float = Field(10.0, gt=0.0, le=24 * 60)


class ModelCard(_Strict):
    """The whole file."""

    name: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=64)
    version: str = Field(min_length=1, max_length=32)
    description: str = Field(min_length=1, max_length=400)
    licence: str = Field(min_length=1, max_length=64)
    """SPDX identifier of the weights' licence."""

    intended_use: str = Field(min_length=1, max_length=400)
    """Stands beside each of its numbers."""

    modalities: tuple[str, ...] = Field(min_length=1)
    input: OnnxInput
    activation: Literal["softmax", "sigmoid"] = "softmax"
    """What comes after the network, whose output is taken before it. softmax: the channel with the largest value has
    the voxel; sigmoid: each channel marks, for itself, where it is 0 (a half) or more."""

    outputs: tuple[OnnxOutput, ...] = Field(min_length=1, max_length=100)
    limits: OnnxLimits = OnnxLimits()

    @model_validator(mode="after")
    def _tells_outputs_apart(self) -> ModelCard:
        for names in ([output.label for output in self.outputs], [output.channel for output in self.outputs]):
            if len(set(names)) < len(names):
                raise ValueError("two outputs have the same label or channel")
        return self


def read_model_card(path: Path) -> ModelCard:
    """The card in a file.

    Raises
    ------
    SettingsInvalid
        Naming the field that is wrong.
    """
    try:
        text = path.read_text(encoding="utf-8")
        if len(text) > _MOST_CHARACTERS:
            raise ValueError("it is too long")
        return ModelCard.model_validate(yaml.safe_load(text))
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        name = ".".join(str(part) for part in problem["loc"])
        what = f"{name}: {problem['msg']}" if name else problem["msg"]
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        what = f"It cannot be read ({type(error).__name__})"
    raise SettingsInvalid(what, where=str(path), hint="docs/models.md shows a whole one.")
