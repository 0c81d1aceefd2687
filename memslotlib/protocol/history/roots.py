"""What the base model does in one step: an obsolete root of the MMU is torn down entry by entry.

``kvm_mmu_zap_all_fast()`` makes every root obsolete under mmu_lock; what is in them is zapped by a
walk that drops mmu_lock on its way. Meanwhile the page tables of the old root are still there:
``dead`` are its SPTEs. ``spte`` are those of the root that a vCPU gets when it reloads.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...check import Array, Flag, OneOf, step
from ...check.kinds import Kind
from ..judge import holds
from ..mmu import asked
from ..state import OUT, OUTSIDE, READING, RELOAD
from ..vcpu import install, lookup
from ..world import ABSENT, Access, Entry, World


def variables(w: World) -> Mapping[str, Kind | Array]:
    """Return the variables that an old root takes.

    ``torn_down`` says that its walk is over; ``invalidating``, that a notifier is active.
    """
    return {
        "dead": Array(OneOf(*w.entries), w.gfns, init=[ABSENT] * w.gfns),
        "torn_down": Flag(),
        "invalidating": Flag(),
    }


def zap_all_by_walk(m: Any, w: World) -> Any:
    """``kvm_mmu_zap_all_fast()``: obsolete at once, zapped one by one."""
    for v in w.cpu:
        asked(m, v, RELOAD)
    for gfn in range(w.gfns):
        m.dead[gfn] = m.spte[gfn]
        m.spte[gfn] = ABSENT
        m.owner[gfn] = "-"
    yield "roots obsolete, vCPUs kicked"
    for gfn in range(w.gfns):
        zap_dead(m, gfn)
        yield f"walk the old root: zap gfn {gfn}"
    m.torn_down = True
    yield "the old root is torn down"


@step
def zap_dead(m: Any, gfn: int) -> None:
    """Zap one SPTE of the old root."""
    m.dead[gfn] = ABSENT


def fault_checked(m: Any, w: World, v: Any, access: Access) -> Any:
    """A page fault that looks, under mmu_lock, whether its root is obsolete."""
    is_over = yield from fault(m, w, v, access, True)
    return is_over


def fault_unchecked(m: Any, w: World, v: Any, access: Access) -> Any:
    """A page fault that does not."""
    is_over = yield from fault(m, w, v, access, False)
    return is_over


def fault(m: Any, w: World, v: Any, access: Access, checks_root: bool) -> Any:
    """Look the slot up, take mmu_lock, map."""
    m.mode[v] = OUT
    m.srcu[v] = READING
    slot = lookup(m, access.as_id, access.gfn)
    yield f"fault: found {slot or 'no slot'}"
    if slot is None:
        m.srcu[v] = OUTSIDE
        yield f"{access}: no slot"
        return True
    if slot.is_invalid:
        yield "fault: INVALID, retry"
    elif m.invalidating:
        yield "fault: notifier is active, retry"
    elif m.request[v] == RELOAD and checks_root:
        m.reach("a fault gets mmu_lock with an obsolete root")
        yield "fault: root obsolete, retry"
    elif m.request[v] == RELOAD:
        m.reach("a fault gets mmu_lock with an obsolete root")
        m.dead[access.gfn] = Entry(slot.hva, access.is_write)
        yield f"map {slot}'s page in the old root"
    else:
        holds(m, w, slot)
        install(m, w, access, slot, slot.hva)
        yield f"map {slot}'s page"
    return False
