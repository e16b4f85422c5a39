"""What a stage `send` sends: names of what the run has stored, or the study."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Final

from pipeline_svc.runs.record import RunRecord, StageRecord

if TYPE_CHECKING:
    from imaging.client.storage import StorageClient

_CLASSES: Final = {
    "sr": ("1.2.840.10008.5.1.4.1.1.88.",),
    "pdf": ("1.2.840.10008.5.1.4.1.1.104.1",),
    "seg": ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7"),
}
"""Beginnings of the SOP Class UIDs (PS3.4 B.5)."""


async def names_to_send(run: RunRecord, what: Collection[str], storage: StorageClient) -> tuple[str, ...]:
    """Names of studies and instances, sorted; none if the run has stored nothing of that.

    Raises
    ------
    Unavailable
        If storage does not answer.
    """
    if "study" in what:
        return (run.study,)
    made = [(stage, name) for stage in run.stages for name in stage.outcome.instances]
    if "results" not in what:
        classes = await _sop_classes(storage, {name.partition("/instances/")[0] for _, name in made})
        made = [(stage, name) for stage, name in made if _is_wanted(stage, classes.get(name, ""), what)]
    return tuple(sorted({name for _, name in made}))


def _is_wanted(stage: StageRecord, sop_class_uid: str, what: Collection[str]) -> bool:
    if "series" in what and stage.plan.kind == "process":
        return True
    return any(sop_class_uid.startswith(_CLASSES[one]) for one in what if one in _CLASSES)


async def _sop_classes(storage: StorageClient, series: Collection[str]) -> dict[str, str]:
    return {
        instance.name: instance.sop_class_uid
        for one in sorted(series)
        async for instance in storage.search_instances(one)
    }
