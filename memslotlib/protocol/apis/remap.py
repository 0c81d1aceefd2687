"""No update of a slot at all: mmap() with MAP_FIXED puts another mapping at the slot's hva.

Source: ``mmap_region()`` and ``unmap_vmas()`` of Linux 6.12; crosvm changes what is in a slot so.
The slots stay, and an hva that several of them share changes for all at once. One system call
unmaps and maps, so userspace has to copy before it.
"""

from __future__ import annotations

from ..kernel import RETURN
from ..notifier import MAP, UNMAP, moved, zapped
from ..program import Op, Program
from ..slots import Change, Slot
from ..userspace import COPY
from ..world import Policy


def update(change: Change, policy: Policy) -> Program:
    """Copy, then map the other pages over the old ones."""
    return Program((COPY, *remapped(change), RETURN), "remap")


def remapped(change: Change) -> tuple[Op, ...]:
    """``mmap()`` over a mapping: KVM is told, the pages go, others come."""
    return *zapped(moved(change), UNMAP), MAP


def refusal(change: Change) -> str:
    """Return why a change is none of what is behind the slots; empty if it is."""
    if sorted(map(_place, change.gone)) != sorted(map(_place, change.come)):
        return "the slots stay as they are"
    slots = [*change.gone, *change.come]
    frames = [(slot.as_id, gfn) for slot in slots for gfn in slot.gfns]
    pages = {(change.page_before(*one), change.page_after(*one)) for one in frames}
    if len(pages) != 1 or not all(change.repoints(*one) for one in frames):
        return "one mmap is about one mapping"
    return ""


def _place(slot: Slot) -> tuple[int, int, int, bool, bool]:
    return slot.as_id, slot.base_gfn, slot.npages, slot.readonly, slot.log
