"""Every order of the steps that give a slot another hva without a quiescent period.

Is one of them sound? *Quiescent* means that nobody can reach a frame: all vCPUs are out of KVM_RUN;
or its translations are gone, faults on it are blocked, and the flush was acknowledged. Without it,
an update of a slot to another hva can only copy, publish the new slot, wait for a grace period, zap
and flush, each at some moment. The grammar has each step once and a request before its wait; every
order is a program.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from .kernel import LOCK, RETURN, UNLOCK, begin_grace_period, end_grace_period, publish, replace
from .mmu import await_kicked, request_flush, zap_slot
from .program import Op, Program
from .slots import Change
from .userspace import COPY

#: Pairs of steps of which the first comes before the second.
BEFORE = ((begin_grace_period, end_grace_period), (request_flush, await_kicked))


def steps(change: Change) -> tuple[Op, ...]:
    """Return the steps of the grammar for a change of one slot."""
    (old,) = change.gone
    return (
        COPY,
        Op(publish, (old.as_id,)),
        Op(begin_grace_period),
        Op(end_grace_period),
        Op(zap_slot, (old,)),
        Op(request_flush),
        Op(await_kicked),
    )


def orders(change: Change) -> Iterator[Program]:
    """Yield a program for each order of the steps that the pairs allow.

    What nobody can see has its place outside: the inactive set is edited before, and made equal to
    the other one after.
    """
    (old,), (new,) = change.gone, change.come
    edits = replace(old, None), replace(None, new)
    for order in itertools.permutations(steps(change)):
        place = {op.step: number for number, op in enumerate(order)}
        if all(place[one] < place[other] for one, other in BEFORE):
            name = ", ".join(op.step.__name__.replace("_", " ") for op in order)
            yield Program((LOCK, *edits, *order, *edits, UNLOCK, RETURN), name)
