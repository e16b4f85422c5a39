"""The object store seam: whole objects under readable keys, durable when told so. Knows nothing of DICOM."""

from imaging.objectstore.folder import FolderObjectStore
from imaging.objectstore.store import ObjectStat, ObjectStore

__all__ = ["FolderObjectStore", "ObjectStat", "ObjectStore"]
