"""The object store seam: whole objects under readable keys, durable when told so. Knows nothing of DICOM.

`imaging.objectstore.s3` is imported by those who need it: its client takes time to load.
"""

from imaging.objectstore.folder import FolderObjectStore
from imaging.objectstore.measured import MeasuredObjectStore
from imaging.objectstore.store import ObjectStat, ObjectStore

__all__ = ["FolderObjectStore", "MeasuredObjectStore", "ObjectStat", "ObjectStore"]
