"""A look-up in two steps: which set of slots is active, then the slot in that set.

Elsewhere in the model a look-up is one step, so nobody can be in the middle of one. Here KVM's own
accesses, for a vCPU or by a device, read the pointer to the active set first and walk what it leads
to later; a grace period is what keeps an updater from editing that set meanwhile.

Source: ``__kvm_memslots()``, ``search_memslots()``, ``kvm_swap_active_memslots()`` of Linux 6.12.
"""

from __future__ import annotations

from typing import Any

from .agents import dropped, used
from .judge import holds
from .kernel import edit_inactive
from .slots import Edit, Slot
from .state import NOWHERE, OUT, OUTSIDE, READING
from .straddle import make
from .vcpu import exit_disabled
from .world import Access, World

Steps = Any


def set_number(as_id: int, which: int) -> int:
    """Return by which number it is known that somebody looks in a set."""
    return 1 + 2 * as_id + which


def found(m: Any, number: int, access: Access) -> Slot | None:
    """Look for a slot in the set of this number."""
    slot: Slot | None = m.sets[access.as_id, number - set_number(access.as_id, 0)].lookup(
        access.gfn
    )
    return slot


def access_by_pointer(m: Any, w: World, v: Any, access: Access) -> Steps:
    """KVM's own access for a vCPU, in the place of :func:`.vcpu.kvm_access`."""
    if w.pauses and m.mode[v] == OUT:
        m.wait(not m.paused)
    m.mode[v] = OUT
    is_over = False
    while not is_over:
        m.srcu[v] = READING
        m.looks_in[v] = set_number(access.as_id, m.active[access.as_id])
        yield f"{access}: reads which set is active"
        slot = found(m, m.looks_in[v], access)
        m.looks_in[v] = NOWHERE
        yield f"{access}: found {slot or 'no slot'}"
        if slot is not None and slot.is_disabled:
            yield from exit_disabled(m, w, v, access, slot)
        else:
            make(m, w, v, access, slot, ())
            is_over = True
    m.srcu[v] = OUTSIDE
    yield f"{access}: done"


def device_by_pointer(m: Any, w: World, access: Access) -> Steps:
    """A device's access, in the place of :func:`.agents.device_access`."""
    m.device_srcu = READING
    m.device_looks_in = set_number(access.as_id, m.active[access.as_id])
    yield f"{access}: reads which set is active"
    slot = found(m, m.device_looks_in, access)
    m.device_looks_in = NOWHERE
    yield f"{access}: found {slot or 'no slot'}"
    if slot is not None:
        holds(m, w, slot)
    if slot is None or slot.is_invalid or slot.is_disabled:
        dropped(m, w, access)
    else:
        used(m, w, access, slot)
    m.device_srcu = OUTSIDE
    yield f"{access}: done"


def edit_watched(m: Any, w: World, edit: Edit) -> Steps:
    """An edit, in the place of :func:`.kernel.edit_inactive`: nobody may look in that set."""
    number = set_number(edit.as_id, 1 - m.active[edit.as_id])
    if m.device_looks_in == number or any(m.looks_in[v] == number for v in w.cpu):
        m.fail("I16 no set is edited while somebody looks in it", str(edit))
    yield from edit_inactive.function(m, w, edit)
