"""KVM Userfault: a flag of a slot and a bitmap, by which page faults leave to userspace.

Source: James Houghton's series of 2024 and 2025, KVM_MEM_USERFAULT and KVM_CAP_USERFAULT. To set
the flag is a change of flags that zaps the slot. The slot stays, so what is exchanged is what is
behind its hva. KVM's own accesses are not covered, and neither is anybody else's.
"""

from __future__ import annotations

from ..kernel import LOCK, RETURN, UNLOCK, free, replace, swap
from ..mmu import flush, zap_slot
from ..notifier import clear_userfault
from ..program import Op, Program
from ..slots import Change, Slot
from ..userspace import COPY
from ..world import Policy
from .remap import remapped


def flagged(slot: Slot) -> tuple[Op, ...]:
    """Set the flag, with every bit of the bitmap set: KVM_MR_FLAGS_ONLY, and nothing is mapped."""
    put = replace(slot, slot.userfault)
    zap = Op(zap_slot, (slot,)), *flush()
    return LOCK, put, *swap(slot.as_id), put, *zap, Op(free, (slot,)), UNLOCK


def update(change: Change, policy: Policy) -> Program:
    """Set the flag of each slot, copy, map the other pages, clear the bitmap."""
    flags = [op for slot in change.gone for op in flagged(slot)]
    ops = (*flags, COPY, *remapped(change), Op(clear_userfault), RETURN)
    return Program(ops, "KVM Userfault")
