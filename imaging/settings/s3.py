"""The S3 bucket that the settings name, with its keys; refused if they are unsafe or not whole."""

from __future__ import annotations

from pathlib import Path

from imaging.errors import SettingsInvalid
from imaging.objectstore.s3_access import S3Access
from imaging.rpc.loopback import is_loopback
from imaging.settings.model import Settings
from imaging.settings.security_files import check_trusted_certificates, read_secret


def s3_access(settings: Settings) -> S3Access | None:
    """The bucket of the storage service; None if its objects are in a folder.

    Raises
    ------
    SettingsInvalid
        A setting is missing or without effect, a key can be read by others, or pixels would travel in plain text.
    """
    own = settings.storage
    needed = {"s3_bucket": own.s3_bucket}
    keys = {"s3_access_key_file": own.s3_access_key_file, "s3_secret_key_file": own.s3_secret_key_file}
    if not own.s3_endpoint:
        for name, value in (needed | keys).items():
            if value:
                raise SettingsInvalid(
                    "A setting of the S3 server has no effect without its endpoint",
                    where=f"storage.{name}",
                    hint="Set storage.s3_endpoint too, or leave all of them out to keep the objects in a folder.",
                )
        return None
    for name, value in (needed | keys).items():
        if not value:
            raise SettingsInvalid("A setting of the S3 server is missing", where=f"storage.{name}", hint="Set it too.")
    if not (own.s3_secure or is_loopback(own.s3_endpoint) or settings.security.insecure):
        raise SettingsInvalid(
            f"Images would travel to {own.s3_endpoint} in plain text",
            where="storage.s3_secure",
            hint="Use https (storage.s3_ca_file for a certificate of the house), or start with --insecure in a network"
            " that encrypts by itself.",
        )
    if own.s3_ca_file is not None:
        check_trusted_certificates(own.s3_ca_file, "storage.s3_ca_file")
    return S3Access(
        endpoint=own.s3_endpoint,
        bucket=own.s3_bucket,
        access_key=_key("s3_access_key_file", own.s3_access_key_file),
        secret_key=_key("s3_secret_key_file", own.s3_secret_key_file),
        secure=own.s3_secure,
        region=own.s3_region,
        sse=own.s3_sse,
        ca_file=own.s3_ca_file,
        timeout_seconds=own.s3_timeout_seconds,
    )


def _key(name: str, file: Path | None) -> str:
    assert file is not None
    place = f"storage.{name} = {file}"
    key = read_secret(file, place)
    if not key or not all("!" <= character <= "~" for character in key):
        raise SettingsInvalid("The file holds no key: one line of ASCII", where=place, hint="Write the key into it.")
    return key
