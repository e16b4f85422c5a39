"""DICOM headers and where their bytes are: the bounded scanner, transfer syntaxes, UIDs, frame ranges, digests."""
