"""Domain errors: fields first, text derived, with a hint that tells how to fix it.

Every error that a user can meet is one of these classes. `imaging.rpc.status` maps them to `google.rpc.Status` and
back; nothing else in the project turns an error into a status code. No field may carry patient data: UIDs, tags,
offsets and sizes only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar


class ImagingError(Exception):
    """What went wrong, where, why, and how to fix it.

    Parameters
    ----------
    what
        One sentence without a full stop: what was refused or failed.
    where
        The place: a resource name, a file, a tag path with byte offset, a setting.
    hint
        How to fix it, one sentence with its full stop.
    metadata
        Machine-readable facts (string to string), carried in `ErrorInfo.metadata`.
    retry_after_seconds
        When the same request may succeed, as far as that is known; 0: nobody can say, or never.
    """

    reason: ClassVar[str] = "INTERNAL"
    """UPPER_SNAKE name of the kind of error, stable over releases (`ErrorInfo.reason`)."""

    default_retry_after_seconds: ClassVar[float] = 0.0

    def __init__(
        self,
        what: str,
        *,
        where: str = "",
        hint: str = "",
        metadata: Mapping[str, str] | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        self.what = what
        self.where = where
        self.hint = hint
        self.metadata: dict[str, str] = dict(metadata or {})
        self.retry_after_seconds = (
            self.default_retry_after_seconds if retry_after_seconds is None else retry_after_seconds
        )
        super().__init__(self.text)

    @property
    def text(self) -> str:
        """The whole message on one line: `what (at where). hint.`; the end of `what` and `hint` is made good."""
        what = self.what.rstrip(" .")  # texts of other programs come with a full stop of their own
        sentence = f"{what} (at {self.where})" if self.where else what
        hint = self.hint.strip()
        return f"{sentence}. {hint if hint.endswith(('.', '?', '!')) else f'{hint}.'}" if hint else sentence


class InvalidArgument(ImagingError):
    """A request or a setting that can never succeed as it is."""

    reason = "INVALID_ARGUMENT"


class InvalidDicom(InvalidArgument):
    """A file or stream that is not acceptable DICOM; `where` holds tag path and byte offset."""

    reason = "INVALID_DICOM"


class NotDicom(InvalidDicom):
    """Bytes that are not DICOM at all: empty, no `DICM` prefix, no data set."""

    reason = "NOT_DICOM"


class TruncatedDicom(InvalidDicom):
    """An element or fragment whose declared length goes past the bytes that are there."""

    reason = "TRUNCATED_DICOM"


class LimitExceeded(InvalidDicom):
    """Input over a stated limit: depth, element count, inflate ratio, size."""

    reason = "LIMIT_EXCEEDED"


class UnsupportedTransferSyntax(InvalidDicom):
    """A transfer syntax that is unknown to us, or that cannot be decoded."""

    reason = "UNSUPPORTED_TRANSFER_SYNTAX"


class PixelDataInvalid(InvalidDicom):
    """Pixel data that cannot be decoded to what its attributes declare."""

    reason = "PIXEL_DATA_INVALID"


class ChecksumMismatch(InvalidArgument):
    """Bytes that arrived with another checksum or length than the sender declared."""

    reason = "CHECKSUM_MISMATCH"


class InstanceMismatch(InvalidArgument):
    """An instance with other UIDs, or of another class, than its sender announced."""

    reason = "INSTANCE_MISMATCH"


class VolumeRefused(InvalidArgument):
    """Slices that do not make a volume: gap, duplicate position, tilt, mixed orientation, missing geometry."""

    reason = "VOLUME_REFUSED"


class MeasurementRefused(InvalidArgument):
    """A measurement that would not be true on this input; the reason says why."""

    reason = "MEASUREMENT_REFUSED"


class NotFound(ImagingError):
    """A resource that is not there, or that the caller may not know of."""

    reason = "NOT_FOUND"


class Conflict(ImagingError):
    """Same identity, other content: the first is kept, the second is quarantined."""

    reason = "CONTENT_CONFLICT"


class FailedPrecondition(ImagingError):
    """The resource is in a state in which the request cannot be served."""

    reason = "FAILED_PRECONDITION"


class OnHold(FailedPrecondition):
    """The study is under legal hold: nothing of it may go."""

    reason = "LEGAL_HOLD"


class StaleAttempt(FailedPrecondition):
    """A stage attempt that was overtaken by a newer one may store nothing more."""

    reason = "STALE_ATTEMPT"


class RevisionTooOld(ImagingError):
    """The change log no longer holds the revision asked for; metadata `oldest_revision` tells from where it does."""

    reason = "REVISION_TOO_OLD"


class Overloaded(ImagingError):
    """No room for more work now; try again after `retry_after_seconds`."""

    reason = "OVERLOADED"
    default_retry_after_seconds = 1.0


class StorageFull(ImagingError):
    """The disk, bucket or quota has no room left."""

    reason = "STORAGE_FULL"


class Unauthenticated(ImagingError):
    """No valid credential was given."""

    reason = "UNAUTHENTICATED"


class PermissionDenied(ImagingError):
    """The credential is valid but does not allow this."""

    reason = "PERMISSION_DENIED"


class Unavailable(ImagingError):
    """A service, store or database that is needed does not answer now."""

    reason = "UNAVAILABLE"


class DeadlineExceeded(ImagingError):
    """The work did not end within its deadline."""

    reason = "DEADLINE_EXCEEDED"


class Cancelled(ImagingError):
    """The work was cancelled by a user or its caller is gone for good."""

    reason = "CANCELLED"


class DataLoss(ImagingError):
    """Stored bytes no longer match their digest."""

    reason = "DATA_LOSS"


class Internal(ImagingError):
    """A defect of ours. The text names no details of the input; the log does, by trace id."""

    reason = "INTERNAL"


class ModelFailed(Internal):
    """A model raised, or gave back what cannot be true; what it raised stands in the log, without its text."""

    reason = "MODEL_FAILED"


class ObjectRefused(Internal):
    """An object that a stage has made does not keep to its IOD, its template or its source, and was not stored."""

    reason = "OBJECT_REFUSED"


class SettingsInvalid(InvalidArgument):
    """A setting that is unknown, of the wrong type, or unsafe; `where` is file:line, variable or flag."""

    reason = "SETTINGS_INVALID"
