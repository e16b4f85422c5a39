"""DICOM objects that this product makes: derived image series, and what every writer of objects shares."""
