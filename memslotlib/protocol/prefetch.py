"""Prefetching: a page fault maps the neighbours of its frame too, by a look-up of its own.

The fault has found its slot long before, without mmu_lock. The neighbours' slot is looked up when
mmu_lock is held, so it may be another one, and it is held to less: INVALID, a log and READONLY keep
neighbours out, whatever else makes a fault leave to userspace does not. The TDP MMU does nothing of
the kind.

Source: ``direct_pte_prefetch()``, ``direct_pte_prefetch_many()`` and
``gfn_to_memslot_dirty_bitmap()`` in arch/x86/kvm/mmu/mmu.c of Linux 6.12. Of patch 5 of KVM
Userfault, v3 of 18 June 2025, that it leaves these as they are.
"""

from __future__ import annotations

from typing import Any

from .judge import happened
from .marking import lookup
from .notifier import backing
from .state import NO_TAG
from .world import ABSENT, Access, Entry, World

#: What has to happen where KVM prefetches.
PREFETCHED = "a neighbour is prefetched"


def prefetch(m: Any, w: World, access: Access) -> None:
    """Map what the page table that a fault was about has no SPTE for, unless a notifier is at work.

    A page table is that of the frames under one huge page, or of the others. Pages are mapped to be
    written, and only if the host has them.
    """
    if w.notifies and m.is_invalidating:
        return
    for gfn in neighbours(w, access.gfn):
        frame = w.at(access.as_id, gfn)
        slot = lookup(m, access.as_id, gfn)
        if m.spte[frame] != ABSENT or slot is None:
            continue
        page = backing(m, w, access._replace(gfn=gfn), slot.hva)
        if slot.is_invalid or slot.is_disabled or slot.log or slot.readonly or not page:
            continue
        m.spte[frame] = Entry(page, True)
        m.owner[frame] = slot.metadata(gfn)
        if w.caches:
            m.mmio_spte[frame] = NO_TAG
        happened(m, w, PREFETCHED)


def neighbours(w: World, gfn: int) -> list[int]:
    """Return the frames whose SPTEs are in the same page table."""
    huge = w.huge or ()
    return [one for one in range(w.gfns) if one != gfn and (one in huge) == (gfn in huge)]
