"""Today: KVM_SET_USER_MEMORY_REGION deletes a slot, or creates one, and userspace calls it often.

Source: ``kvm_set_memslot()``, ``kvm_delete_memslot()``, ``kvm_create_memslot()`` of Linux 6.12.
"""

from __future__ import annotations

from ..kernel import LOCK, RETURN, UNLOCK, free, invalidate, replace, swap
from ..mmu import flush_shadow
from ..program import Op, Program
from ..slots import Change, Slot
from ..userspace import COPY, SEND, get_dirty_log
from ..world import Policy


def create(slot: Slot) -> tuple[Op, ...]:
    """KVM_MR_CREATE: one swap."""
    return LOCK, replace(None, slot), *swap(slot.as_id), replace(None, slot), UNLOCK


def delete(slot: Slot, policy: Policy) -> tuple[Op, ...]:
    """KVM_MR_DELETE: INVALID, flush, gone: two swaps."""
    return (
        LOCK,
        *invalidate(slot),
        *flush_shadow(policy, slot),
        replace(slot, None),
        *swap(slot.as_id),
        replace(slot.invalid, None),
        Op(free, (slot.invalid,)),
        Op(free, (slot,)),
        UNLOCK,
    )


def fetched(slot: Slot) -> tuple[Op, ...]:
    """KVM_GET_DIRTY_LOG, and what userspace does with it, if the slot has a log."""
    return (*get_dirty_log(slot), SEND) if slot.log else ()


def update(change: Change, policy: Policy) -> Program:
    """Delete every slot that goes, then create every slot that comes.

    The dirty log of a slot is fetched just before it is deleted, as QEMU does, and pages that get
    another backing are copied while no slot is there.
    """
    gone: list[Op] = []
    for slot in change.gone:
        gone += [*fetched(slot), *delete(slot, policy)]
    copy = [COPY] if change.moves_memory else []
    come = [op for slot in change.come for op in create(slot)]
    return Program((*gone, *copy, *come, RETURN), "today")
