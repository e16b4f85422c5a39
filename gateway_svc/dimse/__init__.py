"""DIMSE: the DICOM upper layer on asyncio, and the services that a PACS or a modality asks for."""
