"""How KVM finds the slot of a frame, and where it notes that a page was written.

A VM has dirty bitmaps, one of each slot that logs, or a dirty ring of each vCPU. A bitmap goes
with its slot. An entry of a ring names the slot by its id and stays, whatever becomes of the slot.

Source: ``__gfn_to_memslot()`` and ``mark_page_dirty_in_slot()`` in virt/kvm/kvm_main.c,
``kvm_dirty_ring_push()`` in virt/kvm/dirty_ring.c of Linux 6.12.
"""

from __future__ import annotations

from typing import Any

from .slots import Slot
from .world import RingEntry, World


def lookup(m: Any, as_id: int, gfn: int) -> Slot | None:
    """``__gfn_to_memslot()`` in the active set."""
    found: Slot | None = m.sets[as_id, m.active[as_id]].lookup(gfn)
    return found


def mark_dirty(m: Any, w: World, slot: Slot, gfn: int, v: Any = None) -> None:
    """``mark_page_dirty_in_slot()``: in the vCPU's ring if the VM has rings, else in the bitmap.

    It asks whether the slot logs and not whether it is INVALID. Who is no vCPU has no ring.
    """
    if not w.ring:
        m.bitmap[w.bit(slot, gfn)] = True
    elif v is not None:
        m.ring[v, w.ring_entries.index(RingEntry.of(slot, gfn))] = True
