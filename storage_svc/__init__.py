"""The storage service: takes DICOM in, keeps it safely, finds it and gives it back."""
