"""What a VMM does around its ioctls: pause vCPUs, fetch dirty logs, copy pages."""

from __future__ import annotations

from typing import Any

from ..check import step
from .kernel import LOCK, UNLOCK
from .mmu import asked, flush
from .pml import is_drained, sync_dirty_log
from .program import Op
from .slots import Slot, page_number
from .state import FLUSH, OUT, OUTSIDE
from .vcpu import lookup
from .world import World

Steps = Any


@step
def pause(m: Any, w: World) -> Steps:
    """Keep vCPUs from entering KVM_RUN again, and kick those that are inside."""
    m.paused = True
    for v in w.cpu:
        asked(m, v, FLUSH)
    yield "pause: kick all vCPUs"


@step
def await_paused(m: Any, w: World) -> Steps:
    """Wait until no vCPU is inside KVM_RUN."""
    for v in w.cpu:
        m.wait(m.mode[v] == OUT and m.srcu[v] == OUTSIDE and is_drained(m, w, v))
    yield "all vCPUs are out of KVM_RUN"


@step
def resume(m: Any, w: World) -> Steps:
    """Let vCPUs run again."""
    m.paused = False
    yield "resume"


@step
def begin_copy(m: Any, w: World) -> Steps:
    """Userspace begins to copy the old pages to the new ones: later writes to the old are lost."""
    m.copying = True
    yield "copy the old pages to the new ones"


@step
def fetch_bitmap(m: Any, w: World, slot: Slot) -> Steps:
    """``kvm_get_dirty_log_protect()`` under mmu_lock: take the bits, protect what they tell of."""
    if w.has_pml:
        yield from sync_dirty_log(m, w)
    for gfn in slot.gfns:
        if m.bitmap[w.bit(slot, gfn)]:
            m.bitmap[w.bit(slot, gfn)] = False
            m.harvested[slot.page(gfn)] = True
            m.touched[slot.page(gfn)] = False
            frame = w.at(slot.as_id, gfn)
            m.spte[frame] = w.protected(m.spte[frame])
    yield f"take and clear the dirty bits of {slot}"


@step
def copy_harvested(m: Any, w: World) -> Steps:
    """Userspace sends the pages that the log named: what they hold now is on the other side."""
    for page in range(w.pages):
        if m.harvested[page]:
            m.harvested[page] = False
            m.newer[page] = False
    yield "send the pages that were dirty"


@step
def settle(m: Any, w: World) -> Steps:
    """When all vCPUs are done, the last round: every page that changed since is in some log."""
    m.wait(m.finished == w.vcpus)
    for gfn in range(w.gfns):
        slot = lookup(m, 0, gfn)
        hva = w.change.page_after(0, gfn)
        page = page_number(hva or w.change.page_before(0, gfn), gfn)
        is_told = m.harvested[page]
        if slot is not None and slot.log:
            is_told = is_told or m.bitmap[w.bit(slot, gfn)]
        if m.newer[page] and not is_told and hva:
            m.fail("I5 no dirty page is lost", f"gfn {gfn}")
        if is_told and not m.touched[page]:
            m.fail("I5' no clean page is called dirty", f"gfn {gfn}")
    yield "last round of the log"


def get_dirty_log(slot: Slot) -> tuple[Op, ...]:
    """KVM_GET_DIRTY_LOG of a slot."""
    return LOCK, Op(fetch_bitmap, (slot,)), *flush(), UNLOCK


PAUSE = Op(pause), Op(await_paused)
RESUME, COPY, SEND, SETTLE = Op(resume), Op(begin_copy), Op(copy_harvested), Op(settle)
