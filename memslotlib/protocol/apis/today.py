"""Today: KVM_SET_USER_MEMORY_REGION deletes a slot, or creates one, and userspace calls it often.

Source: ``kvm_set_memslot()``, ``kvm_delete_memslot()``, ``kvm_create_memslot()`` of Linux 6.12.
"""

from __future__ import annotations

from ..kernel import LOCK, RETURN, UNLOCK, free, invalidate, replace, swap
from ..mmu import flush_shadow
from ..program import Op, Program
from ..slots import Change, Slot
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


def update(change: Change, policy: Policy) -> Program:
    """Delete every slot that goes, then create every slot that comes."""
    gone = [op for slot in change.gone for op in delete(slot, policy)]
    come = [op for slot in change.come for op in create(slot)]
    return Program((*gone, *come, RETURN), "today")
