"""The stored instances that a report refers to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pydicom.dataset import Dataset

from reporting_svc.content.report_content import FindingGroup, SourceFrame
from reporting_svc.dicom.study_identity import uids_of_name

MAX_FRAMES_PER_GROUP = 1000
"""A group that rests on more frames names its series only through the first of these."""


@dataclass(frozen=True, slots=True)
class StoredInstance:
    """An instance as storage knows it."""

    name: str
    """`studies/{uid}/series/{uid}/instances/{uid}`."""

    sop_class_uid: str
    number_of_frames: int

    @property
    def sop_instance_uid(self) -> str:
        """(0008,0018)."""
        return self.name.rsplit("/", 1)[-1]


def reference(identity: Dataset, name: str, sop_class_uid: str) -> Dataset:
    """What a reference to an instance needs, with the patient and study attributes of `identity`."""
    item = Dataset()
    item.update(identity)
    uids = uids_of_name(name)
    item.StudyInstanceUID, item.SeriesInstanceUID = uids["studies"], uids["series"]
    item.SOPInstanceUID, item.SOPClassUID = uids["instances"], sop_class_uid
    return item


def collect_references(
    groups: Iterable[FindingGroup], segmentations: Mapping[str, StoredInstance], identity: Dataset
) -> list[Dataset]:
    """One item for each source image and segmentation that the groups refer to, in the order of their appearance.

    Parameters
    ----------
    segmentations
        By SOP Instance UID; a segmentation that is not there is left out, and must not be referred to.
    """
    names: dict[str, str] = {}
    for group in groups:
        for frame in group_frames(group):
            names.setdefault(f"{group.series}/instances/{frame.sop_instance_uid}", frame.sop_class_uid)
        segmentation = segmentations.get(group.segmentation_sop_instance_uid)
        if segmentation is not None:
            names.setdefault(segmentation.name, segmentation.sop_class_uid)
    return [reference(identity, name, sop_class_uid) for name, sop_class_uid in names.items()]


def group_frames(group: FindingGroup) -> list[SourceFrame]:
    """The distinct frames of a group that can be referred to."""
    usable = set(uids_of_name(group.series)) >= {"studies", "series"}
    valid = [
        frame
        for frame in group.frames
        if usable and frame.sop_class_uid and uids_of_name(f"instances/{frame.sop_instance_uid}")
    ]
    return valid[:MAX_FRAMES_PER_GROUP]
