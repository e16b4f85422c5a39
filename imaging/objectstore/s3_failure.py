"""Failures of an S3 server -> what they mean: not there, taken, full, wrongly set up, or not answering now."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final
from xml.etree.ElementTree import ParseError

from minio.error import InvalidResponseError, MinioException, S3Error, ServerError
from urllib3.exceptions import HTTPError, MaxRetryError, SSLError, TimeoutError

from imaging.errors import FailedPrecondition, ImagingError, SettingsInvalid, StorageFull, Unavailable

S3_ERRORS: Final = (MinioException, HTTPError, ParseError, ValueError)
"""What the client raises: its own errors, those of the connection, and those of answers that it cannot read."""


class Kind(Enum):
    """What a failure means for the one who asked."""

    MISSING = auto()
    TAKEN = auto()
    FULL = auto()
    SETTING = auto()
    """It will fail until somebody changes a setting, a right or a clock."""

    UNAVAILABLE = auto()
    """It may go well later; what was asked for may have happened or not."""


_FULL: Final = frozenset({"XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "QuotaExceeded", "StorageFull"})
_RIGHTS: Final = "Allow GetObject, PutObject, DeleteObject, AbortMultipartUpload and ListBucket on the bucket."
_REGION: Final = "Set storage.s3_region to the region of the bucket."
_SETTINGS: Final[dict[str, tuple[str, str, str]]] = {
    "NoSuchBucket": ("The bucket does not exist", "s3_bucket", "Create the bucket, or name another one."),
    "InvalidBucketName": ("The name is not one of a bucket", "s3_bucket", "Use 3 to 63 lower case letters and digits."),
    "InvalidAccessKeyId": ("The access key is unknown to the object store", "s3_access_key_file", "Check the key."),
    "SignatureDoesNotMatch": ("The secret key is wrong", "s3_secret_key_file", "Check the key."),
    "AccessDenied": ("The object store does not allow this", "s3_access_key_file", _RIGHTS),
    "RequestTimeTooSkewed": (
        "The clocks of this machine and of the object store differ too much",
        "s3_endpoint",
        "Set both by NTP; S3 allows 15 minutes.",
    ),
    "PermanentRedirect": ("The bucket is in another region", "s3_region", _REGION),
    "AuthorizationHeaderMalformed": ("The bucket is in another region", "s3_region", _REGION),
    "KMSNotConfigured": ("The object store cannot encrypt", "s3_sse", "Set up its key service, or leave s3_sse out."),
    "NotImplemented": ("The object store lacks a function that is asked for", "s3_sse", "Leave s3_sse out."),
}
_SLOW: Final = frozenset({"SlowDown", "SlowDownRead", "SlowDownWrite", "RequestTimeout"})


@dataclass(frozen=True, slots=True)
class S3Failure:
    """A failure in our words; `code` is the server's."""

    kind: Kind
    what: str
    hint: str
    setting: str = ""
    code: str = ""

    def error(self, doing: str) -> ImagingError:
        """The error for a request: a sender can do nothing about our settings but try again later."""
        if self.kind is Kind.FULL:
            return StorageFull(f"{self.what} while {doing}", hint=self.hint)
        if self.kind is Kind.TAKEN:
            return FailedPrecondition(self.what, hint=self.hint)
        metadata = {"s3_code": self.code} if self.code else {}
        return Unavailable(f"{self.what} (while {doing})", where=self.setting, hint=self.hint, metadata=metadata)

    def error_at_start(self) -> ImagingError:
        """The error for the one who starts the service."""
        if self.kind is Kind.SETTING:
            return SettingsInvalid(self.what, where=self.setting, hint=self.hint)
        if self.kind is Kind.UNAVAILABLE:
            hint = "Is it running there, and reached from here?"
            return Unavailable(self.what, where="storage.s3_endpoint", hint=hint)
        return self.error("looking at the bucket")


def explain(error: Exception) -> S3Failure:
    """What an error of `S3_ERRORS` means. Its own text is left out: it may quote what a server sent."""
    code, status = _code_and_status(error)
    if code in ("NoSuchKey", "ResourceNotFound"):
        return S3Failure(Kind.MISSING, "The object is not there", "Restore it from a backup.", code=code)
    if code == "PreconditionFailed" or status == 412:
        return S3Failure(Kind.TAKEN, "The object key is taken", "Use a new key.", code=code)
    if code in _FULL or status == 507:
        hint = "Enlarge it or its quota, then send again: nothing was recorded."
        return S3Failure(Kind.FULL, "The object store has no room left", hint, code=code)
    if code in _SETTINGS:
        what, setting, hint = _SETTINGS[code]
        return S3Failure(Kind.SETTING, what, hint, f"storage.{setting}", code)
    cause = error.reason if isinstance(error, MaxRetryError) else error
    if isinstance(cause, SSLError):
        hint = "Set storage.s3_ca_file to the certificates of its authority, or s3_secure to false if it has no TLS."
        return S3Failure(Kind.SETTING, "The object store's certificate is not trusted", hint, "storage.s3_ca_file")
    later = "Send again later; nothing was recorded."
    if isinstance(cause, TimeoutError) or code in _SLOW:
        return S3Failure(Kind.UNAVAILABLE, "The object store is too slow to answer", later, code=code)
    if code or status:
        named = ", ".join(str(part) for part in (code, status) if part)
        return S3Failure(Kind.UNAVAILABLE, f"The object store failed ({named})", later, code=code)
    return S3Failure(Kind.UNAVAILABLE, "The object store does not answer, or not as S3 does", later)


def _code_and_status(error: Exception) -> tuple[str, int]:
    if isinstance(error, S3Error):
        return error.code or "", int(error.response.status)
    if isinstance(error, ServerError):
        return "", error.status_code
    if isinstance(error, InvalidResponseError):
        return "", error._code  # no public name; its text would quote the body
    return "", 0
