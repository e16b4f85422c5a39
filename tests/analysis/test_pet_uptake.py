"""SUV, metabolic volume and glycolysis of PET phantoms of known uptake; what is refused."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from pydicom.dataset import Dataset

from analysis_svc.models.pet_uptake import PetUptake
from analysis_svc.pet.suv_peak import RADIUS_MM, peak, sphere_weights
from analysis_svc.pet.suv_scale import suv_scale
from imaging.derived.deterministic import part10_bytes
from imaging.errors import MeasurementRefused
from tests.analysis.conftest import Services, analysis_request
from tests.analysis.pet import BALLS, DOSE_BQ, HALF_LIFE_S, SPACING_MM, WEIGHT_KG, pet_headers, uptake


def test_start_and_admin_give_the_factor_by_hand() -> None:
    # 80 kg, 400 MBq, F-18, 60 minutes: 400 * 2^(-3600/6586.2) = 273.87 MBq are left; 80000 g / 273.87e6 Bq.
    assert suv_scale(pet_headers("START")).factor == pytest.approx(80000 / 273.868e6, rel=1e-4)
    assert suv_scale(pet_headers("ADMIN")).factor == pytest.approx(80000 / 400e6)


def test_suv_that_is_there_already_and_counts_of_philips_are_taken() -> None:
    assert suv_scale(pet_headers(attributes={"Units": "GML"})).factor == 1.0
    headers = pet_headers(attributes={"Units": "CNTS"})
    for header in headers:
        header.private_block(0x7053, "Philips PET Private Group", create=True).add_new(0x00, "DS", "0.00042")
    assert suv_scale(headers).factor == 0.00042


def test_an_injection_on_the_evening_before_is_understood() -> None:
    headers = pet_headers()
    for header in headers:
        header.SeriesTime = header.AcquisitionTime = "001000"
        header.RadiopharmaceuticalInformationSequence[0].RadiopharmaceuticalStartTime = "231000"
    assert suv_scale(headers).factor == pytest.approx(80000 / 273.868e6, rel=1e-4)


def test_a_series_that_was_made_later_counts_from_its_first_acquisition() -> None:
    headers = pet_headers(attributes={"SeriesTime": "170000"})
    assert suv_scale(headers).factor == pytest.approx(80000 / 273.868e6, rel=1e-4)


def test_date_and_time_in_one_go_before_the_time_alone() -> None:
    headers = pet_headers()
    for header in headers:
        header.RadiopharmaceuticalInformationSequence[0].RadiopharmaceuticalStartDateTime = "20310506100000"
        header.RadiopharmaceuticalInformationSequence[0].RadiopharmaceuticalStartTime = "080000"
    assert suv_scale(headers).factor == pytest.approx(80000 / 273.868e6, rel=1e-4)


def test_a_nuclide_that_is_scanned_days_later_needs_the_date_of_the_injection() -> None:
    headers = pet_headers()
    for header in headers:
        agent = header.RadiopharmaceuticalInformationSequence[0]
        agent.RadionuclideHalfLife = str(78.4 * 3600)  # Zr-89
    with pytest.raises(MeasurementRefused, match="its day matters") as refused:
        suv_scale(headers)
    assert refused.value.metadata["rule"] == "NO_TIME"
    for header in headers:
        header.RadiopharmaceuticalInformationSequence[0].RadiopharmaceuticalStartDateTime = "20310430110000"
    left = 2 ** (-6 * 24 / 78.4)
    assert suv_scale(headers).factor == pytest.approx(WEIGHT_KG * 1000 / (DOSE_BQ * left), rel=1e-6)


def _agent(keyword: str, value: object) -> Callable[[Dataset], None]:
    return lambda header: setattr(header.RadiopharmaceuticalInformationSequence[0], keyword, value)


def _own(keyword: str, value: object) -> Callable[[Dataset], None]:
    return lambda header: setattr(header, keyword, value)


@pytest.mark.parametrize(
    ("spoil", "rule"),
    [
        (_own("PatientWeight", None), "NO_WEIGHT"),
        (_own("PatientWeight", "0"), "NO_WEIGHT"),
        (_own("PatientWeight", "80000"), "NO_WEIGHT"),  # grams
        (_agent("RadionuclideTotalDose", None), "NO_DOSE"),
        (_agent("RadionuclideTotalDose", "400"), "NO_DOSE"),  # MBq
        (_own("RadiopharmaceuticalInformationSequence", []), "NO_DOSE"),
        (_agent("RadionuclideHalfLife", None), "NO_HALF_LIFE"),
        (_agent("RadiopharmaceuticalStartTime", None), "NO_TIME"),
        (_agent("RadiopharmaceuticalStartTime", "110500"), "IMPLAUSIBLE_TIME"),  # after the scan: 23 h 55 min
        (_agent("RadiopharmaceuticalStartDateTime", "20310507100000"), "IMPLAUSIBLE_TIME"),
        (_own("SeriesTime", ""), "NO_TIME"),
        (_own("AcquisitionTime", "noon"), "NO_TIME"),
        (_own("DecayCorrection", "NONE"), "NOT_CORRECTED"),
        (_own("CorrectedImage", ["DECY"]), "NOT_CORRECTED"),
        (_own("Units", "PROPCNTS"), "UNITS"),
        (_own("Units", "CNTS"), "UNITS"),
        (_own("Units", ""), "UNITS"),
    ],
)
def test_what_is_missing_or_odd_is_refused(spoil: Callable[[Dataset], None], rule: str) -> None:
    headers = pet_headers()
    for header in headers:
        spoil(header)
    with pytest.raises(MeasurementRefused) as refused:
        suv_scale(headers)
    assert refused.value.metadata["rule"] == rule
    assert refused.value.hint


def test_suv_by_another_measure_and_mixed_images_are_refused() -> None:
    with pytest.raises(MeasurementRefused, match="SUV by LBM"):
        suv_scale(pet_headers(attributes={"Units": "GML", "SUVType": "LBM"}))
    headers = pet_headers()
    headers[3].PatientWeight = "81"
    with pytest.raises(MeasurementRefused, match="differ in PatientWeight"):
        suv_scale(headers)


def test_the_sphere_has_one_millilitre_on_any_grid() -> None:
    for spacing in ((4.0, 4.0, 4.0), (3.27, 4.69, 4.69), (1.0, 2.0, 0.5)):
        weights = sphere_weights(spacing)
        assert weights.sum() == pytest.approx(1)
        # The largest weight is that of a voxel which is inside as a whole.
        assert np.prod(spacing) / weights.max() == pytest.approx(1000, rel=0.02)
    assert 4 / 3 * np.pi * RADIUS_MM**3 == pytest.approx(1000)


def test_the_peak_is_the_mean_over_the_sphere_and_stays_in_the_volume() -> None:
    spacing = (2.0, 2.0, 2.0)
    voxels = np.zeros((21, 21, 21))
    voxels[10, 10, 10] = 1000.0  # one hot voxel of 8 mm3 in 1000 mm3
    whole = (slice(0, 21), slice(0, 21), slice(0, 21))
    assert peak(voxels, whole, np.ones(voxels.shape, dtype=np.bool_), spacing) == pytest.approx(8.0, rel=0.02)
    corner = (slice(0, 1), slice(0, 1), slice(0, 1))
    assert peak(voxels, corner, np.ones((1, 1, 1), dtype=np.bool_), spacing) is None


async def _send(services: Services, headers: list[Dataset]) -> str:
    await services.send([part10_bytes(header) for header in headers])
    return f"studies/{headers[0].StudyInstanceUID}/series/{headers[0].SeriesInstanceUID}"


def _structures(headers: list[Dataset]) -> Dataset:
    """A box round each ball, with background."""
    first = headers[0]
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.481.3", "1.2.3.4"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = first.StudyInstanceUID, "1.2.3"
    dataset.PatientID, dataset.PatientName, dataset.Modality = first.PatientID, first.PatientName, "RTSTRUCT"
    series, study, frame = Dataset(), Dataset(), Dataset()
    series.SeriesInstanceUID = first.SeriesInstanceUID
    study.RTReferencedSeriesSequence = [series]
    frame.FrameOfReferenceUID, frame.RTReferencedStudySequence = first.FrameOfReferenceUID, [study]
    dataset.ReferencedFrameOfReferenceSequence = [frame]
    dataset.StructureSetROISequence, dataset.ROIContourSequence = [], []
    for number, (z, y, x) in enumerate(BALLS, start=1):
        roi, drawn = Dataset(), Dataset()
        roi.ROINumber, roi.ROIName, drawn.ReferencedROINumber = number, f"Ball {number}", number
        drawn.ContourSequence = []
        for index in range(z - 7, z + 8):
            low, high = np.array([x, y]) * SPACING_MM - 128 - 30, np.array([x, y]) * SPACING_MM - 128 + 30
            corners = [(low[0], low[1]), (high[0], low[1]), (high[0], high[1]), (low[0], high[1])]
            contour = Dataset()
            contour.ContourGeometricType, contour.NumberOfContourPoints = "CLOSED_PLANAR", 4
            contour.ContourData = [f"{c:.2f}" for corner in corners for c in (*corner, index * SPACING_MM)]
            drawn.ContourSequence.append(contour)
        dataset.StructureSetROISequence.append(roi)
        dataset.ROIContourSequence.append(drawn)
    return dataset


async def test_drawn_balls_have_their_uptake_volume_and_glycolysis(services: Services) -> None:
    headers = pet_headers()
    series = await _send(services, headers)
    await services.send([part10_bytes(_structures(headers))])
    result = await services.analyze(analysis_request(series, "pet-uptake"))
    assert not result.refusals
    told = {
        (item.tracking_identifier, f"{item.concept.meaning} {item.derivation.meaning}".strip()): item
        for item in result.findings
    }
    assert told["Series", "SUVbw Maximum"].value == pytest.approx(10.0, rel=1e-3)
    assert told["Series", "SUVbw Maximum"].unit.value == "g/ml{SUVbw}"
    suv = uptake()
    for number, (_, value) in enumerate(BALLS.values(), start=1):
        true_ml = np.count_nonzero(suv == value) * SPACING_MM**3 / 1000
        name = f"Ball {number}"
        assert told[name, "SUVbw Maximum"].value == pytest.approx(value, rel=1e-3)
        assert told[name, "SUVbw Peak Value Within ROI"].value == pytest.approx(value, rel=1e-3)
        assert 1.0 < told[name, "SUVbw Mean"].value < value
        assert told[name, "Metabolic Volume"].value == pytest.approx(true_ml)
        assert told[name, "Total Lesion Glycolysis"].value == pytest.approx(true_ml * value, rel=1e-3)
        assert "THRESHOLD" in {flag.code for flag in told[name, "Metabolic Volume"].quality_flags}
    (segmentation,) = result.instances
    assert segmentation.startswith("studies/")


async def test_the_hottest_voxel_is_none_of_the_padding(services: Services) -> None:
    headers = pet_headers()
    for header in headers:
        header.PixelData = b"\xff\x7f" + header.PixelData[2:]
        header.PixelPaddingValue = 0x7FFF
    result = await services.analyze(analysis_request(await _send(services, headers), "pet-uptake"))
    assert [finding.value for finding in result.findings] == [pytest.approx(10.0, rel=1e-3)]


async def test_a_fixed_threshold_takes_what_is_over_it(services: Services) -> None:
    headers = pet_headers("ADMIN")
    series = await _send(services, headers)
    await services.send([part10_bytes(_structures(headers))])
    for limit, counts in ((4.0, (1, 1)), (6.0, (1, 0)), (0.5, (2, 2))):
        request = analysis_request(
            series, "pet-uptake", {"threshold_suv": limit}, request_id=f"r{limit}", context_run=f"runs/{limit}"
        )
        result = await services.analyze(request)
        volumes = [item.value for item in result.findings if item.concept.meaning == "Metabolic Volume"]
        for volume, count, value in zip(volumes, counts, (10.0, 5.0), strict=True):
            ball = np.count_nonzero(uptake() == value) * SPACING_MM**3 / 1000
            assert (volume == pytest.approx(ball)) if count == 1 else (volume == 0 if count == 0 else volume > 2 * ball)


async def test_a_series_without_dose_is_refused_with_the_reason(services: Services) -> None:
    headers = pet_headers(attributes={"RadiopharmaceuticalInformationSequence": []})
    result = await services.analyze(analysis_request(await _send(services, headers), "pet-uptake"))
    assert not result.findings
    assert [(refusal.subject, refusal.rule) for refusal in result.refusals] == [("pet-uptake", "NO_DOSE")]


def test_only_one_threshold_is_taken() -> None:
    with pytest.raises(ValueError, match="not both"):
        PetUptake.Parameters(threshold_percent=41, threshold_suv=4)
    assert DOSE_BQ / WEIGHT_KG / HALF_LIFE_S > 0


async def test_without_regions_the_maximum_is_told_and_that_nothing_else_could_be(services: Services) -> None:
    result = await services.analyze(analysis_request(await _send(services, pet_headers()), "pet-uptake"))
    assert [finding.value for finding in result.findings] == [pytest.approx(10.0, rel=1e-3)]
    assert [refusal.rule for refusal in result.refusals] == ["NO_REGION"]
