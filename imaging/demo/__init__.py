"""The demonstration: real DICOM in, finished reports out, with services of its own."""
