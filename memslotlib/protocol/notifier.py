"""What is behind an hva, and how KVM hears that it changes: the MMU notifier's two calls.

Source: ``kvm_mmu_notifier_invalidate_range_start()`` and ``_end()``, ``kvm_mmu_invalidate_begin()``
and ``_end()`` of Linux 6.12; ``unmap_vmas()`` makes both calls around the page tables that it
clears. The caller holds mmap_lock until the new mapping is there, so who looks for a page between
waits; so does who meets a page that userfaultfd has registered and nobody has continued.
"""

from __future__ import annotations

from typing import Any

from ..check import step
from .mmu import flush, zap_gfns
from .program import Op
from .slots import Change
from .world import Access, World

Steps = Any


def backing(m: Any, w: World, access: Access, hva: str) -> str:
    """Return the page behind an hva; empty while whoever needs it has to wait."""
    if w.remaps and w.at(access.as_id, access.gfn) in w.moving:
        page: str = m.behind
        return page
    return hva


@step
def begin_invalidation(m: Any, w: World) -> Steps:
    """``kvm_mmu_invalidate_begin()``: no fault that is on its way maps anything from here on."""
    m.is_invalidating = True
    yield "invalidate: begin"


@step
def end_invalidation(m: Any, w: World) -> Steps:
    """``kvm_mmu_invalidate_end()``: a fault that began before is not to map what it found."""
    m.invalidate_seq += 1
    m.is_invalidating = False
    yield "invalidate: end"


@step
def unmap(m: Any, w: World) -> Steps:
    """Clear the process's page tables of the range: who needs a page there waits."""
    m.behind = ""
    yield "unmap the hva"


@step
def map_other(m: Any, w: World) -> Steps:
    """The other mapping is there, and who waits goes on."""
    m.behind = w.page_behind
    yield "map other pages at the hva"


@step
def deny(m: Any, w: World, gfns: tuple[int, ...]) -> Steps:
    """The proposed attribute of some frames: their page faults leave to userspace."""
    m.is_denied = True
    yield f"deny access to gfns {', '.join(map(str, gfns))}"


@step
def allow(m: Any, w: World) -> Steps:
    """Take the attribute away again."""
    m.is_denied = False
    yield "allow access"


@step
def clear_userfault(m: Any, w: World) -> Steps:
    """Userspace clears the frames' bits in the proposed bitmap, and runs the vCPUs that left."""
    m.is_clear = True
    yield "clear the userfault bitmap"


def zapped(frames: tuple[tuple[int, tuple[int, ...]], ...], *during: Op) -> tuple[Op, ...]:
    """Invalidate frames of address spaces: begin, zap, flush, do something, end."""
    zaps = [Op(zap_gfns, one) for one in frames]
    return Op(begin_invalidation), *zaps, *flush(), *during, Op(end_invalidation)


def moved(change: Change) -> tuple[tuple[int, tuple[int, ...]], ...]:
    """Return the frames that get another page, for each address space."""
    found = []
    for as_id in range(change.spaces):
        gfns = [gfn for one in change.gone if one.as_id == as_id for gfn in one.gfns]
        again = tuple(gfn for gfn in gfns if change.repoints(as_id, gfn))
        found += [(as_id, again)] if again else []
    return tuple(found)


UNMAP, MAP = Op(unmap), Op(map_other)
