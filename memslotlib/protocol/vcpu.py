"""A vCPU: how its accesses get to memory, step by step, and what it holds meanwhile.

It is inside SRCU from every exit until it enters the guest again or returns to userspace, as in
``vcpu_enter_guest()``; a look-up and what leads to it are one step.
"""

from __future__ import annotations

from typing import Any

from ..check import step
from .judge import happened, holds, met_hole, met_page
from .marking import lookup as lookup
from .marking import mark_dirty as mark_dirty
from .mmio import believes, is_kept, is_noslot, met_kept, no_slot
from .mmu import obey
from .notifier import backing
from .pml import drain, handle_exit, is_logged, log_store
from .prefetch import prefetch
from .slots import Slot
from .state import IN, NO_TAG, OUT, OUTSIDE, READING, RELOAD
from .world import Access, Entry, World

Steps = Any


@step
def enter_guest(m: Any, w: World, v: Any) -> Steps:
    """``vcpu_enter_guest()``: obey requests, say IN_GUEST_MODE, look for requests once more."""
    if w.has_pml:
        yield from drain(m, w, v)
    if w.pauses and m.paused:
        m.srcu[v] = OUTSIDE
        yield "leaves KVM_RUN: paused"
        m.wait(not m.paused)
    m.srcu[v] = OUTSIDE
    obey(m, w, v)
    m.mode[v] = IN
    yield "IN_GUEST_MODE"
    if m.request[v] != "-":
        m.mode[v] = OUT
        yield "entry cancelled"
    else:
        yield "VM-entry"


@step
def guest_access(m: Any, w: World, v: Any, access: Access) -> Steps:
    """An instruction of the guest: TLB, then page tables, then a fault."""
    frame = w.at(access.as_id, access.gfn)
    while True:
        if m.mode[v] == OUT:
            yield from enter_guest(m, w, v)
        elif m.tlb[v, frame].serves(access):
            met_page(m, w, v, access, m.tlb[v, frame].page)
            yield f"{access}: TLB hit"
            return
        elif is_logged(m, w, v, access):
            yield from log_store(m, w, v, access)
        elif m.spte[frame].permits(access):
            fill(m, w, v, access)
            yield "page walk fills the TLB"
        elif w.caches and believes(m, w, v, access):
            yield f"{access}: MMIO SPTE of this generation"
            yield from kvm_access(m, w, v, access)
            return
        else:
            is_over = yield from page_fault(m, w, v, access)
            if is_over:
                return


def fill(m: Any, w: World, v: Any, access: Access) -> None:
    """Take a translation into the TLB: one entry, which may cover several frames."""
    gfns = [access.gfn]
    if w.huge and m.huge[access.as_id] and access.gfn in w.huge:
        gfns = list(w.huge)
    for gfn in gfns:
        m.tlb[v, w.at(access.as_id, gfn)] = m.spte[w.at(access.as_id, gfn)]


@step
def page_fault(m: Any, w: World, v: Any, access: Access) -> Steps:
    """``kvm_tdp_page_fault()``; true where the access is over, with nothing that it got to.

    The notifier's sequence number is read first. The page behind the slot is found without
    mmu_lock, and mapped under it unless the root or the page is out of date by then.
    """
    m.mode[v] = OUT
    if w.has_pml:
        yield from drain(m, w, v)
    m.srcu[v] = READING
    seq = m.invalidate_seq if w.notifies else 0
    slot = lookup(m, access.as_id, access.gfn)
    if access.gfn in w.denied and m.is_denied:
        yield from exit_until(m, w, v, access, "denied")
        return False
    if w.caches and is_noslot(w, slot):
        is_stale = yield from no_slot(m, w, v, access, slot)
        if not is_stale:
            yield from kvm_access(m, w, v, access)
        return not is_stale
    if slot is None:
        m.srcu[v] = OUTSIDE
        met_hole(m, w, v, access)
        yield f"{access}: fault, no slot"
        return True
    yield f"fault: found {slot}"
    holds(m, w, slot)
    if slot.is_disabled:
        yield from exit_disabled(m, w, v, access, slot)
        return False
    if slot.is_userfault and not m.is_clear:
        yield from exit_until(m, w, v, access, "userfault")
        return False
    if w.policy.fixes_fast and is_only_protected(m, w, access, slot):
        yield from fast_page_fault(m, w, access, slot, v)
        return False
    if slot.is_invalid and w.policy.retries:
        happened(m, w, "a fault is retried")
        yield "fault: INVALID, retry"
        return False
    if slot.is_invalid or (slot.readonly and access.is_write):
        m.srcu[v] = OUTSIDE
        met_hole(m, w, v, access)
        yield f"{access}: fault, {slot} is not to be used"
        return True
    page = backing(m, w, access, slot.hva)
    if w.notifies:
        m.wait(page != "")
        yield f"GUP: {page} is behind {slot}"
    if m.request[v] == RELOAD:
        yield "fault: root obsolete, retry"
        return False
    if w.notifies and (m.is_invalidating or m.invalidate_seq != seq):
        yield "fault: invalidated meanwhile, retry"
        return False
    install(m, w, access, slot, page, v)
    yield f"map {slot}'s page"
    return False


def is_only_protected(m: Any, w: World, access: Access, slot: Slot) -> bool:
    """Whether the fault is a write to a page that is mapped, and protected for the log alone."""
    entry = m.spte[w.at(access.as_id, access.gfn)]
    return access.is_write and slot.log and not slot.readonly and entry.page != ""


@step
def fast_page_fault(m: Any, w: World, access: Access, slot: Slot, v: Any = None) -> Steps:
    """``fast_page_fault()``: make the SPTE writable without mmu_lock, then mark the page dirty.

    It looks neither at INVALID, which is found out later, nor at whether the root is obsolete.
    """
    frame = w.at(access.as_id, access.gfn)
    m.spte[frame] = Entry(m.spte[frame].page, True)
    yield "fast fault: SPTE writable again"
    holds(m, w, slot)
    mark_dirty(m, w, slot, access.gfn, v)
    m.touched[slot.page(access.gfn)] = True
    yield "fast fault: page marked dirty"


@step
def exit_until(m: Any, w: World, v: Any, access: Access, why: str) -> Steps:
    """KVM_EXIT_MEMORY_FAULT: userspace runs the vCPU again when it has lifted what it had set."""
    m.srcu[v] = OUTSIDE
    yield f"{access}: exit, {why}"
    if why == "denied":
        m.wait(not m.is_denied)
    else:
        m.wait(m.is_clear)


def install(m: Any, w: World, access: Access, slot: Slot, page: str, v: Any = None) -> None:
    """``kvm_tdp_mmu_map()`` under mmu_lock: the translation, its account, the dirty bit."""
    is_writable = not slot.readonly and (access.is_write or not slot.log)
    gfns = [access.gfn]
    if may_be_huge(m, w, access, slot):
        gfns = list(w.huge or ())
        m.huge[access.as_id] = True
    for gfn in gfns:
        frame = w.at(access.as_id, gfn)
        old = m.spte[frame]
        if old.page != page or not old.is_writable or not old.serves(access):
            m.spte[frame] = Entry(page, is_writable)
        m.owner[frame] = slot.metadata(gfn)
        if w.caches:
            m.mmio_spte[frame] = NO_TAG
    if access.is_write and slot.log:
        mark_dirty(m, w, slot, access.gfn, v)
        m.touched[slot.page(access.gfn)] = True
    if w.policy.prefetches and len(gfns) == 1:
        prefetch(m, w, access)


def may_be_huge(m: Any, w: World, access: Access, slot: Slot) -> bool:
    """Whether the fault maps both frames of the huge page: ``lpage_info`` has to allow it."""
    if w.huge is None or access.gfn not in w.huge or slot.log:
        return False
    if w.uses("disallow_huge") and m.no_huge[access.as_id]:
        return False
    return all(gfn in slot.gfns for gfn in w.huge)


@step
def exit_disabled(m: Any, w: World, v: Any, access: Access, slot: Slot) -> Steps:
    """The proposed exit: userspace parks the vCPU and runs it again when the slot has changed."""
    m.srcu[v] = OUTSIDE
    happened(m, w, "an access to a disabled slot leaves to userspace")
    yield f"{access}: exit, {slot} is disabled"
    m.wait(lookup(m, access.as_id, access.gfn) != slot)


@step
def kvm_access(m: Any, w: World, v: Any, access: Access) -> Steps:
    """KVM's own access for the guest, by ``kvm_vcpu_read_guest()`` and its like: no page tables."""
    if w.has_pml and m.mode[v] == OUT:
        yield from handle_exit(m, w, v)
    # Who is in the guest exits, and is inside KVM_RUN still; so is a fault that is emulated.
    if w.pauses and m.mode[v] == OUT and m.srcu[v] == OUTSIDE:
        m.wait(not m.paused)
    m.mode[v] = OUT
    if w.has_pml:
        yield from drain(m, w, v)
    if w.caches and is_kept(m, w, v, access):
        met_kept(m, w, v, access, lookup(m, access.as_id, access.gfn))
        yield f"{access}: the vCPU keeps it as MMIO"
        return
    while True:
        m.srcu[v] = READING
        slot = lookup(m, access.as_id, access.gfn)
        if slot is None:
            break
        yield f"{access}: found {slot}"
        holds(m, w, slot)
        if not slot.is_disabled:
            break
        yield from exit_disabled(m, w, v, access, slot)
    if slot is None or slot.is_invalid or (slot.readonly and access.is_write):
        m.srcu[v] = OUTSIDE
        met_hole(m, w, v, access)
        yield f"{access}: no slot to use"
        return
    page = backing(m, w, access, slot.hva)
    m.wait(page != "")
    met_page(m, w, v, access, page)
    if access.is_write and slot.log:
        yield f"{access}: written"
        holds(m, w, slot)
        mark_dirty(m, w, slot, access.gfn, v)
    m.srcu[v] = OUTSIDE
    yield f"{access}: done"


@step
def switch_space(m: Any, w: World, v: Any) -> Steps:
    """Enter SMM, which saves the state through address space 1, or leave it, which restores it."""
    if w.smram is not None:
        access = (
            Access("load", w.smram, "rsm", 1) if m.smm[v] else Access("store", w.smram, "smi", 1)
        )
        yield from kvm_access(m, w, v, access)
    m.mode[v] = OUT
    if w.has_pml:
        yield from drain(m, w, v)
        m.srcu[v] = OUTSIDE
    m.smm[v] = not m.smm[v]
    yield "the other address space"


def vcpu(m: Any, v: Any, w: World) -> Steps:
    """Make so many accesses, each any of the world's, then return to userspace."""
    for _ in range(w.accesses_max):
        access = m.choose(w.accesses)
        if len(w.spaces) > 1 and m.smm[v] != bool(access.as_id):
            yield from switch_space(m, w, v)
        if access.via == "guest":
            yield from guest_access(m, w, v, access)
        else:
            yield from kvm_access(m, w, v, access)
    m.mode[v] = OUT
    if w.has_pml:
        yield from drain(m, w, v)
    m.srcu[v] = OUTSIDE
    m.finished += 1
    yield "back in userspace"
