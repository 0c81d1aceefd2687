"""KVM's own access to two frames: a part for each, one after the other.

The parts share one SRCU section, but each looks its slot up by itself. A part that finds memory is
made at once; one that meets a hole leaves to userspace when the others are made, and is completed
there: the instruction does not begin again. A disabled slot makes it begin again.

Source: ``emulator_read_write()`` of Linux 6.12, which splits an access at the end of a page and
keeps what it could not do in ``mmio_fragments``, each with a KVM_EXIT_MMIO of its own.
"""

from __future__ import annotations

from typing import Any

from ..check import step
from .exits import complete
from .judge import holds, met_hole, met_page
from .notifier import backing
from .slots import Slot
from .state import OUT, OUTSIDE, READING
from .vcpu import exit_disabled, lookup, mark_dirty
from .world import Access, World

Steps = Any


def access_in_parts(m: Any, w: World, v: Any, access: Access) -> Steps:
    """KVM's own access, in the place of :func:`.vcpu.kvm_access`: begun until no exit cuts it off.

    ``made`` are the parts, and ``reached`` their pages, of the attempts that were cut off and of
    the last one; an empty page is a hole.
    """
    if w.pauses and m.mode[v] == OUT:
        m.wait(not m.paused)
    m.mode[v] = OUT
    made: tuple[Access, ...] = ()
    reached: tuple[str, ...] = ()
    while len(reached) < access.npages:
        m.srcu[v] = READING
        reached = yield from attempt(m, w, v, access, made)
        made = (*made, *stored(access, reached))
    sees_one_layout(m, w, access, reached)
    m.srcu[v] = OUTSIDE
    yield f"{access}: done"
    for part in in_holes(access, reached) if w.exits else ():
        yield from complete(m, w, v, part)


@step
def attempt(m: Any, w: World, v: Any, access: Access, made: tuple[Access, ...]) -> Steps:
    """Make each part when its slot is found; return the pages, of fewer parts if cut off."""
    reached: tuple[str, ...] = ()
    for part in access.parts:
        slot = lookup(m, part.as_id, part.gfn)
        yield f"{part}: found {slot or 'no slot'}"
        if slot is not None and slot.is_disabled:
            yield from exit_disabled(m, w, v, part, slot)
            return reached
        page = make(m, w, v, part, slot, made)
        yield f"{part}: {page or 'no slot to use'}"
        reached = (*reached, page)
    return reached


def attempt_after_looking(
    m: Any, w: World, v: Any, access: Access, made: tuple[Access, ...]
) -> Steps:
    """As :func:`attempt`, but look up the slots of all parts, in one set, before any is made."""
    slots = tuple(lookup(m, part.as_id, part.gfn) for part in access.parts)
    yield f"{access}: found {' and '.join(str(slot or 'no slot') for slot in slots)}"
    for part in access.parts:
        slot = slots[part.gfn - access.gfn]
        if slot is not None and slot.is_disabled:
            yield from exit_disabled(m, w, v, part, slot)
            return ()
    reached: tuple[str, ...] = ()
    for part in access.parts:
        page = make(m, w, v, part, slots[part.gfn - access.gfn], made)
        yield f"{part}: {page or 'no slot to use'}"
        reached = (*reached, page)
    return reached


def make(
    m: Any, w: World, v: Any, part: Access, slot: Slot | None, made: tuple[Access, ...]
) -> str:
    """Make a part by the slot that was found for it; return the page, or nothing for a hole."""
    if slot is not None:
        holds(m, w, slot)
    if slot is None or slot.is_invalid or (slot.readonly and part.is_write):
        met_hole(m, w, v, part)
        return ""
    page = backing(m, w, part, slot.hva)
    m.wait(page != "")
    met_page(m, w, v, part, page)
    if part in made:
        m.fail("I14' no part of an access is made twice", str(part))
    if part.is_write and slot.log:
        mark_dirty(m, w, slot, part.gfn, v)
    return page


def stored(access: Access, reached: tuple[str, ...]) -> tuple[Access, ...]:
    """Return the parts of a store that have reached memory."""
    parts = zip(access.parts, reached, strict=False)
    return tuple(part for part, page in parts if page != "" and part.is_write)


def in_holes(access: Access, reached: tuple[str, ...]) -> tuple[Access, ...]:
    """Return the parts that met a hole."""
    parts = zip(access.parts, reached, strict=True)
    return tuple(part for part, page in parts if page == "")


def sees_one_layout(m: Any, w: World, access: Access, reached: tuple[str, ...]) -> None:
    """Judge whether what the parts of an access reached is what some layout has there."""
    before = tuple(w.change.page_before(part.as_id, part.gfn) for part in access.parts)
    after = tuple(w.change.page_after(part.as_id, part.gfn) for part in access.parts)
    if any(reached) and reached not in (before, after):
        m.fail("I14 one access never sees a mix", f"{access}: {' and '.join(reached)}")
