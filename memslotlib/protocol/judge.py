"""What an access came to, held against the properties."""

from __future__ import annotations

from typing import Any

from .slots import page_number
from .world import Access, World

_LOST = "write is dropped, a lost MSI if it was one"


def consequence(access: Access) -> str:
    """Return what becomes of an access that finds no memory.

    Source: ``handle_emulation_failure()``, ``enter_smm()``, ``em_rsm()`` and paging_tmpl.h in
    arch/x86/kvm of Linux 6.12.
    """
    if access.kind == "fetch":
        return (
            "KVM cannot fetch the instruction: internal error at CPL 0 or with "
            "KVM_CAP_EXIT_ON_EMULATION_FAILURE, else #UD for the guest"
        )
    if access.via == "smi":
        return "the state is not saved: the VM is dead"
    if access.via == "rsm":
        return "the state is not restored: triple fault, the VM shuts down"
    if access.via == "device":
        return f"the device's {_LOST if access.is_write else 'read fails'}"
    if access.via == "walk":
        return "the guest's page table is gone: #PF for the guest"
    return f"KVM_EXIT_MMIO, a {'write' if access.is_write else 'read'}"


def happened(m: Any, w: World, event: str) -> None:
    """Note an event that the world has to come to, so that its proofs are not vacuous."""
    if event in w.events:
        m.reach(event)


def met_hole(m: Any, w: World, v: Any, access: Access) -> None:
    """Judge an access that found no memory, or none that it may write to."""
    if access.is_write and w.change.may_refuse_writes(access.as_id, access.gfn):
        happened(m, w, "a write to READONLY memory leaves to userspace")
        return
    if w.caches and m.returned and w.change.page_after(access.as_id, access.gfn):
        m.fail("I15 no access meets a hole where memory is after the update", consequence(access))
    if access.as_id in w.untouched and w.change.page_before(access.as_id, access.gfn):
        m.fail("I11 an update of one address space does not show in another", consequence(access))
    if w.change.keeps(access.as_id, access.gfn):
        m.fail("I3a no hole where the page stays", consequence(access))
    elif w.change.repoints(access.as_id, access.gfn):
        m.fail("I3b no hole where the page changes", consequence(access))
    saw(m, w, v, access, "")
    happened(m, w, "an access meets a hole")


def met_page(m: Any, w: World, v: Any, access: Access, page: str) -> None:
    """Judge an access that got to a page, and remember what the properties need."""
    before = w.change.page_before(access.as_id, access.gfn)
    after = w.change.page_after(access.as_id, access.gfn)
    if m.returned and page != after:
        m.fail("I2 nothing reaches the old page after the update", str(access))
    if m.returned and access.is_write and w.change.becomes_readonly(access.as_id, access.gfn):
        m.fail("I2 nothing reaches the old page after the update", f"{access}, which is READONLY")
    if access.as_id in w.untouched and page != before:
        m.fail("I11 an update of one address space does not show in another", str(access))
    frame = w.at(access.as_id, access.gfn)
    if frame in w.moving:
        place = w.moving.index(frame)
        if page == after:
            m.saw_new[v, place] = True
        elif m.saw_new[v, place]:
            m.fail("I4a one vCPU never sees the old page after the new one", str(access))
        elif any(m.saw_new[other, place] for other in w.cpu):
            m.fail("I4a' no vCPU sees the old page after another saw the new one", str(access))
        elif w.vhost and m.vhost_saw_new[place]:
            m.fail("I4a' no vCPU sees the old page after another saw the new one", "vhost saw it")
        if access.is_write and page == before and m.copying:
            m.fail("I4b no write to the old page once it is being copied", str(access))
        if w.exits and access.is_write and page == after and not m.copying:
            m.fail("I4b' no write to the new page before it is copied to", str(access))
    saw(m, w, v, access, page)
    if access.is_write and w.logs:
        m.newer[page_number(page, access.gfn)] = True
        m.touched[page_number(page, access.gfn)] = True
    happened(m, w, "an access gets to memory")


def saw(m: Any, w: World, v: Any, access: Access, page: str) -> None:
    """Judge which of the two layouts the vCPU has seen, and which it saw before."""
    before = w.change.page_before(access.as_id, access.gfn)
    after = w.change.page_after(access.as_id, access.gfn)
    if not w.mix or before == after:
        return
    if page == after:
        m.saw_after[v] = True
    elif page == before and m.saw_after[v]:
        m.fail("I13 one vCPU never sees a mix", str(access))
    elif page == before and any(m.saw_after):
        m.fail("I13' vCPUs that talk never see a mix", str(access))


def holds(m: Any, w: World, slot: Any) -> None:
    """Judge the use of a slot that was looked up before."""
    if slot in w.mortal and m.freed[w.mortal.index(slot)]:
        m.fail("I1 no use of a slot that was freed", str(slot))
