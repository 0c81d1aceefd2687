"""Dirty rings: what userspace reads from them, and takes an entry for.

A ring is a vCPU's own. Nothing purges it when a slot goes or moves, and an entry tells a slot by
its id: so userspace has to know which slot had the id when the entry was pushed. Here a ring is a
set of entries, which is never full; userspace reads all rings at once.

Source: ``kvm_dirty_ring_reset()`` and ``kvm_reset_dirty_gfn()`` in virt/kvm/dirty_ring.c of Linux
6.12; ``kvm_dirty_ring_reap_locked()`` and ``kvm_dirty_ring_mark_page()`` of QEMU.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ..check import step
from .kernel import LOCK, UNLOCK
from .mmu import flush
from .program import Op
from .slots import Contents, Slot, page_number
from .userspace import SEND
from .world import RingEntry, World

Steps = Any
Batch = tuple[RingEntry, ...]


def found(table: Iterable[Slot], entry: RingEntry) -> Slot | None:
    """Return the first slot of an entry's id, unless the entry is beyond its end."""
    for slot in table:
        if (slot.as_id, slot.number) == (entry.as_id, entry.number):
            return slot if entry.offset < slot.npages else None
    return None


def taken(m: Any, w: World, table: Contents) -> list[int]:
    """Take all entries out of the rings; return the pages that they name by a table of slots."""
    named: list[int] = []
    for v in w.cpu:
        for place, entry in enumerate(w.ring_entries):
            slot = found(table, entry)
            if m.ring[v, place]:
                m.ring[v, place] = False
                m.reaped[v, place] = True
                if slot is not None:
                    named.append(slot.page(slot.base_gfn + entry.offset))
                    if named[-1] != entry.page:
                        taken_for = f"page {entry.page} is taken for page {named[-1]}"
                        m.fail(
                            "I5'' an entry of a ring names the page that it was pushed for",
                            taken_for,
                        )
    for page in named:
        if not m.touched[page]:
            m.fail("I5' no clean page is called dirty", f"page {page}")
    return named


@step
def reap_rings(m: Any, w: World, table: Contents) -> Steps:
    """Userspace reads the rings, by the slots that it knows."""
    for page in taken(m, w, table):
        m.harvested[page] = True
        m.touched[page] = False
    yield f"read the rings by {table}"


@step
def reset_rings(m: Any, w: World) -> Steps:
    """KVM_RESET_DIRTY_RINGS: protect again the pages of the entries that were read.

    Neighbours of one slot are taken together, and one of them that is beyond the slot's end keeps
    the others from being protected. What was a neighbour is not remembered: both is possible.
    """
    for v in w.cpu:
        read = [one for place, one in enumerate(w.ring_entries) if m.reaped[v, place]]
        for place in range(len(w.ring_entries)):
            m.reaped[v, place] = False
        is_run = len({one.number for one in read}) < len(read) and m.choose((False, True))
        for batch in batches(read) if is_run else [(one,) for one in read]:
            reset(m, w, batch)
    yield "protect the pages that the rings named"


def batches(entries: list[RingEntry]) -> Iterator[Batch]:
    """Yield the entries of each slot together."""
    for slot in dict.fromkeys((one.as_id, one.number) for one in entries):
        yield tuple(one for one in entries if (one.as_id, one.number) == slot)


def reset(m: Any, w: World, batch: Batch) -> None:
    """``kvm_reset_dirty_gfn()``, which silently leaves out what is in no slot of today."""
    as_id = batch[0].as_id
    slots = m.sets[as_id, m.active[as_id]]
    if all(found(slots, one) for one in batch):
        for one in batch:
            slot = found(slots, one)
            assert slot is not None
            frame = w.at(as_id, slot.base_gfn + one.offset)
            m.spte[frame] = w.protected(m.spte[frame])


@step
def settle_rings(m: Any, w: World, table: Contents) -> Steps:
    """When all vCPUs are done, the last round: every page that changed since is in some ring."""
    m.wait(m.finished == w.vcpus)
    named = taken(m, w, table)
    for gfn in range(w.gfns):
        hva = w.change.page_after(0, gfn)
        page = page_number(hva, gfn)
        if hva and m.newer[page] and page not in named:
            m.fail("I5 no dirty page is lost", f"gfn {gfn}")
    yield f"last round of the rings, by {table}"


def reaped(table: Contents) -> tuple[Op, ...]:
    """Read the rings, have the pages protected, send them."""
    return Op(reap_rings, (table,)), LOCK, Op(reset_rings), *flush(), UNLOCK, SEND
