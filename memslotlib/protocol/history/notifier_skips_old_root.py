"""A notifier looked at valid roots only, and the old one still referred to the page that was freed.

Before: a DELETE makes all roots obsolete under mmu_lock, and then drops that lock on its walk
through them. The host takes the page back meanwhile: ``range_start`` holds mmu_lock, walks the
roots that are valid, finds nothing mapped and says that KVM has no reference. The host frees the
page. The walk goes on and zaps the SPTE of the old root, which means to look at the page: it hands
on whether it was dirty. That is a use after free.

The fix: the walk of a notifier visits obsolete roots too.

Source: the text of the commit, read in an archive; it names an update of memslots and
``range_start``.

Left out: the guest, which cannot use the old root; what the write-protecting walks do, which go on
visiting valid roots alone; how the notifier's walk and the update's share a root. ``dangling``
says that an SPTE of the old root refers to a page that was freed; a page that is mapped later is
another one.
"""

from __future__ import annotations

from typing import Any

from ...check import Actor, Array, Flag, Model, never, sometimes, step
from ..apis import today
from ..kernel import publish
from ..mmu import await_kicked, request_flush, zap_all
from ..model import model
from ..slots import Change, Slot
from ..vcpu import page_fault
from ..world import ABSENT, X86, Access, World
from .bug import Bug, extended
from .notifier_maps_invalid import publish_when_idle
from .roots import fault_checked, variables, zap_all_by_walk, zap_dead

BREAKS = "nothing uses a page after the notifier has given it back"
WINDOW = "a notifier comes while an obsolete root has SPTEs"


def reclaim(m: Any, w: World) -> Any:
    """The host takes the page of frame 0 back: ``range_start``, free it, ``range_end``."""
    m.invalidating = True
    yield "range_start: count up"
    if m.dead[0] != ABSENT:
        m.reach("a notifier comes while an obsolete root has SPTEs")
    unmap_range(m)
    yield "range_start: unmap"
    yield from request_flush(m, w)
    yield from await_kicked(m, w)
    m.dangling[0] = m.dead[0] != ABSENT
    yield "the host frees the page"
    m.invalidating = False
    yield "range_end: count down"


@step
def unmap_range(m: Any) -> None:
    """As it was: valid roots."""
    m.spte[0] = ABSENT
    m.owner[0] = "-"


def unmap_range_of_all_roots(m: Any) -> None:
    """The fix: obsolete ones too."""
    m.spte[0] = ABSENT
    m.owner[0] = "-"
    m.dead[0] = ABSENT


def zap_dead_page(m: Any, gfn: int) -> None:
    """Zap an SPTE of the old root, which hands on whether the page was dirty."""
    if m.dead[gfn] != ABSENT and m.dangling[gfn]:
        m.fail("nothing uses a page after the notifier has given it back", f"gfn {gfn}")
    m.dead[gfn] = ABSENT


def before() -> Model:
    """Delete a slot while the host takes its page back; a vCPU has it mapped."""
    change = Change((Slot("s", 0, 1),), ())
    program = today.update(change, X86)
    w = World("old root, notifier", change, (program,), (Access("store", 0),), 1, 1, gfns=1)
    found = extended(
        model(w),
        variables={**variables(w), "dangling": Array(Flag(), w.gfns)},
        actors=[Actor(reclaim, w, name="mm")],
        properties=[never(BREAKS), sometimes(WINDOW)],
    )
    found = found.with_step(zap_all, zap_all_by_walk).with_step(zap_dead, zap_dead_page)
    return found.with_step(page_fault, fault_checked).with_step(publish, publish_when_idle)


def after() -> Model:
    """The same, and the notifier visits every root."""
    return before().with_step(unmap_range, unmap_range_of_all_roots)


BUG = Bug(
    commit="d62007edf01f",
    title="KVM: x86/mmu: Zap _all_ roots when unmapping gfn range in TDP MMU",
    version="v5.18",
    source="20211215011557.399940-4-seanjc@google.com",
    mechanism="a notifier skipped the obsolete root, whose walk then used a page that was freed",
    breaks=(BREAKS,),
    window=WINDOW,
    before=before,
    after=after,
)
