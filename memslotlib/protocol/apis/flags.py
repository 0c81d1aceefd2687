"""Flags only: dirty logging on or off, in one ioctl.

Source: ``kvm_update_flags_memslot()`` of Linux 6.12: a copy with other flags and the same metadata
takes the slot's place in one swap; nothing is made invalid, nothing is zapped. Where logging
begins, ``kvm_mmu_slot_apply_flags()`` then takes write access away, or clears D bits where the
processor logs, and flushes.
"""

from __future__ import annotations

from dataclasses import replace as with_fields

from ..kernel import LOCK, RETURN, UNLOCK, free, replace, swap
from ..mmu import clear_dirty, flush, write_protect
from ..program import Op, Program
from ..slots import Change, Slot
from ..world import Policy


def update_flags(old: Slot, new: Slot, policy: Policy) -> tuple[Op, ...]:
    """KVM_MR_FLAGS_ONLY: one swap."""
    new = with_fields(new, arch=tuple(map(old.metadata, old.gfns)))
    protect = clear_dirty if policy.pml else write_protect
    protected = Op(protect, (new.as_id, tuple(new.gfns))), *flush()
    return (
        LOCK,
        replace(old, new),
        *swap(old.as_id),
        replace(old, new),
        *(protected if new.log and not old.log else ()),
        Op(free, (old,)),
        UNLOCK,
    )


def update(change: Change, policy: Policy) -> Program:
    """Give each slot that goes the flags of the one that comes."""
    pairs = zip(change.gone, change.come, strict=True)
    return Program((*(op for pair in pairs for op in update_flags(*pair, policy)), RETURN), "flags")


def refusal(change: Change) -> str:
    """Return why a change is not one of flags; empty if it is."""
    if len(change.gone) != len(change.come):
        return "flags neither add a slot nor take one away"
    for old, new in zip(change.gone, change.come, strict=True):
        if (old.base_gfn, old.npages, old.hva) != (new.base_gfn, new.npages, new.hva):
            return "flags leave place, size and hva as they are"
        if old.readonly != new.readonly:
            return "EINVAL: READONLY cannot be toggled"
    return ""
