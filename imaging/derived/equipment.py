"""Who made an object: this product, as DICOM's equipment attributes tell it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib import metadata

from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from imaging.derived.dicom_time import dt_value


@dataclass(frozen=True, slots=True)
class Equipment:
    """A device or program in the words of the General Equipment module (PS3.3 C.7.5.1)."""

    manufacturer: str
    model_name: str
    software_version: str
    device_serial_number: str
    """Type 1 in the Enhanced General Equipment module (PS3.3 C.7.5.2); a program has no number of its own."""


@cache
def product_equipment() -> Equipment:
    """This product, with the version that is installed."""
    return Equipment(
        manufacturer="Imaging Pipeline open-source project",
        model_name="imaging-pipeline",
        software_version=metadata.version("imaging-pipeline"),
        device_serial_number="software",
    )


def set_equipment(dataset: Dataset, equipment: Equipment | None = None) -> None:
    """Write the General Equipment module of an object that this product makes (PS3.3 C.7.5.1)."""
    maker = equipment or product_equipment()
    dataset.Manufacturer = maker.manufacturer
    dataset.ManufacturerModelName = maker.model_name
    dataset.DeviceSerialNumber = maker.device_serial_number
    dataset.SoftwareVersions = maker.software_version


def contribution(
    effective_time: datetime,
    description: str,
    *,
    purpose: Code = codes.DCM.ProcessingEquipment,
    equipment: Equipment | None = None,
) -> Dataset:
    """One item of ContributingEquipmentSequence for what this product did (PS3.3 C.12.1.1.5).

    Parameters
    ----------
    effective_time
        The time of the request, with its time zone; never the clock, so that a retry gives the same bytes.
    description
        What was done, at most 1024 characters (ST).
    purpose
        A code of CID 7005, such as `113091 DCM Processing Equipment`.
    """
    maker = equipment or product_equipment()
    item = Dataset()
    item.PurposeOfReferenceCodeSequence = [coded(purpose)]
    item.Manufacturer = maker.manufacturer
    item.ManufacturerModelName = maker.model_name
    item.SoftwareVersions = maker.software_version
    item.ContributionDateTime = dt_value(effective_time)
    item.ContributionDescription = description[:1024]
    return item


def coded(code: Code) -> Dataset:
    """The item of a code sequence for a concept (PS3.3 8.8)."""
    item = Dataset()
    item.CodeValue = code.value
    item.CodingSchemeDesignator = code.scheme_designator
    item.CodeMeaning = code.meaning
    if code.scheme_version:
        item.CodingSchemeVersion = code.scheme_version
    return item
