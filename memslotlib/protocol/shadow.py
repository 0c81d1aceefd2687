"""Shadow pages: KVM walks the guest's page tables, and keeps a page of its own for each table.

A shadow page is accounted in the slot of the table's frame: stores to it are tracked, and it keeps
huge pages away. The slot is looked up again, by frame, when the shadow page goes: so that slot has
to have the same metadata as the one in which it was accounted.

Source: ``FNAME(walk_addr_generic)``, ``FNAME(fetch)``, ``account_shadowed()``,
``unaccount_shadowed()`` and ``kvm_mmu_zap_memslot()`` of Linux 6.12, arch/x86/kvm/mmu.
"""

from __future__ import annotations

from typing import Any

from ..check import step
from .judge import holds, met_hole, met_page
from .marking import lookup
from .mmu import cleared, obey, unshadowed
from .state import OUT, OUTSIDE, READING, RELOAD
from .vcpu import exit_disabled
from .world import Access, World

Steps = Any


@step
def walk(m: Any, w: World, v: Any, access: Access) -> Steps:
    """Read a table of the guest by its slot, then shadow it under mmu_lock, in one SRCU section.

    In the place of :func:`.vcpu.kvm_access`. Where the root has become obsolete it begins again.
    """
    if w.pauses and m.mode[v] == OUT:
        m.wait(not m.paused)
    m.mode[v] = OUT
    while True:
        m.srcu[v] = READING
        slot = lookup(m, access.as_id, access.gfn)
        if slot is None or slot.is_invalid:
            m.srcu[v] = OUTSIDE
            met_hole(m, w, v, access)
            yield f"{access}: no slot to use"
            return
        yield f"{access}: found {slot}"
        holds(m, w, slot)
        if slot.is_disabled:
            yield from exit_disabled(m, w, v, access, slot)
        elif m.request[v] == RELOAD:
            m.srcu[v] = OUTSIDE
            obey(m, w, v)
            yield f"{access}: root obsolete, retry"
        else:
            break
    met_page(m, w, v, access, slot.hva)
    account(m, w, access)
    m.srcu[v] = OUTSIDE
    yield f"{access}: read, and shadowed"


def account(m: Any, w: World, access: Access) -> None:
    """``account_shadowed()``: in the slot that a look-up finds now, if it is not shadowed yet."""
    frame, slot = w.at(access.as_id, access.gfn), lookup(m, access.as_id, access.gfn)
    if slot is None:
        m.fail("I1 no use of a slot that was freed", f"none to account for gfn {access.gfn}")
    elif m.shadowed[frame] == "-":
        m.shadowed[frame] = slot.metadata(access.gfn)


@step
def zap_gfns_and_tables(m: Any, w: World, as_id: int, gfns: tuple[int, ...]) -> Steps:
    """In the place of :func:`.mmu.zap_gfns`: the shadow pages of tables in these frames go, too."""
    for gfn in gfns:
        cleared(m, w, as_id, gfn)
        unshadowed(m, w, as_id, gfn)
    yield f"zap the SPTEs of gfns {', '.join(map(str, gfns))}, and shadow pages"
