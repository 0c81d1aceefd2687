"""Who else is at work while memslots change: vhost, a device in the kernel, another thread.

None of them is inside KVM_RUN, so none of them is paused with the vCPUs, and none has an exit to
leave by. A world asks for them; properties name them in what they say.

Source: drivers/vhost/vhost.c, translate_desc() and vhost_set_memory() of Linux 6.12;
kvm_write_guest() as arch/arm64/kvm/vgic/vgic-its.c and arch/x86/kvm/xen.c call it.
"""

from __future__ import annotations

from typing import Any

from ..check import step
from .judge import consequence, happened, holds
from .notifier import backing
from .program import Op
from .slots import Slot
from .state import OUTSIDE, READING
from .vcpu import lookup, mark_dirty
from .world import Access, World

Steps = Any


def vhost(m: Any, w: World) -> Steps:
    """A vhost worker: translate by its own copy of the memory table, then access the hva.

    It holds a virtqueue's mutex from the one to the other, for which VHOST_SET_MEM_TABLE waits.
    """
    for _ in range(w.outside_max):
        access = m.choose(w.vhost)
        if w.uses("stop_vhost"):
            m.wait(not m.is_stopped)
        m.vq_mutex = True
        page = translated(m, w, access)
        yield f"{access}: translated to {page}"
        page = backing(m, w, access, page)
        m.wait(page != "")
        reached(m, w, access, page)
        m.vq_mutex = False
        yield f"{access}: {page} accessed"


def translated(m: Any, w: World, access: Access) -> str:
    """``translate_desc()``: the hva of a frame in the table that vhost was given last."""
    if m.table == "before":
        return w.change.page_before(access.as_id, access.gfn)
    return w.change.page_after(access.as_id, access.gfn)


def reached(m: Any, w: World, access: Access, page: str) -> None:
    """Judge an access from outside of KVM_RUN that got to a page.

    I4a' is about what a vCPU sees: that it was vhost which saw the new page is remembered.
    """
    frame = w.at(access.as_id, access.gfn)
    if frame in w.moving:
        is_old = page == w.change.page_before(access.as_id, access.gfn)
        if w.vhost and not is_old:
            m.vhost_saw_new[w.moving.index(frame)] = True
        if is_old and access.is_write and m.copying:
            m.fail("I4b no write to the old page once it is being copied", str(access))
    happened(m, w, f"{access.via} gets to memory")


def device(m: Any, w: World) -> Steps:
    """A device that KVM emulates: kvm_write_guest() in address space 0, without a vCPU.

    Its failure is all that the device learns; there is no vCPU whose exit could tell userspace.
    """
    for _ in range(w.outside_max):
        access = m.choose(w.device)
        yield from device_access(m, w, access)


@step
def device_access(m: Any, w: World, access: Access) -> Steps:
    """``__kvm_write_guest_page()`` inside SRCU: look the slot up, then use it."""
    m.device_srcu = READING
    slot = lookup(m, access.as_id, access.gfn)
    yield f"{access}: found {slot or 'no slot'}"
    if w.waits and slot is not None and slot.is_disabled:
        m.device_srcu = OUTSIDE
        yield f"{access}: {slot} is disabled, tries again"
        m.wait(lookup(m, access.as_id, access.gfn) != slot)
        m.device_srcu = READING
        slot = lookup(m, access.as_id, access.gfn)
        yield f"{access}: found {slot or 'no slot'}"
    if slot is not None:
        holds(m, w, slot)
    if slot is None or slot.is_invalid or slot.is_disabled:
        dropped(m, w, access)
        m.device_srcu = OUTSIDE
        yield f"{access}: dropped"
        return
    used(m, w, access, slot)
    m.device_srcu = OUTSIDE
    yield f"{access}: done"


def dropped(m: Any, w: World, access: Access) -> None:
    """Judge an access from outside of KVM_RUN that found no memory."""
    if w.change.keeps(access.as_id, access.gfn):
        m.fail("I3a no hole where the page stays", f"{access}: {consequence(access)}")
    elif w.change.repoints(access.as_id, access.gfn):
        m.fail("I3b no hole where the page changes", f"{access}: {consequence(access)}")


def used(m: Any, w: World, access: Access, slot: Slot) -> None:
    """Judge an access through a slot that was looked up, and mark the page dirty."""
    page = backing(m, w, access, slot.hva)
    m.wait(page != "")
    if m.returned and page != w.change.page_after(access.as_id, access.gfn):
        m.fail("I2 nothing reaches the old page after the update", str(access))
    reached(m, w, access, page)
    if access.is_write and slot.log:
        mark_dirty(m, w, slot, access.gfn)
        m.newer[slot.page(access.gfn)] = True
        m.touched[slot.page(access.gfn)] = True


def contender(m: Any, w: World) -> Steps:
    """Another thread that updates memslots, or reads a log: its own ioctls, at any moment."""
    program = m.choose((w.contender,))
    for number in range(len(program)):
        yield from program[number].step(m, w, *program[number].arguments)


@step
def set_mem_table(m: Any, w: World) -> Steps:
    """VHOST_SET_MEM_TABLE: from here on vhost translates by the layout after the update."""
    m.wait(not m.vq_mutex)
    m.table = "after"
    yield "VHOST_SET_MEM_TABLE"


@step
def stop_vhost(m: Any, w: World) -> Steps:
    """Take the backend away, as ``vhost_dev_stop()`` does: no worker begins anything more."""
    m.is_stopped = True
    yield "stop vhost"


@step
def await_stopped(m: Any, w: World) -> Steps:
    """Wait for a worker that is on its way: it holds its virtqueue's mutex."""
    m.wait(not m.vq_mutex)
    yield "vhost is stopped"


@step
def start_vhost(m: Any, w: World) -> Steps:
    """Give vhost its backend again."""
    m.is_stopped = False
    yield "start vhost"


SET_TABLE, STOP, START = Op(set_mem_table), (Op(stop_vhost), Op(await_stopped)), Op(start_vhost)
