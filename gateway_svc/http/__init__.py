"""The HTTP door: connections with limits, requests with their answers, errors as JSON; nothing of DICOM."""
