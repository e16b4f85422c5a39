"""Masks that several models need are found once, and are those of `body_mask` and `lung_mask`."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from analysis_svc.anatomy import shared_masks
from analysis_svc.anatomy.body_mask import body_mask
from analysis_svc.anatomy.lung_mask import lung_mask
from analysis_svc.anatomy.shared_masks import Recent, shared_body_mask, shared_lung_mask
from tests.analysis.chest import chest


def test_shared_masks_are_those_of_the_functions_and_belong_to_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_masks, "_recent", Recent(4))
    volume, _ = chest()
    body = body_mask(volume.voxels, volume.spacing_mm)
    lungs = lung_mask(volume.voxels, body, volume.spacing_mm)
    for _ in range(2):
        shared = shared_body_mask(volume.voxels, volume.spacing_mm)
        assert np.array_equal(shared, body)
        shared[:] = False
        found = shared_lung_mask(volume.voxels, body, volume.spacing_mm)
        assert np.array_equal(found.right, lungs.right)
        assert np.array_equal(found.left, lungs.left)
        assert (found.limit_hu, found.touching) == (lungs.limit_hu, lungs.touching)


def test_masks_are_found_once_for_the_same_voxels_and_anew_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_masks, "_recent", Recent(4))
    calls = []
    monkeypatch.setattr(shared_masks, "body_mask", lambda voxels, spacing_mm: calls.append(1) or voxels > 0)
    voxels = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    for given in (voxels, voxels.copy(), voxels[::-1][::-1], voxels + 1):
        assert np.array_equal(shared_body_mask(given, (1.0, 1.0, 1.0)), given > 0)
    assert len(calls) == 2
    shared_body_mask(voxels, (2.0, 1.0, 1.0))
    assert len(calls) == 3


def test_who_asks_meanwhile_waits_and_the_oldest_is_forgotten() -> None:
    recent, begun, go = Recent(2), threading.Event(), threading.Event()
    made = []

    def slow() -> str:
        begun.set()
        go.wait(30)
        made.append("a")
        return "a"

    results: list[str] = []
    threads = [threading.Thread(target=lambda: results.append(recent.get("a", slow))) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert begun.wait(30)
    go.set()
    for thread in threads:
        thread.join(30)
    assert (results, made) == (["a"] * 3, ["a"])
    recent.get("b", lambda: "b")
    recent.get("c", lambda: "c")
    assert recent.get("a", slow) == "a"
    assert made == ["a", "a"]


def test_what_failed_is_made_again() -> None:
    recent = Recent(2)

    def broken() -> str:
        raise MemoryError

    with pytest.raises(MemoryError):
        recent.get("a", broken)
    assert recent.get("a", lambda: "whole") == "whole"
