"""The RFC's KVM_SET_USER_MEMORY_REGION_LIST: many changes in one ioctl.

Source: message-id 20220909104506.738478-10-eesposit@redhat.com (patch 9/9) and its cover letter.
"""

from __future__ import annotations

from ..kernel import LOCK, RETURN, UNLOCK, free, invalidate, replace, swap
from ..mmu import flush_shadow
from ..program import Op, Program
from ..slots import Change
from ..world import Policy
from .wholesale import copied


def as_posted(change: Change, policy: Policy) -> Program:
    """Three passes as in patch 9/9, which drops slots_lock between them and for each entry.

    Pass 1 invalidates each entry that goes, with a swap for each, in both sets; pass 2 edits the
    inactive set; pass 3 swaps each address space once and frees.
    """
    ops = (*copied(change), *_first(change, policy), *_second(change), *_third(change))
    return Program(ops, "RFC as posted")


def as_intended(change: Change, policy: Policy) -> Program:
    """The same passes under one slots_lock, as the cover letter means it: N + 1 swaps."""
    posted = as_posted(change, policy)
    inside = [op for op in posted if op not in (LOCK, UNLOCK, RETURN, *copied(change))]
    return Program((*copied(change), LOCK, *inside, UNLOCK, RETURN), "RFC as intended")


def failing(change: Change, policy: Policy) -> Program:
    """As posted, when pass 2 runs out of memory: it returns, and pass 1's slots stay INVALID."""
    return Program((*_first(change, policy), LOCK, UNLOCK, RETURN), "RFC, ENOMEM in pass 2")


def _first(change: Change, policy: Policy) -> tuple[Op, ...]:
    found: list[Op] = [LOCK]
    for slot in change.gone:
        found += [*invalidate(slot), *flush_shadow(policy, slot), replace(slot, slot.invalid)]
    return (*found, UNLOCK)


def _second(change: Change) -> tuple[Op, ...]:
    found: list[Op] = []
    for slot in change.gone:
        found += [LOCK, replace(slot.invalid, None), UNLOCK]
    for slot in change.come:
        found += [LOCK, replace(None, slot), UNLOCK]
    return tuple(found)


def _third(change: Change) -> tuple[Op, ...]:
    found: list[Op] = [LOCK]
    for as_id in sorted({slot.as_id for slot in (*change.gone, *change.come)}):
        found += swap(as_id)
    for slot in change.gone:
        found += [replace(slot.invalid, None), Op(free, (slot.invalid,)), Op(free, (slot,))]
    found += [replace(None, slot) for slot in change.come]
    return (*found, UNLOCK, RETURN)
