"""Sending by C-STORE: one association for many instances, opened again when it breaks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING

from gateway_svc.dimse.data_set import AssociationLost
from gateway_svc.dimse.requestor import RemoteAe, associate
from gateway_svc.dimse.store_scu import StoreScu, proposed_contexts
from gateway_svc.dimse.stored_object import UpcomingObjects
from gateway_svc.dimse.wanted_instances import Wanted
from gateway_svc.sending.outcome import MOST_TRIES, OnOutcome
from imaging.client.patience import Attempts, Patience, is_worth_retrying
from imaging.errors import ImagingError, Unavailable

if TYPE_CHECKING:
    from imaging.client.stub import StorageStub


async def send_by_dimse(
    storage: StorageStub,
    remote: RemoteAe,
    ae_title: str,
    wanted: Sequence[Wanted],
    on_outcome: OnOutcome,
    patience: Patience,
) -> None:
    """Send each instance; what fails for a reason that may pass is tried again, after the others.

    Parameters
    ----------
    patience
        With an AE that cannot be reached, is full, or breaks the association. Without any, each instance is tried once:
        one that makes the AE break the association keeps no other from being sent.

    Raises
    ------
    ImagingError
        If the AE cannot be reached for longer than `patience`; the instances that were not told of are not sent.
    """
    attempts, tries = Attempts(patience), Counter[str]()
    left, again = list(wanted), dict[Wanted, ImagingError]()
    while left:
        before = len(left)
        try:
            await _send_some(storage, remote, ae_title, left, on_outcome, attempts, tries, again)
        except AssociationLost as lost:
            failure: ImagingError = Unavailable(f"The association was lost: {lost}", where=remote.ae_title)
        except ImagingError as error:
            failure = error
        else:
            failure = Unavailable("The AE takes some instances not now", where=remote.ae_title)
        if 0 < len(left) < before and not patience.give_up_after:
            continue
        if again or left:
            try:
                await attempts.fail(failure)
            except ImagingError:
                for item, why in again.items():
                    on_outcome(item, why)
                raise
            left += again
            again.clear()


async def _send_some(
    storage: StorageStub,
    remote: RemoteAe,
    ae_title: str,
    left: list[Wanted],
    on_outcome: OnOutcome,
    attempts: Attempts,
    tries: Counter[str],
    again: dict[Wanted, ImagingError],
) -> None:
    """Send what is left over one association; each is taken off the list, and what may pass goes to `again`.

    An instance is in one of both or was told of, whatever is raised.
    """
    association = await associate(remote, ae_title, proposed_contexts(left))
    scu = StoreScu(association)
    try:
        with closing(UpcomingObjects(storage, [scu.request(item) for item in left])) as upcoming:
            while left and scu.is_open:
                item = left.pop(0)
                tries[item.name] += 1
                try:
                    await scu.send(item, upcoming.take())
                except (ImagingError, AssociationLost) as error:
                    if isinstance(error, AssociationLost):
                        why: ImagingError = Unavailable(f"The association was lost: {error}", where=item.name)
                    else:
                        why = error
                    if is_worth_retrying(why) and tries[item.name] < MOST_TRIES:
                        again[item] = why
                    else:
                        on_outcome(item, why)
                    if why is not error:
                        raise
                else:
                    on_outcome(item, None)
                    attempts.succeed()
        await association.release()
    finally:
        if association.is_open:
            association.abort()
