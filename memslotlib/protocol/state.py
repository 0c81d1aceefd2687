"""The shared variables of a model: KVM's own, the processors', and what properties remember."""

from __future__ import annotations

from ..check import Array, Flag, Int, OneOf
from ..check.kinds import Kind
from .world import ABSENT, Entry, World

#: Where a vCPU is, as ``vcpu->mode`` says: ``exiting`` is in the guest, with an interrupt coming.
OUT, IN, EXITING = "out", "in", "exiting"
#: What a vCPU is asked to do before it enters the guest again: KVM_REQ_TLB_FLUSH, or
#: KVM_REQ_MMU_FREE_OBSOLETE_ROOTS, which also makes it stop using the page tables that it had.
NOTHING, FLUSH, RELOAD = "-", "flush", "reload"
#: An SRCU reader: outside, inside, inside and waited for by a grace period.
OUTSIDE, READING, AWAITED = 0, 1, 2
#: No MMIO SPTE is there, and no vCPU keeps a frame.
NO_TAG, NO_GFN = -1, -1
#: Nobody is in the middle of a look-up.
NOWHERE = 0


def variables(w: World) -> dict[str, Kind | Array]:
    """Return the variables of a world; those that it has no use for are left out.

    ``sets[as_id, k]`` are the two sets of slots of an address space and ``active[as_id]`` says
    which of them a lookup sees. ``spte`` and ``tlb`` have an entry for each frame of each space.
    """
    spaces, frames = len(w.spaces), len(w.spaces) * w.gfns
    contents = dict.fromkeys(one for sets in w.contents for one in sets)
    found: dict[str, Kind | Array] = {
        "slots_lock": Flag(),
        "active": Array(Int(2), spaces),
        "sets": Array(OneOf(*contents), spaces, 2, init=[[sets[0]] * 2 for sets in w.contents]),
        "freed": Array(Flag(), max(1, len(w.mortal))),
        "srcu": Array(Int(3), w.cpu),
        "spte": Array(OneOf(*w.entries), frames, init=[mapping(w, n) for n in range(frames)]),
        "owner": Array(OneOf("-", *w.metadata), frames, init=[owner(w, n) for n in range(frames)]),
        "tlb": Array(OneOf(*w.entries), w.cpu, frames, init=[[ABSENT] * frames] * w.vcpus),
        "mode": Array(OneOf(OUT, IN, EXITING), w.cpu),
        "request": Array(OneOf(NOTHING, FLUSH, RELOAD), w.cpu),
        "finished": Int(w.vcpus + 1),
        "returned": Flag(),
    }
    if w.pauses:
        found["paused"] = Flag()
    if w.huge:
        found["huge"] = Array(Flag(), spaces)
        if w.uses("disallow_huge"):
            found["no_huge"] = Array(Flag(), spaces)
    if w.moving:
        found["copying"] = Flag()
        found["saw_new"] = Array(Flag(), w.cpu, len(w.moving))
    if w.shadows:
        found["shadowed"] = Array(OneOf("-", *w.metadata), frames)
    if w.mix:
        found["saw_after"] = Array(Flag(), w.cpu)
    if w.notifies:
        found["is_invalidating"] = Flag()
        found["invalidate_seq"] = Int(
            1 + sum(op.step.__name__ == "end_invalidation" for op in w.ops)
        )
    if w.remaps:
        as_id, gfn = divmod(w.moving[0], w.gfns)
        found["behind"] = OneOf(w.change.page_before(as_id, gfn), "", w.page_behind)
    if w.denied:
        found["is_denied"] = Flag()
    if w.uses("clear_userfault"):
        found["is_clear"] = Flag()
    found |= outside(w) | exits(w) | caches(w)
    if spaces > 1:
        found["smm"] = Array(Flag(), w.cpu)
    return found | of_logs(w)


def outside(w: World) -> dict[str, Kind | Array]:
    """Return what who accesses memory from outside of KVM_RUN needs."""
    found: dict[str, Kind | Array] = {}
    if w.vhost:
        found["vq_mutex"] = Flag()
        found["table"] = OneOf("before", "after")
        found["vhost_saw_new"] = Array(Flag(), max(1, len(w.moving)))
        if w.uses("stop_vhost"):
            found["is_stopped"] = Flag()
    if w.device:
        found["device_srcu"] = Int(3)
    if w.pointers:
        sets = Int(1 + 2 * len(w.spaces))
        found |= {"looks_in": Array(sets, w.cpu), "device_looks_in": sets}
    return found


def caches(w: World) -> dict[str, Kind | Array]:
    """Return what generations need, and what remembers holes by them.

    ``generation`` and ``in_progress`` are of each set of slots. A space begins with its own number
    and goes up by as many as there are spaces. ``mmio_spte`` has the tag of each frame, and
    ``mmio_gfn`` and ``mmio_gen`` are each vCPU's own. ``newest`` and ``used`` are the properties'.
    """
    if not w.caches:
        return {}
    spaces = len(w.spaces)
    top = spaces * (1 + w.swaps)
    tags = Int(NO_TAG, min(w.tags, top), init=NO_TAG)
    return {
        "generation": Array(Int(top), spaces, 2, init=[[n, n] for n in w.spaces]),
        "in_progress": Array(Flag(), spaces, 2),
        "mmio_spte": Array(tags, spaces * w.gfns),
        "mmio_gfn": Array(Int(NO_GFN, w.gfns, init=NO_GFN), w.cpu),
        "mmio_gen": Array(Int(top), w.cpu),
        "newest": Array(Int(top), spaces, init=list(w.spaces)),
        "used": Array(Flag(), top, init=[n < spaces for n in range(top)]),
    }


def exits(w: World) -> dict[str, Kind | Array]:
    """Return userspace's map, and how far it is with an exit of each vCPU, where it completes any.

    ``has_begun`` is true from when userspace looks the frame up until KVM_RUN has completed it.
    """
    if not w.exits:
        return {}
    held: dict[str, Kind | Array] = {"is_held": Flag()} if w.uses("hold_exits") else {}
    return {"map": OneOf("before", "after"), "has_begun": Array(Flag(), w.cpu), **held}


def of_logs(w: World) -> dict[str, Kind | Array]:
    """Return the variables of dirty logs, if there are any, and what is remembered of each page."""
    found: dict[str, Kind | Array] = {}
    if not w.logs:
        return found
    if w.ring:
        for name in ("ring", "reaped"):
            found[name] = Array(Flag(), w.cpu, len(w.ring_entries))
    else:
        found["bitmap"] = Array(Flag(), len(w.bitmaps), w.pages)
    if w.has_pml:
        found["pml"] = Array(Flag(), w.cpu, len(w.spaces) * w.gfns)
    for name in ("newer", "harvested", "touched"):
        found[name] = Array(Flag(), w.pages)
    return found


def mapping(w: World, frame: int) -> Entry:
    """Return a frame's translation when the world begins."""
    slot = w.first_slots[frame]
    return w.protected(Entry(slot.hva, True)) if slot else ABSENT


def owner(w: World, frame: int) -> str:
    """Return in whose metadata that translation is accounted."""
    slot = w.first_slots[frame]
    return slot.metadata(frame % w.gfns) if slot else "-"
