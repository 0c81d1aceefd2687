"""A model shaped like a memslot update, to measure the explorer with; it claims nothing about KVM.

The chapters' model is another, finer one. This one has the shape of the study that the explorer's
design rests on, so that figures can be compared: vCPUs that access any page through a TLB and page
tables, IPIs that flush, and an updater that deletes and creates slots, or replaces them at once.
"""

from __future__ import annotations

from typing import Any

from memslotlib.check import Actor, Array, Flag, Int, Model, Symmetric, never


def vcpu(m: Any, v: Any, pages: int, accesses: int) -> Any:
    """Access any page, so often: through the TLB, the page tables, or a fault."""
    left = accesses
    while True:
        m.wait(left > 0, end=True)
        left -= 1
        page, is_write = m.choose(pages), m.choose(2)
        yield "pick"
        while True:
            entry = m.tlb[v, page]
            if entry and (not is_write or entry % 2 == 0):
                if is_write:
                    if not m.busy[page] and (entry + 1) // 2 != m.slot[page] - 1:
                        m.fail("no stale write")
                    m.written[page] = True
                yield "TLB hit"
                break
            yield "TLB miss"
            entry = m.spte[page]
            if entry and (not is_write or entry % 2 == 0):
                m.tlb[v, page] = entry
                yield "walk"
                continue
            yield "fault"
            slot = m.slot[page]
            if slot == 0:
                m.fail("no hole")
                yield "MMIO"
                break
            if slot == 1:
                yield "retry"
                continue
            hva, seq = slot - 1, m.seq
            m.reading[v] = 1
            yield "look up"
            if m.seq == seq:
                entry = m.spte[page]
                is_writable = is_write or (entry != 0 and entry % 2 == 0)
                m.spte[page] = 2 * hva - 1 + int(is_writable)
                if is_write:
                    m.dirty[page] = True
            m.reading[v] = 0
            yield "install"


def ipi(m: Any, v: Any, pages: int) -> Any:
    """Flush the TLB when asked to."""
    while True:
        m.wait(m.kicked[v], end=True)
        for page in range(pages):
            m.tlb[v, page] = 0
        m.kicked[v] = False
        yield "flush"


def updater(m: Any, cpu: Symmetric, atomic: bool, sync: bool, flush: bool) -> Any:
    """Fetch the dirty log of page 0's slot, then replace the slot."""

    def swap(what: int) -> None:
        m.slot[0] = what
        for i in cpu:
            if m.reading[i] == 1:
                m.reading[i] = 2

    def synchronized() -> None:
        for i in cpu:
            m.wait(m.reading[i] != 2)

    def flushed() -> None:
        for i in cpu:
            m.wait(not m.kicked[i])

    def kick() -> None:
        for i in cpu:
            m.kicked[i] = True

    harvested = m.dirty[0]
    m.dirty[0] = False
    if m.spte[0] in (2, 4):
        m.spte[0] -= 1
    kick()
    yield "get dirty log"
    flushed()
    if harvested:
        m.written[0] = False
    m.busy[0] = True
    yield "copied"
    swap(1)
    yield "INVALID"
    if sync:
        synchronized()
    yield "synchronized"
    m.spte[0] = 0
    if sync:
        m.seq += 1
    if flush:
        kick()
    yield "zap"
    flushed()
    yield "flushed"
    if not atomic:
        swap(0)
        if m.written[0]:
            m.fail("no lost dirty bit")
        m.written[0] = m.dirty[0] = False
        yield "delete"
        synchronized()
        yield "synchronized"
    swap(3)
    yield "create"
    synchronized()
    yield "synchronized"
    m.busy[0] = False
    yield "return"


def model(
    vcpus: int = 2,
    pages: int = 2,
    accesses: int = 2,
    *,
    atomic: bool = False,
    sync: bool = True,
    flush: bool = True,
) -> Model:
    """Return the model: so many vCPUs, pages, and accesses of each vCPU.

    ``atomic`` replaces the slot at once instead of deleting it first; without ``sync`` nobody
    waits for readers, without ``flush`` stale translations stay in the TLBs.
    """
    cpu = Symmetric("cpu", vcpus)
    return Model(
        "memslot-like",
        {
            "slot": Array(Int(4), pages, init=2),
            "spte": Array(Int(5), pages),
            "dirty": Array(Flag(), pages),
            "written": Array(Flag(), pages),
            "busy": Array(Flag(), pages),
            "tlb": Array(Int(5), cpu, pages),
            "kicked": Array(Flag(), cpu),
            "reading": Array(Int(3), cpu),
            "seq": Int(4),
        },
        [
            Actor(vcpu, pages, accesses, per=cpu),
            Actor(ipi, pages, per=cpu),
            Actor(updater, cpu, atomic, sync, flush),
        ],
        [never("no hole"), never("no stale write"), never("no lost dirty bit")],
    )
