"""Where an S3 bucket is and who we are to it; the client of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from imaging.errors import SettingsInvalid

if TYPE_CHECKING:
    from minio import Minio
    from minio.sse import Sse

KMS = "kms:"
DEFAULT_REGION = "us-east-1"
"""What MinIO, SeaweedFS and Ceph take; set, so that no request has to ask for it."""


@dataclass(frozen=True, slots=True)
class S3Access:
    """A bucket of an S3 server (MinIO, SeaweedFS, Ceph, AWS) and the keys to it; the keys are never shown."""

    endpoint: str
    """`host:port`, without a scheme."""

    bucket: str
    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    secure: bool = True
    region: str = DEFAULT_REGION
    sse: str = ""
    """Server-side encryption: none, `s3`, or `kms:` and the identifier of the key."""

    ca_file: Path | None = None
    """PEM certificates to trust instead of the public ones."""

    timeout_seconds: float = 20.0
    """Longest silence of the server in one answer."""

    def client(self, connections: int) -> Minio:
        """A client that keeps up to `connections` connections open; safe to share between threads.

        Raises
        ------
        SettingsInvalid
            If the endpoint is not a host with an optional port.
        """
        from minio import Minio

        from imaging.objectstore.s3_connections import S3Connections

        pool = S3Connections(connections, self.timeout_seconds, self.ca_file)
        try:
            return Minio(
                self.endpoint,
                self.access_key,
                self.secret_key,
                secure=self.secure,
                region=self.region,
                http_client=pool,
            )
        except ValueError:
            raise SettingsInvalid(
                "The endpoint is not a host with an optional port",
                where="storage.s3_endpoint",
                hint="Write it as minio.example.org:9000; storage.s3_secure tells whether it is https.",
            ) from None

    def encryption(self) -> Sse | None:
        """What the server is asked to encrypt objects with; None: as the bucket says.

        Raises
        ------
        SettingsInvalid
            If it is neither `s3` nor `kms:` and an identifier.
        """
        from minio.sse import SseKMS, SseS3

        if not self.sse:
            return None
        if self.sse == "s3":
            return SseS3()
        if self.sse.startswith(KMS) and len(self.sse) > len(KMS):
            return SseKMS(self.sse[len(KMS) :], {})
        raise SettingsInvalid(
            "The server-side encryption is unknown",
            where="storage.s3_sse",
            hint="Use `s3`, or `kms:` and the identifier of the key.",
        )
