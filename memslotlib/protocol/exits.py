"""An access that left to userspace: made there, by userspace's own map, and completed by KVM_RUN.

Who meets a hole leaves with KVM_EXIT_MMIO. Userspace looks the frame up in its map of the guest's
memory, which may have a page where KVM has no slot at the moment, or has none any more; it reads or
writes there, and runs the vCPU again. SRCU is of no use here: it waits for who is inside KVM_RUN.
What userspace writes it marks in no log of KVM's.

Source: Documentation/virt/kvm/api.rst of Linux 6.12, KVM_EXIT_MMIO: the access is complete only
when KVM_RUN has been called again, which completes it first, and then returns at once if
immediate_exit says so. QEMU's memory.c, address_space_set_flatview(), and kvm_region_commit(): vCPU
threads look frames up under RCU, without a lock that an update takes; before 8.0 KVM's ioctls come
before the new map, since 8.0 after it.
"""

from __future__ import annotations

from typing import Any

from ..check import step
from .judge import happened, met_page
from .notifier import backing
from .program import Op
from .vcpu import page_fault
from .world import Access, World

Steps = Any


def fault_and_exit(m: Any, w: World, v: Any, access: Access) -> Steps:
    """A page fault, in the place of :func:`.vcpu.page_fault`, and the exit if it met a hole."""
    is_over = yield from page_fault.function(m, w, v, access)
    if is_over:
        yield from complete(m, w, v, access)
    return is_over


def complete(m: Any, w: World, v: Any, access: Access) -> Steps:
    """KVM_EXIT_MMIO: find the frame in userspace's map, make the access, call KVM_RUN again.

    A fetch, a walk of the guest's page tables and a state save have no such exit.
    """
    if access.kind == "fetch" or access.via not in ("guest", "emulator"):
        return
    if w.uses("hold_exits"):
        m.wait(not m.is_held)
    page = mapped(m, w, access)
    m.has_begun[v] = True
    yield f"{access}: userspace finds {page or 'no memory'}"
    if page:
        page = backing(m, w, access, page)
        m.wait(page != "")
        met_page(m, w, v, access, page)
        yield f"{access}: made by userspace in {page}"
    if w.pauses:
        m.wait(not m.paused)
    m.has_begun[v] = False
    got(m, w, access, page)
    yield f"{access}: completed by KVM_RUN"


def mapped(m: Any, w: World, access: Access) -> str:
    """Return the page of a frame in userspace's map; empty where that has no memory to access."""
    if access.is_write and w.change.may_refuse_writes(access.as_id, access.gfn):
        return ""
    if m.map == "before":
        return w.change.page_before(access.as_id, access.gfn)
    return w.change.page_after(access.as_id, access.gfn)


def got(m: Any, w: World, access: Access, page: str) -> None:
    """Judge an access that KVM_RUN completes; a store was judged when userspace made it."""
    is_old = page != "" and page != w.change.page_after(access.as_id, access.gfn)
    if m.returned and is_old and not access.is_write:
        m.fail("I2' no load brings a value of the old page after the update", str(access))
    happened(m, w, "an exit is completed")


@step
def change_map(m: Any, w: World) -> Steps:
    """Userspace's map is that of the layout after the update from here on, for who looks then."""
    m.map = "after"
    yield "userspace changes its map"


@step
def hold_exits(m: Any, w: World) -> Steps:
    """Userspace lets nobody begin with an exit."""
    m.is_held = True
    yield "userspace holds exits back"


@step
def await_exits(m: Any, w: World) -> Steps:
    """Wait until KVM_RUN has completed every exit that somebody has begun with."""
    for v in w.cpu:
        m.wait(not m.has_begun[v])
    yield "exits are drained"


@step
def release_exits(m: Any, w: World) -> Steps:
    """Go on with exits."""
    m.is_held = False
    yield "userspace goes on with exits"


CHANGE_MAP, RELEASE = Op(change_map), Op(release_exits)
HOLD = Op(hold_exits), Op(await_exits)
