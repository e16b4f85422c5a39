"""The report as FHIR R4 resources."""
