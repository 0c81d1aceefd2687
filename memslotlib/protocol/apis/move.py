"""MOVE: the same slot at another guest address, in one ioctl.

Source: ``kvm_move_memslot()`` of Linux 6.12: INVALID at the old place, flush, then one swap that
takes the old place away and puts the slot to the new one. The dirty bitmap goes along.
"""

from __future__ import annotations

from dataclasses import replace as with_fields

from ..kernel import LOCK, RETURN, UNLOCK, free, invalidate, replace, swap
from ..mmu import flush_shadow
from ..program import Op, Program
from ..slots import Change, Slot
from ..world import Policy


def move(old: Slot, new: Slot, policy: Policy) -> tuple[Op, ...]:
    """KVM_MR_MOVE: two swaps. A slot that logs on keeps its bitmap; its metadata are fresh."""
    if old.log and new.log:
        new = with_fields(new, bitmap=tuple(map(old.dirty_bitmap, old.gfns)))
    return (
        LOCK,
        *invalidate(old),
        *flush_shadow(policy, old),
        replace(old, new),
        *swap(old.as_id),
        replace(old.invalid, new),
        Op(free, (old.invalid,)),
        Op(free, (old,)),
        UNLOCK,
    )


def update(change: Change, policy: Policy) -> Program:
    """Move each slot that goes to the place of the one that comes."""
    pairs = zip(change.gone, change.come, strict=True)
    return Program((*(op for pair in pairs for op in move(*pair, policy)), RETURN), "move")


def refusal(change: Change) -> str:
    """Return why a change cannot be told as moves; empty if it can."""
    if len(change.gone) != len(change.come):
        return "a move neither adds a slot nor takes one away"
    for old, new in zip(change.gone, change.come, strict=True):
        if old.npages != new.npages or old.readonly != new.readonly:
            return "EINVAL: a move changes neither size nor READONLY"
        if old.base_gfn == new.base_gfn:
            return "EINVAL: a move does not change the hva of a slot that stays where it is"
    return ""
