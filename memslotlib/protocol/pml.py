"""Page-modification logging: the processor notes stores by itself, and KVM takes that over later.

A store through an SPTE whose D bit is clear sets the bit and puts the frame into the vCPU's buffer,
without an exit. Any VM-exit empties the buffer, into the log of whatever slot a look-up finds then.
A vCPU that was kicked has left the guest, and acknowledged that, before it gets there: so neither a
flush that is acknowledged nor KVM_GET_DIRTY_LOG's kick says that all stores are in a log.

A buffer is a set of frames here: KVM takes them over one by one, and nothing depends on the order.

Source: Intel SDM volume 3, Page-Modification Logging; ``vmx_flush_pml_buffer()`` as called by
``vmx_handle_exit()``, ``vcpu_enter_guest()`` and ``kvm_arch_sync_dirty_log()`` of Linux 6.12.
"""

from __future__ import annotations

from typing import Any

from ..check import step
from .judge import happened, holds
from .marking import lookup, mark_dirty
from .slots import page_number
from .state import EXITING, IN, OUT, OUTSIDE, READING, RELOAD
from .world import Access, Entry, World

Steps = Any


def walked(m: Any, w: World, v: Any, access: Access) -> Entry:
    """Return what a walk of the page tables finds: the old ones until a vCPU gets a new root."""
    frame = w.at(access.as_id, access.gfn)
    found: Entry = m.tlb[v, frame] if m.request[v] == RELOAD else m.spte[frame]
    return found


def is_logged(m: Any, w: World, v: Any, access: Access) -> bool:
    """Whether the processor has to set a D bit before it makes an access."""
    return w.has_pml and access.is_write and walked(m, w, v, access).is_clean


@step
def log_store(m: Any, w: World, v: Any, access: Access) -> Steps:
    """Set the D bit and note the frame, then store; where the buffer is full, exit instead."""
    frame, found = w.at(access.as_id, access.gfn), walked(m, w, v, access)
    if sum(m.pml[v, one] for one in range(len(m.spte))) >= w.policy.pml:
        m.mode[v] = OUT
        happened(m, w, "a PML buffer is full")
        yield "PML buffer full: VM-exit"
        return
    m.tlb[v, frame] = Entry(found.page, True)
    if m.spte[frame] == found:
        m.spte[frame] = Entry(found.page, True)
    m.pml[v, frame] = True
    m.touched[page_number(found.page, access.gfn)] = True
    happened(m, w, "the processor logs a store")
    yield f"{access}: D bit set, frame logged"


@step
def drain(m: Any, w: World, v: Any) -> Steps:
    """``vmx_flush_pml_buffer()``: look the slot of each frame up, inside SRCU, and mark the page.

    Whatever took the vCPU out of the guest is handled after that, inside SRCU still. So is a change
    of address space: a frame's is the one that it was logged in.
    """
    for frame in range(len(m.spte)):
        if m.pml[v, frame]:
            as_id, gfn = divmod(frame, w.gfns)
            m.srcu[v] = READING
            slot = lookup(m, as_id, gfn)
            happened(m, w, "a PML buffer is emptied")
            if slot is None or not slot.log:
                m.pml[v, frame] = False
                yield f"PML: gfn {gfn} has no slot that logs, dropped"
            else:
                yield f"PML: gfn {gfn} is in {slot}"
                holds(m, w, slot)
                mark_dirty(m, w, slot, gfn, v)
                m.pml[v, frame] = False
                yield f"PML: gfn {gfn} marked in {slot}"


@step
def handle_exit(m: Any, w: World, v: Any) -> Steps:
    """The whole exit of a vCPU that an interrupt took out of the guest: there is nothing else."""
    if not is_drained(m, w, v):
        yield from drain(m, w, v)
        m.srcu[v] = OUTSIDE
        yield "the interrupt's exit is handled"


def is_drained(m: Any, w: World, v: Any) -> bool:
    """Whether nothing is in a vCPU's buffer."""
    return not (w.has_pml and any(m.pml[v, frame] for frame in range(len(m.spte))))


@step
def sync_dirty_log(m: Any, w: World) -> Steps:
    """``kvm_arch_sync_dirty_log()``: kick who is in the guest, and wait for nobody."""
    for v in w.cpu:
        if m.mode[v] == IN:
            m.mode[v] = EXITING
    yield "kick vCPUs, so that they empty their PML buffers"
