"""Wholesale replacement: one ioctl hands over the whole layout of an address space.

Source: KVM_SET_ALL_USER_MEMORY_REGIONS of message-id YzRvMZDoukMbeaxR@google.com and of
8534dfe4-bc71-2c14-b268-e610a3111d14@redhat.com. How it would be built was not said, so there are
two ways: swap first and flush then, or block, flush and swap.
"""

from __future__ import annotations

from ..kernel import LOCK, RETURN, UNLOCK, free, replace, swap
from ..mmu import await_kicked, flush_shadow, zap_all
from ..program import Op, Program
from ..slots import Change
from ..userspace import COPY
from ..world import Policy


def swap_first(change: Change, policy: Policy) -> Program:
    """One swap of the whole set, then zap everything: the shortest that could be meant."""
    return Program(
        (
            *copied(change),
            LOCK,
            *_edits(change),
            *_swaps(change),
            Op(zap_all),
            Op(await_kicked),
            *_edits(change),
            *(Op(free, (slot,)) for slot in change.gone),
            UNLOCK,
            RETURN,
        ),
        "wholesale, swap first",
    )


def block_first(change: Change, policy: Policy) -> Program:
    """All that goes is INVALID in one swap; flush; then one swap to the new layout."""
    blocked = tuple(replace(slot, slot.invalid) for slot in change.gone)
    flushes = [op for slot in change.gone for op in flush_shadow(policy, slot)]
    if policy.zaps_all:
        flushes = [Op(zap_all), Op(await_kicked)]
    after = [replace(slot.invalid, None) for slot in change.gone]
    return Program(
        (
            *copied(change),
            LOCK,
            *blocked,
            *_swaps(change),
            *flushes,
            *_edits(change),
            *_swaps(change),
            *after,
            *(replace(None, slot) for slot in change.come),
            *(Op(free, (one,)) for slot in change.gone for one in (slot.invalid, slot)),
            UNLOCK,
            RETURN,
        ),
        "wholesale, block first",
    )


def copied(change: Change) -> tuple[Op, ...]:
    """The copy that userspace makes beforehand, since one ioctl leaves it no moment in between."""
    return (COPY,) if change.moves_memory else ()


def _edits(change: Change) -> tuple[Op, ...]:
    gone = [replace(slot, None) for slot in change.gone]
    return (*gone, *(replace(None, slot) for slot in change.come))


def _swaps(change: Change) -> tuple[Op, ...]:
    spaces = sorted({slot.as_id for slot in (*change.gone, *change.come)})
    return tuple(op for as_id in spaces for op in swap(as_id))
