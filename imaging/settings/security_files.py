"""The files of certificates, keys and tokens: there, whole, and secret, before anything listens or calls with them."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

from imaging.errors import SettingsInvalid

MIN_TOKEN_LENGTH = 16
"""Characters. Shorter ones can be guessed, and an empty file would mean that everybody may call."""


def read_token(file: Path) -> str:
    """The bearer token that the file holds.

    Raises
    ------
    SettingsInvalid
        It is missing, others can read it, or it holds no token that can travel in a header.
    """
    place = f"security.token_file = {file}"
    token = read_secret(file, place)
    if len(token) < MIN_TOKEN_LENGTH or not all("!" <= character <= "~" for character in token):
        raise SettingsInvalid(
            f"The token is not at least {MIN_TOKEN_LENGTH} visible ASCII characters on one line",
            where=place,
            hint=f"Make one: (umask 077; openssl rand -hex 32 > {file}).",
        )
    return token


def read_secret(file: Path, place: str) -> str:
    """What the file holds, without white space around it; `place` names the setting.

    Raises
    ------
    SettingsInvalid
        It is missing, or others can read it.
    """
    _check_secret(file, place)
    return _read(file, place).decode("ascii", "replace").strip()


def check_server_certificate(certificate_file: Path, key_file: Path) -> None:
    """Pass if a server can prove with these who it is.

    Raises
    ------
    SettingsInvalid
        One is missing or no PEM, they do not belong together, the key has a password, or others can read it.
    """
    _read(certificate_file, f"security.certificate_file = {certificate_file}")
    place = f"security.key_file = {key_file}"
    _check_secret(key_file, place)
    try:
        # An empty password: without it OpenSSL would ask at the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate_file, key_file, password="")
    except (ssl.SSLError, ValueError) as error:
        raise SettingsInvalid(
            f"The certificate and the key cannot be used together ({_reason(error)})",
            where=place,
            hint=f"Give a PEM chain and its own PEM key without a password; the chain is {certificate_file}.",
        ) from None


def check_trusted_certificates(ca_file: Path, setting: str = "security.ca_file") -> None:
    """Pass if the file holds certificates that a client can trust.

    Raises
    ------
    SettingsInvalid
        It is missing, or no PEM with certificates.
    """
    place = f"{setting} = {ca_file}"
    _read(ca_file, place)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(ca_file)
    except ssl.SSLError as error:
        raise SettingsInvalid(
            f"The file holds no certificates to trust ({_reason(error)})", where=place, hint="Give PEM certificates."
        ) from None


def _check_secret(file: Path, place: str) -> None:
    _read(file, place)
    status = file.stat()
    # As PostgreSQL has it: what root owns and gives to a group of ours is how Kubernetes and systemd hand secrets over.
    forbidden = 0o037 if status.st_uid == 0 != os.geteuid() else 0o077
    if status.st_mode & forbidden:
        raise SettingsInvalid("Others can read what only its owner may", where=place, hint=f"Run `chmod 600 {file}`.")


def _read(file: Path, place: str) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise SettingsInvalid(
            f"The file cannot be read ({error.strerror})", where=place, hint="Check the path and its permissions."
        ) from None


def _reason(error: Exception) -> str:
    return (getattr(error, "reason", None) or "no PEM").lower().replace("_", " ")
