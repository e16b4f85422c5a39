"""Which frames show the findings best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reporting_svc.content.report_content import FindingGroup, SourceFrame


@dataclass(frozen=True, slots=True)
class KeyImageWish:
    """A frame to be drawn, and the groups that it shows."""

    series: str
    frame: SourceFrame
    groups: tuple[FindingGroup, ...]

    @property
    def segmentations(self) -> tuple[str, ...]:
        """SOP Instance UIDs of the segmentations to be drawn in."""
        uids = (group.segmentation_sop_instance_uid for group in self.groups)
        return tuple(dict.fromkeys(uid for uid in uids if uid))

    @property
    def title(self) -> str:
        """What the image shows: the first thing, and how many more."""
        labels = list(dict.fromkeys(group.label for group in self.groups))
        if len(labels) <= 3:
            return ", ".join(labels)
        return f"{', '.join(labels[:2])} and {len(labels) - 2} more"


def choose_key_images(groups: Sequence[FindingGroup], at_most: int) -> tuple[KeyImageWish, ...]:
    """At most so many frames: each model in turn gives one, frames with a segmentation before those without.

    Groups of one model that share a frame share an image; so do all that have no segmentation.
    """
    queues: dict[tuple[bool, str], list[KeyImageWish]] = {}
    for wish in _wishes(groups):
        # Without a segmentation each series has its turn: a study of many series shows each of them once.
        plain = not wish.segmentations
        queues.setdefault((plain, wish.series if plain else wish.groups[0].measurements[0].model), []).append(wish)
    chosen: list[KeyImageWish] = []
    for is_plain in (False, True):
        if is_plain and chosen:
            break
        lines = [queue for (plain, _), queue in queues.items() if plain == is_plain]
        while any(lines) and len(chosen) < at_most:
            for line in lines:
                if line and len(chosen) < at_most:
                    chosen.append(line.pop(0))
    return tuple(chosen)


def _wishes(groups: Sequence[FindingGroup]) -> list[KeyImageWish]:
    shared: dict[tuple[str, str, SourceFrame], list[FindingGroup]] = {}
    for group in groups:
        frame = group.best_frame
        if frame is None:
            continue
        shared.setdefault((group.series, group.measurements[0].model, frame), []).append(group)
    wishes = [KeyImageWish(series, frame, tuple(members)) for (series, _, frame), members in shared.items()]
    # A frame with nothing drawn in looks the same for every model.
    plain: dict[tuple[str, SourceFrame], list[FindingGroup]] = {}
    for wish in wishes:
        if not wish.segmentations:
            plain.setdefault((wish.series, wish.frame), []).extend(wish.groups)
    merged = [KeyImageWish(series, frame, tuple(members)) for (series, frame), members in plain.items()]
    return [*(wish for wish in wishes if wish.segmentations), *merged]
