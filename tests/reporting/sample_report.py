"""A made-up study with findings of every kind, in the words of the contracts."""

from __future__ import annotations

import io
import json
import math
from dataclasses import replace

from google.protobuf.timestamp_pb2 import Timestamp
from PIL import Image

from imaging.analysis.v1 import analysis_pb2
from imaging.dicom.uid import derived_uid
from imaging.reporting.v1 import reporting_service_pb2
from imaging.stage.v1 import stage_pb2
from imaging.storage.v1 import storage_pb2
from reporting_svc.content.assemble_content import ReportIdentity, assemble_content, series_uses
from reporting_svc.content.finding_groups import group_findings
from reporting_svc.content.report_content import ImagePlace, KeyImage, Predecessor, ReportContent
from reporting_svc.content.report_template import find_template

STUDY_UID = "1.2.826.0.1.3680043.2.1125.1"
SERIES_UID = "1.2.826.0.1.3680043.2.1125.2"
SEG_UID = "1.2.826.0.1.3680043.2.1125.9"
FRAME_OF_REFERENCE_UID = "1.2.826.0.1.3680043.2.1125.5"
SERIES = f"studies/{STUDY_UID}/series/{SERIES_UID}"
CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
EFFECTIVE_TIME = Timestamp(seconds=1_900_000_000)

HU = stage_pb2.Code(value="[hnsf'U]", scheme="UCUM", meaning="Hounsfield unit")
ML = stage_pb2.Code(value="mL", scheme="UCUM", meaning="milliliter")
MM = stage_pb2.Code(value="mm", scheme="UCUM", meaning="mm")
PERCENT = stage_pb2.Code(value="%", scheme="UCUM", meaning="Percent")
VOLUME = stage_pb2.Code(value="118565006", scheme="SCT", meaning="Volume")
LONG_AXIS = stage_pb2.Code(value="103339001", scheme="SCT", meaning="Long Axis")
SHORT_AXIS = stage_pb2.Code(value="103340004", scheme="SCT", meaning="Short Axis")
ATTENUATION = stage_pb2.Code(value="112031", scheme="DCM", meaning="Attenuation Coefficient")
LAA = stage_pb2.Code(value="LAA_950", scheme="99IMAGINGPIPE", meaning="Low attenuation area below -950 HU")
MEAN = stage_pb2.Code(value="373098007", scheme="SCT", meaning="Mean")
LUNG = stage_pb2.Code(value="39607008", scheme="SCT", meaning="Lung")
LESION = stage_pb2.Code(value="52988006", scheme="SCT", meaning="Lesion")
TISSUE = stage_pb2.Code(value="85756007", scheme="SCT", meaning="Tissue")


def slice_uid(number: int) -> str:
    """The SOP Instance UID of a slice, counted from 1."""
    return f"{SERIES_UID}.{number}"


def frame(number: int) -> analysis_pb2.SourceFrame:
    return analysis_pb2.SourceFrame(sop_instance_uid=slice_uid(number), sop_class_uid=CT_IMAGE, frame_number=1)


def finding(
    thing: str,
    concept: stage_pb2.Code,
    value: float | None,
    unit: stage_pb2.Code | None,
    **more: object,
) -> analysis_pb2.Finding:
    made = analysis_pb2.Finding(
        name=f"findings/{thing}-{concept.value}".replace(" ", "-"),
        request_id="run-1/lung-emphysema",
        series=SERIES,
        concept=concept,
        unit=unit,
        tracking_identifier=thing,
        tracking_uid=derived_uid("tracking", thing),
        model="lung-emphysema",
        model_version="1.0",
        **more,  # type: ignore[arg-type]
    )
    if value is not None:
        made.value = value
    return made


def sample_findings() -> list[analysis_pb2.Finding]:
    flag = analysis_pb2.QualityFlag(
        code="CONTRAST", message="Contrast medium was given: densities are higher than without, by about 20 HU."
    )
    edges = list(range(-1024, -600, 8))
    counts = [int(90000 * math.exp(-(((e + 862) / 52) ** 2))) for e in edges[:-1]]
    histogram = {
        "kind": "histogram",
        "title": "Lung density",
        "edges": edges,
        "counts": counts,
        "unit": "[hnsf'U]",
        "marks": [[-950, "-950 HU"]],
    }
    lung = {"finding_type": LUNG, "site": LUNG, "segmentation_sop_instance_uid": SEG_UID, "frames": [frame(4)]}
    made = [
        finding("Lungs", VOLUME, 4812.345, ML, segment_number=1, **lung),
        finding(
            "Lungs",
            LAA,
            7.4236,
            PERCENT,
            segment_number=1,
            quality_flags=[flag],
            chart_json=json.dumps(histogram),
            **lung,
        ),
        finding("Lungs", ATTENUATION, -861.97, HU, segment_number=1, derivation=MEAN, **lung),
        finding("Left lung", VOLUME, 2201.5, ML, segment_number=2, **lung),
        finding("Right lung", VOLUME, 2610.845, ML, segment_number=3, **lung),
    ]
    for number, (long_mm, short_mm, volume_ml) in enumerate([(18.42, 14.9, 2.513), (9.96, 9.2, 0.4871)], start=1):
        lesion = {
            "finding_type": LESION,
            "site": stage_pb2.Code(value="3341006", scheme="SCT", meaning="Right lung"),
            "segmentation_sop_instance_uid": SEG_UID,
            "segment_number": 3 + number,
            "frames": [frame(2 + number)],
        }
        name = f"Lesion {number}"
        made += [
            finding(name, LONG_AXIS, long_mm, MM, line_mm=[-40, 12.5, 10, -40 + long_mm, 12.5, 10], **lesion),
            finding(name, SHORT_AXIS, short_mm, MM, **lesion),
            finding(name, VOLUME, volume_ml, ML, **lesion),
        ]
    bars = {
        "kind": "bars",
        "title": "Tissue of the body",
        "labels": ["Air", "Fat", "Soft tissue", "Bone"],
        "values": [5120.4, 6890.1, 14210.7, 1980.2],
        "unit": "mL",
    }
    made.append(finding("Fat", VOLUME, 6890.1, ML, finding_type=TISSUE, chart_json=json.dumps(bars), frames=[frame(1)]))
    made.append(
        finding(
            "Image quality",
            stage_pb2.Code(value="111031", scheme="DCM", meaning="Image Quality Rating"),
            None,
            None,
            coded_value=stage_pb2.Code(value="111071", scheme="DCM", meaning="CAD Processing and Findings Summary"),
        )
    )
    return made


def sample_request() -> reporting_service_pb2.CreateReportRequest:
    return reporting_service_pb2.CreateReportRequest(
        context=stage_pb2.StageContext(
            request_id="run-1/report", attempt=1, effective_time=EFFECTIVE_TIME, run="runs/run-1", stage="report"
        ),
        study=f"studies/{STUDY_UID}",
        manifest_version=1,
        template="ct-quantitative",
        recipe="ct-chest 1",
        stages=[
            reporting_service_pb2.StageSummary(
                stage="lung-emphysema", request_id="run-1/lung-emphysema", algorithm="lung-emphysema 1.0", series=SERIES
            ),
            reporting_service_pb2.StageSummary(
                stage="lesion-measurement",
                request_id="run-1/lesions",
                algorithm="lesion-measurement 1.0",
                series=SERIES,
                refusals=[
                    stage_pb2.Refusal(
                        subject="Perc15",
                        rule="SHARP_KERNEL",
                        message="The kernel B70f sharpens edges, which makes densities noisier than they are.",
                        hint="Use a series with a soft kernel such as B30f, or set allow_sharp_kernel.",
                    )
                ],
            ),
        ],
    )


def sample_study(**changes: object) -> storage_pb2.Study:
    study = storage_pb2.Study(
        name=f"studies/{STUDY_UID}",
        study_instance_uid=STUDY_UID,
        patient_id="PH-0042",
        patient_name="Phantom^Chest^^Dr.",
        patient_birth_date="19700315",
        patient_sex="O",
        study_date="20300101",
        study_time="101530",
        accession_number="A-7001",
        study_id="S1",
        study_description="CT chest without contrast",
        referring_physician_name="Referrer^Robin",
        modalities_in_study=["CT"],
        manifest=storage_pb2.Manifest(version=1, instance_count=6, digest="ab" * 32),
    )
    for key, value in changes.items():
        setattr(study, key, value)
    return study


def sample_series() -> storage_pb2.Series:
    return storage_pb2.Series(
        name=SERIES,
        series_instance_uid=SERIES_UID,
        series_number=3,
        modality="CT",
        series_description="Thorax 1.5 B30f",
        instance_count=6,
        frame_of_reference_uid=FRAME_OF_REFERENCE_UID,
    )


def sample_key_images(count: int = 2) -> list[KeyImage]:
    images = []
    for number in range(1, count + 1):
        buffer = io.BytesIO()
        Image.linear_gradient("L").resize((256, 256)).save(buffer, "PNG")
        images.append(
            KeyImage(
                title=f"Lesion {number}",
                caption="Series 3 · Thorax 1.5 B30f, image 3, window 40 / 400 HU",
                sop_instance_uid=slice_uid(number),
                frame_number=1,
                legend=((f"Lesion {number}", (220, 80, 60)), ("Lung", (60, 140, 220))),
                width=256,
                height=256,
                png=buffer.getvalue(),
            )
        )
    return images


def sample_content(
    *,
    study: storage_pb2.Study | None = None,
    findings: list[analysis_pb2.Finding] | None = None,
    version: int = 2,
    predecessor: Predecessor | None = None,
    images: int = 2,
) -> ReportContent:
    request = sample_request()
    series = series_uses([sample_series()])
    return assemble_content(
        request=request,
        study=study or sample_study(),
        series=series,
        groups=group_findings(sample_findings() if findings is None else findings, series),
        template=find_template(request.template),
        identity=ReportIdentity("reports/0123456789abcdef", version, predecessor, "4bf92f3577b34da6a3ce929d0e0e4736"),
        key_images=sample_key_images(images),
    )


def placed_content() -> ReportContent:
    """The lesions with places on images, as storage would give them."""
    content = sample_content()
    groups = []
    for group in content.groups:
        frames = [each for measurement in group.measurements for each in measurement.frames]
        if not frames:
            groups.append(group)
            continue
        measurements = tuple(
            replace(each, line_in_image=(10.5, 20.5, 30.0, 20.5)) if each.line_mm else each
            for each in group.measurements
        )
        place = ImagePlace(frames[0], (1, 1, 9, 1, 9, 9, 5, 9, 1, 9, 1, 1))
        groups.append(replace(group, measurements=measurements, place=place))
    return replace(content, groups=tuple(groups))
