"""ONNX models: the right masks in the right place, and harm that stays within their own process."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest

from analysis_svc.measurement import Analysis
from analysis_svc.onnx.model_card import read_model_card
from analysis_svc.onnx.onnx_model import OnnxModel, OnnxParameters
from analysis_svc.onnx.onnx_run import run_onnx
from analysis_svc.onnx.sliding_window import slide
from analysis_svc.registry import ModelRegistry
from imaging.analysis.v1 import analysis_service_pb2 as pb
from imaging.client.storage import StorageClient
from imaging.errors import Cancelled, ModelFailed, SettingsInvalid
from imaging.rpc.channel import open_channel
from imaging.rpc.status import domain_errors
from imaging.volume.volume import Volume
from tests.analysis import onnx_models
from tests.analysis.chest import hounsfield_volume, seen_from, silent
from tests.analysis.conftest import Services, analysis_request
from tests.analysis.onnx_models import CARD, write
from tests.ct_series import ct_series
from tests.installation.in_process import services_in_process

SHORT = CARD.replace("minutes: 2", "minutes: 0.03")


def _volume() -> Volume:
    """A bright block in air, an odd size in every direction."""
    voxels = np.full((13, 37, 41), -1000, dtype=np.int16)
    voxels[4:9, 10:25, 20:33] = 400
    return hounsfield_volume(voxels, (3.0, 1.5, 1.5))


def _analyze(folder: Path, volume: Volume) -> Analysis:
    return OnnxModel(folder).analyze(volume, OnnxParameters(), silent)


def test_the_mask_is_where_the_network_says_and_its_volume_is_told(tmp_path: Path) -> None:
    volume = _volume()
    analysis = _analyze(write(tmp_path / "m", onnx_models.threshold()), volume)
    (mask,) = analysis.masks
    assert np.array_equal(mask.voxels, volume.voxels > 0)
    (measurement,) = analysis.measurements
    assert measurement.value == pytest.approx((volume.voxels > 0).sum() * volume.voxel_volume_mm3 / 1000)
    assert measurement.segment_label == "Bright"
    (flag,) = measurement.quality_flags
    assert "for nothing else" in flag.message
    assert "Apache-2.0" in flag.message


def test_a_network_for_single_slices_gives_the_same(tmp_path: Path) -> None:
    card = CARD.replace("[8, 16, 16]", "[1, 16, 16]")
    analysis = _analyze(write(tmp_path / "m", onnx_models.threshold(flat=True), card), _volume())
    assert np.array_equal(analysis.masks[0].voxels, _volume().voxels > 0)


def test_sigmoid_marks_each_channel_for_itself(tmp_path: Path) -> None:
    card = CARD.replace("outputs:", "activation: sigmoid\noutputs:")
    analysis = _analyze(write(tmp_path / "m", onnx_models.threshold(), card), _volume())
    assert np.array_equal(analysis.masks[0].voxels, _volume().voxels >= 0)


@pytest.mark.parametrize("spacing", ["[1.5, 1.5, 1.5]", "[3.0, 3.0, 3.0]"])
def test_masks_of_another_spacing_come_back_to_the_grid_of_the_images(tmp_path: Path, spacing: str) -> None:
    card = CARD.replace("input:\n", f"input:\n  spacing_mm: {spacing}\n")
    volume = _volume()
    (mask,) = _analyze(write(tmp_path / "m", onnx_models.threshold(), card), volume).masks
    assert mask.voxels.shape == volume.voxels.shape
    true = volume.voxels > 0
    assert (mask.voxels & true).sum() * 2 / (mask.voxels.sum() + true.sum()) > 0.85
    middle = np.argwhere(mask.voxels).mean(axis=0) - np.argwhere(true).mean(axis=0)
    assert np.abs(middle).max() < 0.75


def test_the_network_sees_the_patient_the_same_way_however_the_series_was_acquired(tmp_path: Path) -> None:
    folder = write(tmp_path / "m", onnx_models.threshold())
    turned = seen_from(_volume(), (2, 0, 1), (True, False, True))
    (mask,) = _analyze(folder, turned).masks
    assert np.array_equal(mask.voxels, turned.voxels > 0)


def test_patches_cover_every_voxel_and_agree_at_their_seams() -> None:
    volume = np.random.default_rng(1).random((11, 9, 30), dtype=np.float32)
    told: list[tuple[int, int]] = []
    for patch, overlap in (((4, 4, 4), 0.0), ((4, 5, 7), 0.6), ((20, 20, 20), 0.25)):
        answer = slide(
            volume,
            lambda given: np.concatenate([given, 2 * given], axis=1),
            patch=patch,
            overlap=overlap,
            batch=3,
            channels=2,
            progress=lambda done, total: told.append((done, total)),
        )
        assert np.allclose(answer, np.stack([volume, 2 * volume]), atol=1e-5)
        assert told[-1][0] == told[-1][1]


@pytest.mark.parametrize(
    ("content", "card", "words"),
    [
        (onnx_models.one_channel, CARD, "the output has the shape (2, 1, 8, 16, 16)"),
        (onnx_models.halved, CARD, "the output has the shape (2, 1, 4, 8, 8)"),
        (onnx_models.not_finite, CARD, "not finite"),
        (onnx_models.glutton, CARD, "failed"),
        (onnx_models.endless, SHORT, "longer than its limit"),
        (lambda: b"no model at all", CARD, "the runtime raised"),
    ],
)
def test_harm_fails_the_model_with_the_reason_and_leaves_no_process(
    tmp_path: Path, content: Callable[[], bytes], card: str, words: str
) -> None:
    before = {child.pid for child in psutil.Process().children()}
    with pytest.raises(ModelFailed) as failed:
        _analyze(write(tmp_path / "m", content(), card), _volume())
    assert words in failed.value.what
    assert {child.pid for child in psutil.Process().children()} <= before


def test_a_process_that_dies_is_told_by_its_signal(tmp_path: Path) -> None:
    program = (
        "import os, socket, sys; s = socket.socket(fileno=int(sys.argv[1]));"
        "from imaging.codecs.worker_wire import send_message; send_message(s, {}, b'', None); s.recv(9); os.abort()"
    )
    card = read_model_card(write(tmp_path / "m", b"") / "model.yaml")
    volume = np.zeros((2, 2, 2), dtype=np.float32)
    with pytest.raises(ModelFailed, match="was ended by SIGABRT"):
        run_onnx(card, tmp_path, volume, silent, command=(sys.executable, "-P", "-c", program))


def test_a_cancel_ends_the_process_in_the_middle_of_a_patch(tmp_path: Path) -> None:
    folder = write(tmp_path / "m", onnx_models.endless())
    calls = 0

    def cancelling(done: int, total: int, unit: str, message: str) -> None:
        nonlocal calls
        calls += 1
        if calls > 3:
            raise Cancelled("Cancelled", hint="Send it again.")

    before = {child.pid for child in psutil.Process().children()}
    with pytest.raises(Cancelled):
        OnnxModel(folder).analyze(_volume(), OnnxParameters(), cancelling)
    assert {child.pid for child in psutil.Process().children()} <= before


def test_a_changed_file_is_another_version(tmp_path: Path) -> None:
    first = OnnxModel(write(tmp_path / "a", onnx_models.threshold()))
    same = OnnxModel(write(tmp_path / "b", onnx_models.threshold()))
    other = OnnxModel(write(tmp_path / "c", onnx_models.one_channel()))
    assert first.version == same.version != other.version
    assert first.version.startswith("1.0+")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("licence: Apache-2.0\n", "", "licence"),
        ("window: [-1000, 1000]", "window: [1000, -1000]", "lower to the higher"),
        ("[8, 16, 16]", "[8, 16]", "patch"),
        ("channel: 1", "channel: -1", "channel"),
        ("overlap: 0.5", "overlap: 1.5", "overlap"),
        ("name: bright-tissue", "name: Bright Tissue", "name"),
        ("batch: 2", "batches: 2", "batches"),
        ("name:", "{", "cannot be read"),
    ],
)
def test_a_wrong_card_is_refused_with_the_field(tmp_path: Path, old: str, new: str, words: str) -> None:
    folder = write(tmp_path / "m", b"", CARD.replace(old, new))
    with pytest.raises(SettingsInvalid, match=words) as refused:
        OnnxModel(folder)
    assert refused.value.where.endswith("model.yaml")


def test_a_folder_of_models_is_found_and_a_broken_one_left_out_with_the_reason(tmp_path: Path) -> None:
    write(tmp_path / "good", onnx_models.threshold())
    write(tmp_path / "bad", b"", "name: bad\n")
    (tmp_path / "notes").mkdir()
    registry = ModelRegistry.discover(tmp_path)
    assert registry.get("bright-tissue").distribution == "good (Apache-2.0)"
    (problem,) = registry.problems
    assert problem.startswith("The model in bad is left out")


async def test_over_grpc_it_stores_a_segmentation_and_a_bad_one_fails_its_request_alone(tmp_path: Path) -> None:
    write(tmp_path / "models" / "good", onnx_models.threshold())
    write(tmp_path / "models" / "bad", onnx_models.one_channel(), CARD.replace("bright-tissue", "wrong-shape"))
    sent = ct_series("onnx")
    overrides = {"analysis.onnx_models_dir": tmp_path / "models"}
    async with (
        services_in_process(tmp_path / "data", "storage", "analysis", overrides=overrides) as settings,
        open_channel(settings.storage.address) as storage,
        open_channel(settings.analysis.address) as analysis,
    ):
        from imaging.analysis.v1 import analysis_service_pb2_grpc

        client = StorageClient(storage)
        services = Services(settings, client, analysis_service_pb2_grpc.AnalysisServiceStub(analysis))
        await services.send(sent.instances.values())
        good, bad = await asyncio.gather(
            services.analyze(analysis_request(sent.series, "bright-tissue", request_id="good")),
            services.analyze(analysis_request(sent.series, "wrong-shape", request_id="bad")),
            return_exceptions=True,
        )
        assert isinstance(bad, ModelFailed)
        assert "the output has the shape" in bad.what
        assert good.algorithm.startswith("bright-tissue 1.0+")
        assert len(good.instances) == len(good.findings) == 1
        assert good.findings[0].segment_number == 1
        with domain_errors():
            models = (await services.analysis.ListModels(pb.ListModelsRequest())).models
        assert {"bright-tissue", "wrong-shape"} <= {model.name for model in models}
        await client.close()


def test_padding_and_odd_numbers_do_not_reach_the_network(tmp_path: Path) -> None:
    volume = _volume()
    voxels = volume.voxels.astype(np.float32)
    voxels[0, 0, 0] = np.nan
    (mask,) = _analyze(write(tmp_path / "m", onnx_models.threshold()), replace(volume, voxels=voxels)).masks
    assert not mask.voxels[0, 0, 0]


@pytest.mark.parametrize("spacing", ["", "  spacing_mm: [2.0, 2.0, 2.0]\n"])
def test_padding_is_never_a_part_of_a_mask(tmp_path: Path, spacing: str) -> None:
    volume = _volume()
    voxels = volume.voxels.copy()
    voxels[:, :, 26:] = 3000
    card = CARD.replace("input:\n", f"input:\n{spacing}")
    padded = replace(volume, voxels=voxels, attributes={"PixelPaddingValue": "3000"})
    (mask,) = _analyze(write(tmp_path / "m", onnx_models.threshold(), card), padded).masks
    assert mask.voxels[5, 15, 22]
    assert not mask.voxels[:, :, 26:].any()
