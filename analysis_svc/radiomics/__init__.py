"""Radiomics by the definitions of the Image Biomarker Standardisation Initiative."""
