"""What a derived image takes over from its source: the patient, the study, and how the source was acquired."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Final

from pydicom.dataset import Dataset

PATIENT_AND_STUDY: Final = (
    "SpecificCharacterSet",
    "TimezoneOffsetFromUTC",
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "IssuerOfPatientIDQualifiersSequence",
    "OtherPatientIDsSequence",
    "TypeOfPatientID",
    "PatientBirthDate",
    "PatientBirthTime",
    "PatientSex",
    "PatientSpeciesDescription",
    "PatientSpeciesCodeSequence",
    "PatientBreedDescription",
    "PatientBreedCodeSequence",
    "BreedRegistrationSequence",
    "ResponsiblePerson",
    "ResponsiblePersonRole",
    "ResponsibleOrganization",
    "EthnicGroup",
    "PatientComments",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
    "DeidentificationMethodCodeSequence",
    "LongitudinalTemporalInformationModified",
    "ClinicalTrialSponsorName",
    "ClinicalTrialProtocolID",
    "ClinicalTrialProtocolName",
    "ClinicalTrialSiteID",
    "ClinicalTrialSiteName",
    "ClinicalTrialSubjectID",
    "ClinicalTrialSubjectReadingID",
    "ClinicalTrialTimePointID",
    "ClinicalTrialTimePointDescription",
    "StudyInstanceUID",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "StudyDescription",
    "AccessionNumber",
    "IssuerOfAccessionNumberSequence",
    "ReferringPhysicianName",
    "ProcedureCodeSequence",
    "ReferencedStudySequence",
    "PatientAge",
    "PatientSize",
    "PatientWeight",
    "AdmissionID",
)
"""Patient, Clinical Trial, General Study and Patient Study modules (PS3.3 C.7.1, C.7.2)."""

SERIES: Final = (
    "Modality",
    "Laterality",
    "BodyPartExamined",
    "AnatomicRegionSequence",
    "PatientPosition",
    "ProtocolName",
    "ReferencedPerformedProcedureStepSequence",
    "RequestAttributesSequence",
    "FrameOfReferenceUID",
    "PositionReferenceIndicator",
)
"""General Series and Frame of Reference modules (PS3.3 C.7.3.1, C.7.4.1)."""

ACQUISITION: Final = (
    "AcquisitionNumber",
    "AcquisitionDate",
    "AcquisitionTime",
    "AcquisitionDateTime",
    "ImageLaterality",
    "BurnedInAnnotation",
    "RecognizableVisualFeatures",
    "QualityControlImage",
    "LossyImageCompression",
    "LossyImageCompressionRatio",
    "LossyImageCompressionMethod",
    "ContrastBolusAgent",
    "ContrastBolusAgentSequence",
    "ContrastBolusRoute",
    "ContrastBolusVolume",
    "ContrastBolusStartTime",
    "ContrastBolusTotalDose",
)
"""General Image and Contrast/Bolus modules, as far as they stay true of a derived image (PS3.3 C.7.6.1, C.7.6.4)."""

CT_ACQUISITION: Final = (
    "KVP",
    "ScanOptions",
    "DataCollectionDiameter",
    "ReconstructionDiameter",
    "ConvolutionKernel",
    "FilterType",
    "ExposureTime",
    "XRayTubeCurrent",
    "Exposure",
    "RevolutionTime",
    "SingleCollimationWidth",
    "TotalCollimationWidth",
    "SpiralPitchFactor",
    "CTDIvol",
    "GantryDetectorTilt",
)
"""CT Image module (PS3.3 C.8.2.1)."""

MR_ACQUISITION: Final = (
    "ScanningSequence",
    "SequenceVariant",
    "ScanOptions",
    "MRAcquisitionType",
    "SequenceName",
    "AngioFlag",
    "RepetitionTime",
    "EchoTime",
    "EchoTrainLength",
    "EchoNumbers",
    "InversionTime",
    "TriggerTime",
    "NumberOfAverages",
    "ImagingFrequency",
    "ImagedNucleus",
    "MagneticFieldStrength",
    "FlipAngle",
    "VariableFlipAngleFlag",
    "ReceiveCoilName",
    "TransmitCoilName",
    "PixelBandwidth",
    "SAR",
    "DiffusionBValue",
)
"""MR Image module (PS3.3 C.8.3.1)."""


def carry_over(source: Dataset, target: Dataset, keywords: Iterable[str]) -> None:
    """Copy those of the attributes that the source has; sequences are copied whole."""
    for keyword in keywords:
        if keyword in source:
            target.add(copy.deepcopy(source[keyword]))


def add_empty(target: Dataset, keywords: Iterable[str]) -> None:
    """Add attributes of type 2 without a value where they are absent (PS3.5 7.4.3)."""
    for keyword in keywords:
        if keyword not in target:
            setattr(target, keyword, None)
