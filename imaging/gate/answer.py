"""The gate's answer over all objects of a stage, as the contract tells it."""

from __future__ import annotations

from collections.abc import Iterable

from imaging.gate.check import Passed
from imaging.stage.v1.stage_pb2 import ObjectCheck


def gate_answer(passed: Iterable[Passed]) -> list[ObjectCheck]:
    """One check for each SOP Class, in the order of their first objects."""
    checks: dict[str, ObjectCheck] = {}
    for each in passed:
        check = checks.setdefault(each.sop_class_uid, ObjectCheck(sop_class_uid=each.sop_class_uid))
        check.object_count += 1
        for rule, count in each.compared.items():
            check.compared[rule] += count
        if each.largest_deviation_mm is not None:
            check.largest_deviation_mm = max(check.largest_deviation_mm, each.largest_deviation_mm)
    return list(checks.values())
