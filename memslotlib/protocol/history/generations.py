"""Generations of memslots, and SPTEs that remember one: the least that shows their old bugs.

What KVM does today, with address spaces and all, is in :mod:`..mmio`.

A fault where no slot is leaves an MMIO SPTE behind, tagged with the generation of the slots. The
next access there is emulated at once, without a look-up, if the tag is the generation of the day.
So an update has nothing to zap: it takes another generation. The tag has few bits; here one.

The memory of one frame comes; nothing goes. The slots of the look-up, and their generation, are
read in two steps, as a fault does that calls ``kvm_memslots()`` twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...check import Array, Flag, Int, Model, never, sometimes, step
from ...check.kinds import Kind
from ..judge import holds, met_page
from ..mmu import obey
from ..model import model
from ..state import IN, OUT, OUTSIDE, READING
from ..vcpu import guest_access, install, lookup
from ..world import ABSENT, Access, World
from .bug import extended

#: The generations that a tag can tell apart.
TAGS = 2
#: No MMIO SPTE.
NONE = -1

AGREES = "nothing is believed to be MMIO where there is memory"
RETURNED = "no memory is taken for MMIO after CREATE has returned"
#: A window that every world here has.
CROSSES = "a fault without a slot reads the generation after the swap"

VARIABLES: Mapping[str, Kind | Array] = {
    "generation": Int(TAGS),
    "in_progress": Flag(),
    "mmio": Int(NONE, TAGS, init=NONE),
}


@step
def publish_next(m: Any, w: World) -> Any:
    """Publish the set with its final generation: what the first fix of this history undid."""
    m.active[0] = 1 - m.active[0]
    m.generation = (m.generation + 1) % TAGS
    yield "swap active set, next generation"


@step
def publish_in_progress(m: Any, w: World) -> Any:
    """Publish the set; its generation says that an update is in progress."""
    m.active[0] = 1 - m.active[0]
    m.in_progress = True
    yield "swap active set, update in progress"


@step
def store_generation(m: Any, w: World) -> Any:
    """The final generation of the set."""
    m.generation = (m.generation + 1) % TAGS
    m.in_progress = False
    yield "next generation"


@step
def believes(m: Any, v: Any) -> bool:
    """``check_mmio_spte()``: whether the MMIO SPTE is one of this generation."""
    found: bool = m.mmio == m.generation and not m.in_progress
    return found


@step
def remember(m: Any, v: Any) -> None:
    """What a vCPU keeps for itself of an MMIO access: here nothing."""


def access_by_generation(m: Any, w: World, v: Any, access: Access) -> Any:
    """An access of the guest: page tables, MMIO SPTE, fault. No mapping goes, so no TLB matters."""
    frame = w.at(access.as_id, access.gfn)
    is_over = False
    while not is_over:
        if m.mode[v] == OUT:
            m.srcu[v] = OUTSIDE
            obey(m, w, v)
            m.mode[v] = IN
            yield "VM-entry"
        elif m.spte[frame].permits(access):
            found_memory(m, w, v, access)
            is_over = True
            yield f"{access}: memory"
        elif m.mmio != NONE and believes(m, v):
            judge_mmio(m, v)
            m.mode[v] = OUT
            is_over = True
            yield f"{access}: believed to be MMIO, emulated"
        else:
            is_over = yield from fault(m, w, v, access)


@step
def found_memory(m: Any, w: World, v: Any, access: Access) -> None:
    """Note that the access got to memory."""
    met_page(m, w, v, access, m.spte[w.at(access.as_id, access.gfn)].page)


@step
def judge_mmio(m: Any, v: Any) -> None:
    """Hold what an MMIO SPTE says against the slots."""
    if lookup(m, 0, 0) is not None:
        m.fail("nothing is believed to be MMIO where there is memory")
        if m.returned:
            m.fail("no memory is taken for MMIO after CREATE has returned")


def fault(m: Any, w: World, v: Any, access: Access) -> Any:
    """The whole way of a fault: look the slot up, then read the generation if there is none."""
    m.mode[v] = OUT
    m.srcu[v] = READING
    slot = lookup(m, access.as_id, access.gfn)
    yield f"fault: found {slot or 'no slot'}"
    if slot is None:
        if lookup(m, access.as_id, access.gfn) is not None:
            m.reach("a fault without a slot reads the generation after the swap")
        if m.spte[w.at(access.as_id, access.gfn)] == ABSENT:
            m.mmio = m.generation
        remember(m, v)
        yield f"{access}: MMIO SPTE tagged, emulated"
        return True
    holds(m, w, slot)
    install(m, w, access, slot, slot.hva)
    m.mmio = NONE
    yield f"map {slot}'s page"
    return False


def generational(w: World, window: str) -> Model:
    """Return the model of a world whose updates take generations."""
    windows = dict.fromkeys((CROSSES, window))
    properties = [never(AGREES), never(RETURNED), *map(sometimes, windows)]
    found = extended(model(w), variables=VARIABLES, properties=properties)
    return found.with_step(guest_access, access_by_generation)
