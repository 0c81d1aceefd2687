"""What is remembered of a hole, and what ends it: generations of memslots.

A fault that finds no slot leaves two things behind: an MMIO SPTE, tagged with low bits of the
generation, and what its vCPU keeps for itself, the frame and the whole generation. Either is
believed, without a look-up, as long as its generation is that of the day. So an update has nothing
to zap where memory comes: it takes another generation, and marks that as in progress until every
older look-up is over. Worlds ask for this by ``caches``; arm64 keeps nothing of the kind.

Source: ``kvm_swap_active_memslots()``, ``make_mmio_spte()``, ``check_mmio_spte()``,
``handle_mmio_page_fault()``, ``vcpu_cache_mmio_info()`` and ``vcpu_match_mmio_gpa()`` of Linux
6.12, and its Documentation/virt/kvm/x86/mmu.rst. An MMIO SPTE carries the generation of its own
address space; what a vCPU keeps carries that of address space 0, also in SMM.

Left out: the guest's virtual address and the access rights, which a vCPU keeps too, and that it
never keeps frame 0; that the hook of the architecture also kicks vCPUs, of which it asks nothing;
and whatever happens between the reading of an MMIO SPTE and of the generation, which is one step. A
test takes the two apart: it matters only where the tags begin again in between.
"""

from __future__ import annotations

from typing import Any

from ..check import step
from .judge import happened, met_hole
from .mmu import cleared, obsolete_roots
from .program import Op, Program
from .slots import Slot
from .state import EXITING, NO_TAG, OUT, OUTSIDE, READING, RELOAD
from .world import ABSENT, Access, World

Steps = Any


@step
def mark_in_progress(m: Any, w: World, as_id: int) -> Steps:
    """Give the inactive set the number of the active one, with bit 63: update in progress."""
    active = m.active[as_id]
    if m.in_progress[as_id, active]:
        m.fail("I6 generations are unique and only grow", f"as_id {as_id} is in progress already")
    m.generation[as_id, 1 - active] = m.generation[as_id, active]
    m.in_progress[as_id, 1 - active] = True
    yield f"generation of as_id {as_id}: in progress"


def published(m: Any, w: World, as_id: int) -> None:
    """Judge the generation that look-ups read from the swap on."""
    active = m.active[as_id]
    is_new = m.generation[as_id, active] > m.newest[as_id]
    if not m.in_progress[as_id, active] and not is_new:
        m.fail("I6 generations are unique and only grow", f"as_id {as_id} is not marked")


@step
def memslots_updated(m: Any, w: World, as_id: int) -> Steps:
    """``kvm_arch_memslots_updated()`` with the number to come: if tags begin again, zap all.

    As numbers go up by as many as there are spaces, the low bits that tell spaces apart are left
    out of the question.
    """
    number = m.generation[as_id, m.active[as_id]] + len(w.spaces)
    if (number - number % len(w.spaces)) % w.tags == 0:
        obsolete_roots(m, w)
        yield "generation wraps: roots obsolete, vCPUs kicked"
        for v in w.cpu:
            m.wait(m.mode[v] != EXITING)
    yield "memslots updated"


@step
def store_generation(m: Any, w: World, as_id: int) -> Steps:
    """Store the final number, without the mark."""
    active = m.active[as_id]
    number = m.generation[as_id, active] + len(w.spaces)
    if number <= m.newest[as_id] or m.used[number]:
        m.fail("I6 generations are unique and only grow", f"{number} of as_id {as_id} again")
    m.newest[as_id] = number
    m.used[number] = True
    m.generation[as_id, active] = number
    m.in_progress[as_id, active] = False
    yield f"generation of as_id {as_id}: {number}"


def generational(program: Program) -> Program:
    """Return the program with the generations of each of its swaps."""
    ops: list[Op] = []
    swapped: tuple[Any, ...] = ()
    for op in program:
        if op.step.__name__ == "publish":
            swapped = op.arguments
            ops += [Op(mark_in_progress, swapped), op]
        elif op.step.__name__ == "end_grace_period" and swapped:
            ops += [op, Op(memslots_updated, swapped), Op(store_generation, swapped)]
            swapped = ()
        else:
            ops.append(op)
    return Program(tuple(ops), program.name)


def is_kept(m: Any, w: World, v: Any, access: Access) -> bool:
    """``vcpu_match_mmio_gpa()``: the frame, and the generation of the day.

    Page-table walks, and the save of a vCPU's state, do not ask.
    """
    as_id = _asked(w, access)
    active = m.active[as_id]
    found: bool = (
        access.via in ("guest", "emulator")
        and m.mmio_gfn[v] == access.gfn
        and not m.in_progress[as_id, active]
        and m.mmio_gen[v] == m.generation[as_id, active]
    )
    return found


def _asked(w: World, access: Access) -> int:
    """Whose generation a vCPU keeps: that of address space 0, whatever space it is in."""
    return access.as_id if w.policy.keeps_space else 0


def remember(m: Any, w: World, v: Any, access: Access) -> None:
    """``vcpu_cache_mmio_info()``: keep the frame, unless an update is in progress."""
    as_id = _asked(w, access)
    active = m.active[as_id]
    if not m.in_progress[as_id, active]:
        m.mmio_gfn[v] = access.gfn
        m.mmio_gen[v] = m.generation[as_id, active]


def tag(m: Any, w: World, as_id: int) -> int:
    """``MMIO_SPTE_GEN_MASK``: what an MMIO SPTE holds of a generation, the mark left out."""
    found: int = m.generation[as_id, m.active[as_id]] % w.tags
    return found


def believes(m: Any, w: World, v: Any, access: Access) -> bool:
    """``handle_mmio_page_fault()``: whether a fault on an MMIO SPTE is to be emulated at once."""
    frame, active = w.at(access.as_id, access.gfn), m.active[access.as_id]
    if m.mmio_spte[frame] == NO_TAG:
        return False
    if not is_kept(m, w, v, access):
        is_current = m.mmio_spte[frame] == tag(m, w, access.as_id)
        if m.in_progress[access.as_id, active] or not is_current:
            return False
        remember(m, w, v, access)
    m.mode[v] = OUT
    m.srcu[v] = READING
    return True


def is_noslot(w: World, slot: Slot | None) -> bool:
    """Whether a fault takes what it found for MMIO: no slot, and INVALID where that is a hole."""
    return slot is None or (slot.is_invalid and not w.policy.retries)


@step
def no_slot(m: Any, w: World, v: Any, access: Access, slot: Slot | None) -> Steps:
    """``kvm_handle_noslot_fault()``, then an MMIO SPTE under mmu_lock; true if it is retried.

    An MMIO SPTE is put over whatever another vCPU may have mapped there since.
    """
    yield f"fault: found {slot or 'no slot'}"
    remember(m, w, v, access)
    yield "fault: the vCPU keeps the frame, unless in progress"
    if m.request[v] == RELOAD:
        yield "fault: root obsolete, retry"
        return True
    frame = w.at(access.as_id, access.gfn)
    if m.spte[frame] != ABSENT:
        cleared(m, w, access.as_id, access.gfn)
    m.mmio_spte[frame] = tag(m, w, access.as_id)
    yield f"MMIO SPTE at gfn {access.gfn}"
    return False


def met_kept(m: Any, w: World, v: Any, access: Access, slot: Slot | None) -> None:
    """Judge an access that is emulated by what its vCPU keeps; ``slot`` is what is there."""
    m.srcu[v] = OUTSIDE
    if slot is not None and not slot.is_invalid:
        m.fail("I15' a remembered hole is believed only where no memory is", str(access))
    happened(m, w, "a remembered hole is believed")
    met_hole(m, w, v, access)
