"""The report as DICOM objects: SR, key object selection, encapsulated PDF."""
