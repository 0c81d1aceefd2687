"""Page tables and TLBs: what a slot's going takes from them, and how a vCPU is made to notice.

A flush of TLBs is three steps: a request for every vCPU, an interrupt for those in the guest, and
the wait until each of these has left it. A vCPU that is outside is not waited for: it obeys the
request before it enters.
"""

from __future__ import annotations

from typing import Any

from ..check import step
from .program import Op
from .slots import Slot
from .state import EXITING, FLUSH, IN, NO_TAG, NOTHING, OUT, RELOAD
from .world import ABSENT, Entry, Policy, World

Steps = Any


def asked(m: Any, v: Any, what: str) -> None:
    """``kvm_make_vcpu_request()``, and the interrupt if the vCPU is in the guest."""
    if m.request[v] != RELOAD:
        m.request[v] = what
    if m.mode[v] == IN:
        m.mode[v] = EXITING


def cleared(m: Any, w: World, as_id: int, gfn: int) -> None:
    """Take a translation from the page tables; a huge one goes with all that it covers."""
    gfns = [gfn]
    if w.huge and m.huge[as_id] and gfn in w.huge:
        gfns = list(w.huge)
        m.huge[as_id] = False
    for one in gfns:
        m.spte[w.at(as_id, one)] = ABSENT
        m.owner[w.at(as_id, one)] = "-"


def unshadowed(m: Any, w: World, as_id: int, gfn: int) -> None:
    """Take the shadow page of a page table in a frame away, if there is one."""
    if w.shadows:
        m.shadowed[w.at(as_id, gfn)] = "-"


def obsolete_roots(m: Any, w: World) -> None:
    """``kvm_mmu_zap_all_fast()``: every root is obsolete, of both address spaces.

    A vCPU in the guest walks its old root until it leaves, so it may still use what was there.
    """
    for v in w.cpu:
        if m.mode[v] != OUT:
            for n in range(len(m.spte)):
                if m.tlb[v, n] == ABSENT:
                    m.tlb[v, n] = m.spte[n]
        asked(m, v, RELOAD)
    for as_id in w.spaces:
        for gfn in range(w.gfns):
            cleared(m, w, as_id, gfn)
            unshadowed(m, w, as_id, gfn)
            if w.caches:
                m.mmio_spte[w.at(as_id, gfn)] = NO_TAG


@step
def zap_all(m: Any, w: World) -> Steps:
    """``kvm_mmu_zap_all_fast()`` as a slot goes."""
    obsolete_roots(m, w)
    yield "zap all: roots obsolete, vCPUs kicked"


@step
def zap_slot(m: Any, w: World, slot: Slot) -> Steps:
    """``kvm_mmu_zap_memslot()``: the slot's frames, in its address space, and tables in them."""
    for gfn in slot.gfns:
        cleared(m, w, slot.as_id, gfn)
        unshadowed(m, w, slot.as_id, gfn)
    yield f"zap the SPTEs of {slot}"


@step
def zap_gfns(m: Any, w: World, as_id: int, gfns: tuple[int, ...]) -> Steps:
    """``kvm_unmap_gfn_range()`` of some frames."""
    for gfn in gfns:
        cleared(m, w, as_id, gfn)
    yield f"zap the SPTEs of gfns {', '.join(map(str, gfns))}"


@step
def disallow_huge(m: Any, w: World, as_id: int) -> Steps:
    """Count up ``lpage_info.disallow_lpage``: no fault maps the huge page from here on."""
    m.no_huge[as_id] = True
    yield "disallow the huge page"


@step
def write_protect(m: Any, w: World, as_id: int, gfns: tuple[int, ...]) -> Steps:
    """``kvm_mmu_slot_remove_write_access()`` of some frames."""
    for gfn in gfns:
        frame = w.at(as_id, gfn)
        if m.spte[frame].is_writable:
            m.spte[frame] = Entry(m.spte[frame].page, False)
    yield f"write-protect gfns {', '.join(map(str, gfns))}"


@step
def clear_dirty(m: Any, w: World, as_id: int, gfns: tuple[int, ...]) -> Steps:
    """``kvm_mmu_slot_leaf_clear_dirty()``: the processor logs the next store by itself."""
    for gfn in gfns:
        m.spte[w.at(as_id, gfn)] = w.protected(m.spte[w.at(as_id, gfn)])
    yield f"clear the D bits of gfns {', '.join(map(str, gfns))}"


@step
def request_flush(m: Any, w: World) -> Steps:
    """``kvm_flush_remote_tlbs()``: ask everybody, interrupt who is in the guest."""
    for v in w.cpu:
        asked(m, v, FLUSH)
    yield "request TLB flush, kick vCPUs"


@step
def await_kicked(m: Any, w: World) -> Steps:
    """Wait until every vCPU that was interrupted has left the guest."""
    for v in w.cpu:
        m.wait(m.mode[v] != EXITING)
    yield "all kicked vCPUs are out"


def flush() -> tuple[Op, ...]:
    """``kvm_flush_remote_tlbs()``."""
    return Op(request_flush), Op(await_kicked)


def flush_shadow(policy: Policy, slot: Slot) -> tuple[Op, ...]:
    """``kvm_arch_flush_shadow_memslot()``."""
    if policy.zaps_all:
        return Op(zap_all), Op(await_kicked)
    return Op(zap_slot, (slot,)), *flush()


def obey(m: Any, w: World, v: Any) -> None:
    """Do what the vCPU was asked to do, as it does before it enters the guest."""
    if m.request[v] != NOTHING:
        m.request[v] = NOTHING
        for n in range(len(m.spte)):
            m.tlb[v, n] = ABSENT


def interrupt(m: Any, v: Any) -> Steps:
    """The interrupt arrives: the vCPU leaves the guest, which acknowledges it."""
    while True:
        m.wait(m.mode[v] == EXITING, end=True)
        m.mode[v] = OUT
        yield "IPI: VM-exit"
