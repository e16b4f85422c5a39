"""An open, gRPC-first medical imaging pipeline: DICOM in, finished standard reports out.

import imaging

with imaging.connect() as client:
    summary = client.store("folder", complete=True)
    for series in client.series(summary.studies[0]):
        volume = series.to_numpy()
        print(series.description, volume.shape, volume.spacing_mm)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from imaging.client.async_client import AsyncClient
    from imaging.client.patience import Patience
    from imaging.client.sync_client import Client
    from imaging.settings import Settings

__all__ = ["connect", "connect_async"]


def connect(
    endpoints: str | Mapping[str, str] | None = None,
    *,
    settings: Settings | None = None,
    patience: Patience | None = None,
) -> Client:
    """A client of an installation, for synchronous code. No connection is made before the first call.

    Parameters
    ----------
    endpoints
        `"host:port"` of storage, the other services being on the next ports; or the addresses by service, as
        `imaging up --json` tells them; or nothing: what `IMAGING_*` variables name, else the `imaging up` that works
        on ./imaging-data, else the default ports from 50051 on.
    settings
        Where TLS and credentials come from; default: the environment.
    patience
        How long broken streams are gone on with; default: 60 s without progress.
    """
    # Imported here: gRPC and numpy take a while, and many who import this package need neither.
    from imaging.client.sync_client import Client

    return Client(endpoints, settings=settings, patience=patience)


def connect_async(
    endpoints: str | Mapping[str, str] | None = None,
    *,
    settings: Settings | None = None,
    patience: Patience | None = None,
) -> AsyncClient:
    """A client of an installation, for asynchronous code; call it inside a running event loop. See `connect`."""
    from imaging.client.async_client import AsyncClient

    return AsyncClient(endpoints, settings=settings, patience=patience)
