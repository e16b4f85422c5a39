"""The codes that findings are told in (PS3.16), each from its published code system.

What no code system has a code for stands under a private designator, which begins with 99 (PS3.16 8.2).
"""

from __future__ import annotations

from typing import Final

from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

PRIVATE_SCHEME: Final = "99IMAGINGPIPE"

# Units.
HOUNSFIELD: Final = Code("[hnsf'U]", "UCUM", "Hounsfield unit")
MILLIMETRE: Final = Code("mm", "UCUM", "mm")
SQUARE_MILLIMETRE: Final = Code("mm2", "UCUM", "square millimeter")
PER_MILLIMETRE: Final = Code("/mm", "UCUM", "per millimeter")
CUBIC_MILLIMETRE: Final = Code("mm3", "UCUM", "cubic millimeter")
MILLILITRE: Final = Code("mL", "UCUM", "milliliter")
GRAM: Final = Code("g", "UCUM", "gram")
MILLIGRAM: Final = Code("mg", "UCUM", "mg")
SUV_UNIT: Final[Code] = codes.UCUM.StandardizedUptakeValueBodyWeight
PERCENT: Final = Code("%", "UCUM", "Percent")
NO_UNIT: Final = Code("1", "UCUM", "no units")

# What is measured.
VOLUME: Final[Code] = codes.SCT.Volume
LONG_AXIS: Final[Code] = codes.SCT.LongAxis
SHORT_AXIS: Final[Code] = codes.SCT.ShortAxis
SPHERICITY: Final = Code("QCFX", "IBSI", "Sphericity")
MAXIMUM_3D_DIAMETER: Final = Code("L0JK", "IBSI", "Maximum 3D Diameter of a Mesh")
ATTENUATION: Final[Code] = codes.DCM.AttenuationCoefficient
MR_SIGNAL: Final[Code] = codes.DCM.MRSignalIntensity
PIXEL_VALUE: Final = Code("PIXEL_VALUE", PRIVATE_SCHEME, "Pixel value")
IMAGE_NOISE: Final = Code("IMAGE_NOISE", PRIVATE_SCHEME, "Image noise")
VOLUME_FRACTION: Final = Code("VOLUME_FRACTION", PRIVATE_SCHEME, "Volume fraction of body")
LAA_950: Final = Code("LAA_950", PRIVATE_SCHEME, "Low attenuation area below -950 HU")
PERC15: Final = Code("PERC15", PRIVATE_SCHEME, "15th percentile of lung density")
SUV_BODY_WEIGHT: Final = Code("126401", "DCM", "SUVbw")
METABOLIC_VOLUME: Final[Code] = codes.DCM.MetabolicVolume
TOTAL_LESION_GLYCOLYSIS: Final[Code] = codes.DCM.TotalLesionGlycolysis
AGATSTON_SCORE: Final = Code("112058", "DCM", "Calcium score")
CALCIUM_VOLUME: Final[Code] = codes.DCM.CalciumVolume
CALCIUM_MASS: Final[Code] = codes.DCM.CalciumMass
EXPOSURE_INDEX: Final[Code] = codes.DCM.ExposureIndex
TARGET_EXPOSURE_INDEX: Final[Code] = codes.DCM.TargetExposureIndex
DEVIATION_INDEX: Final[Code] = codes.DCM.DeviationIndex
SIGNAL_TO_NOISE: Final[Code] = codes.DCM.SignalToNoiseRatio
FOREGROUND_FRACTION: Final = Code("FOREGROUND", PRIVATE_SCHEME, "Foreground fraction of the image")
PERCENT_INTEGRAL_UNIFORMITY: Final = Code("PIU", PRIVATE_SCHEME, "Percent integral uniformity")
LESION_COUNT: Final = Code("246206008", "SCT", "Number of lesions")

# How a number was derived (CID 7464 and percentiles of SNOMED CT).
MEAN: Final[Code] = codes.SCT.Mean
MEDIAN: Final = Code("373099004", "SCT", "Median")
STANDARD_DEVIATION: Final[Code] = codes.SCT.StandardDeviation
MINIMUM: Final[Code] = codes.SCT.Minimum
MAXIMUM: Final[Code] = codes.SCT.Maximum
PEAK: Final[Code] = codes.DCM.PeakValueWithinROI
PERCENTILE_5: Final = Code("371888009", "SCT", "5th Percentile")
PERCENTILE_95: Final = Code("371889001", "SCT", "95th Percentile")

# Things and places.
ANATOMICAL_STRUCTURE: Final[Code] = codes.SCT.AnatomicalStructure
TISSUE: Final[Code] = codes.SCT.Tissue
ABNORMAL_STRUCTURE: Final[Code] = codes.SCT.MorphologicallyAbnormalStructure
IMAGE_REGION: Final[Code] = codes.DCM.ImageRegion
IMAGE: Final = Code("C48179", "NCIt", "Image")
BODY: Final = Code("38266002", "SCT", "Entire body")
LUNG: Final[Code] = codes.SCT.Lung
LEFT_LUNG: Final = Code("44029006", "SCT", "Left lung")
RIGHT_LUNG: Final = Code("3341006", "SCT", "Right lung")
EMPHYSEMA: Final = Code("87433001", "SCT", "Pulmonary emphysema")
LESION: Final[Code] = codes.SCT.Lesion
VASCULAR_CALCIFICATION: Final = Code("237897009", "SCT", "Vascular Calcification")
AIR: Final = Code("15158005", "SCT", "Air")
BODY_SUBSTANCE: Final[Code] = codes.SCT.BodySubstance
FAT: Final[Code] = codes.SCT.AdiposeTissue
SOFT_TISSUE: Final[Code] = codes.SCT.SoftTissue
BONE: Final = Code("272673000", "SCT", "Bone")
