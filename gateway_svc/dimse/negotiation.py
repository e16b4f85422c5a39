"""Which presentation contexts of a proposal we accept, in which transfer syntax and in which roles (PS3.8 7.1.1.13)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gateway_svc.dimse.associate_pdu import AssociateRequest, ContextResult, ProposedContext, Role
from gateway_svc.dimse.association import Context
from gateway_svc.dimse.sop_classes import SopClasses, Verb
from imaging.dicom.transfer_syntax import (
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    TRANSFER_SYNTAXES,
)

_ACCEPTED, _USER_REJECTION, _NO_ABSTRACT_SYNTAX, _NO_TRANSFER_SYNTAX = 0, 1, 3, 4

_OF_MESSAGES: Final = (EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN)
"""For queries and the like, whose data sets are made and read here."""

_SECOND_CHOICE: Final = frozenset({IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_BIG_ENDIAN})
"""Taken only where Explicit VR Little Endian is not offered: one loses the VR of private elements, one is retired."""


@dataclass(frozen=True, slots=True)
class Negotiated:
    """What an association has, once it is accepted."""

    results: tuple[ContextResult, ...]
    """For A-ASSOCIATE-AC, one for each that was proposed."""
    contexts: dict[int, Context]
    """The accepted ones, by id."""
    roles: tuple[tuple[str, Role], ...]
    """What the requestor may be, for each SOP Class whose roles it wanted to negotiate."""


def negotiate(request: AssociateRequest, permitted: frozenset[Verb], sop_classes: SopClasses) -> Negotiated:
    """What we accept of a proposal.

    Parameters
    ----------
    permitted
        What the calling AE may ask for. One that may get (C-GET) may be SCP of storage on its association.
    """
    asked = dict(request.user.roles)
    results: list[ContextResult] = []
    contexts: dict[int, Context] = {}
    for proposed in request.contexts:
        role = asked.get(proposed.abstract_syntax, Role(is_scu=True, is_scp=False))
        result, context = _one(proposed, _role(proposed, role, permitted, sop_classes), sop_classes)
        transfer_syntax = context.transfer_syntax if context is not None else proposed.transfer_syntaxes[0]
        results.append(ContextResult(proposed.id, result, transfer_syntax))
        if context is not None:
            contexts[proposed.id] = context
    classes = {context.abstract_syntax: context for context in contexts.values()}
    roles = tuple(
        (uid, Role(is_scu=classes[uid].is_scp, is_scp=classes[uid].is_scu)) for uid in asked if uid in classes
    )
    return Negotiated(tuple(results), contexts, roles)


def _role(proposed: ProposedContext, asked: Role, permitted: frozenset[Verb], sop_classes: SopClasses) -> Role:
    """What the requestor may be in this context."""
    verb = sop_classes.verb(proposed.abstract_syntax)
    return Role(
        is_scu=asked.is_scu and verb in permitted,
        is_scp=asked.is_scp and verb is Verb.STORE and Verb.GET in permitted,
    )


def _one(proposed: ProposedContext, role: Role, sop_classes: SopClasses) -> tuple[int, Context | None]:
    verb = sop_classes.verb(proposed.abstract_syntax)
    if verb is None:
        return _NO_ABSTRACT_SYNTAX, None
    if not (role.is_scu or role.is_scp):
        return _USER_REJECTION, None
    known = TRANSFER_SYNTAXES if verb is Verb.STORE else _OF_MESSAGES
    offered = [uid for uid in proposed.transfer_syntaxes if uid in known]
    if not offered:
        return _NO_TRANSFER_SYNTAX, None
    return _ACCEPTED, Context(
        id=proposed.id,
        abstract_syntax=proposed.abstract_syntax,
        transfer_syntax=_choice(offered),
        is_scu=role.is_scp,
        is_scp=role.is_scu,
    )


def _choice(offered: Sequence[str]) -> str:
    """The first that is offered: only the sender knows what its objects are in, and what converting would lose."""
    if offered[0] in _SECOND_CHOICE and EXPLICIT_VR_LITTLE_ENDIAN in offered:
        return EXPLICIT_VR_LITTLE_ENDIAN
    return offered[0]
