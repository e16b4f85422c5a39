"""DICOMweb (PS3.18) over the storage service: QIDO-RS, WADO-RS, STOW-RS, WADO-URI."""
