"""A fault mapped a page in a root that an update had made obsolete, and the walk had passed there.

Before: a vCPU faults on some slot. Another slot is deleted, which makes all roots obsolete under
mmu_lock and then tears them down in a walk. The vCPU gets mmu_lock next. It asks whether an MMU
notifier has run, but an update of memslots is none, so it goes on and installs its SPTE in the root
that it came with. Where the walk has passed already nobody will zap it: the page table and the
reference to the page leak.

The fix: with mmu_lock held, the fault asks whether its own root is obsolete, and is retried if so.

Source: the text of the commit, read in an archive; it was merged for v5.16 (pull of 5 December
2021). The steps of the walk are a reading of the code it is about.

Left out: that the guest cannot use the leaked SPTE, as it gets another root before it runs again,
is true in the model too: nothing but the leak breaks. Of page tables only the leaves are there, and
nobody zaps the old root once more when its last vCPU lets go of it.
"""

from __future__ import annotations

from typing import Any

from ...check import Model, always, sometimes
from ..apis import today
from ..mmu import zap_all
from ..model import model
from ..slots import Change, Slot
from ..vcpu import page_fault
from ..world import ABSENT, X86, Access, World
from .bug import Bug, extended
from .roots import fault_checked, fault_unchecked, variables, zap_all_by_walk

BREAKS = "no SPTE is left in a root that was torn down"
WINDOW = "a fault gets mmu_lock with an obsolete root"


def made(fault: Any) -> Model:
    """Delete one slot while a vCPU faults on another."""
    stays, gone = Slot("t", 0, 1), Slot("s", 1, 1)
    change = Change((stays, gone), (stays,))
    program = today.update(change, X86)
    w = World("old root", change, (program,), (Access("load", 0),), 2, 1, gfns=2)

    def is_empty(m: Any) -> bool:
        return not m.torn_down or all(one == ABSENT for one in m.dead)

    found = extended(
        model(w),
        variables=variables(w),
        properties=[always(BREAKS, is_empty), sometimes(WINDOW)],
    )
    return found.with_step(zap_all, zap_all_by_walk).with_step(page_fault, fault)


def before() -> Model:
    """The fault does not look at its root."""
    return made(fault_unchecked)


def after() -> Model:
    """The fault looks whether its root is obsolete."""
    return made(fault_checked)


BUG = Bug(
    commit="a955cad84cda",
    title="KVM: x86/mmu: Retry page fault if root is invalidated by memslot update",
    version="v5.16",
    source="20211120045046.3940942-5-seanjc@google.com",
    mechanism="a fault that holds an obsolete root maps where the walk that empties it has passed",
    breaks=(BREAKS,),
    window=WINDOW,
    before=before,
    after=after,
)
