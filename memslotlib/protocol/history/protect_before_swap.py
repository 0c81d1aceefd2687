"""Fetching a dirty log write-protected first and swapped bitmaps then: a dirty page is lost.

Before: in 2010, KVM_GET_DIRTY_LOG changed memslots itself. It write-protected all pages of the
slot, and then published a copy of the slot with an empty bitmap, waited for the grace period, and
handed the old bitmap to userspace. A vCPU that writes in between faults, gets a writable SPTE, and
marks the page in the *old* bitmap. That is told once; the SPTE stays writable, so what is written
after that faults nowhere and stands in no bitmap.

The fix exchanges the two: first the new bitmap is published and the grace period is over, then the
pages are write-protected. When the call returns, a page is write-protected or in the bitmap that
is told next; before, it could be neither, and stay so.

Source: the commit's body, read in an archive of a distribution's tree; its title is known from
changelogs, its version from memory. That the write-protection ends with a flush of TLBs is how the
function of that time is remembered.

Left out: that nothing is swapped when no bit is set; copying to userspace; the generation.
"""

from __future__ import annotations

from typing import Any

from ...check import Model, sometimes, step
from ..kernel import LOCK, RETURN, UNLOCK, free, replace, swap
from ..mmu import flush, write_protect
from ..model import model
from ..program import Op, Program
from ..slots import Change, Slot
from ..userspace import SEND, SETTLE
from ..vcpu import lookup
from ..world import X86, Access, World
from .bug import Bug, extended

OLD = Slot("s", 0, 1, log=True)
#: The copy with an empty bitmap; metadata and hva are the old slot's.
NEW = Slot("s2", 0, 1, log=True, arch=("s",))
WINDOW = "a page is writable and not in the new bitmap"


@step
def hand_over(m: Any, w: World, slot: Slot) -> Any:
    """Give userspace the bitmap that nobody marks any more."""
    number = w.bitmaps.index(slot.dirty_bitmap(0))
    for gfn in slot.gfns:
        m.harvested[gfn] = m.bitmap[number, gfn]
    yield f"hand the bitmap of {slot} to userspace"


def fetched(*, protects_first: bool) -> Program:
    """KVM_GET_DIRTY_LOG by swap of the slot, then a last round of the log."""
    protect = (Op(write_protect, (0, tuple(OLD.gfns))), *flush())
    publish = (replace(OLD, NEW), *swap(0), replace(OLD, NEW))
    both = (*protect, *publish) if protects_first else (*publish, *protect)
    told = Op(hand_over, (OLD,)), Op(free, (OLD,))
    return Program((LOCK, *both, *told, UNLOCK, RETURN, SEND, SETTLE), "GET_DIRTY_LOG, 2010")


def made(program: Program) -> Model:
    """Return the model of one order, with a vCPU that writes twice."""
    change = Change((OLD,), (NEW,))
    w = World(program.name, change, (program,), (Access("store", 0),), 2, 1, gfns=1, policy=X86)
    number = w.bitmaps.index(NEW.dirty_bitmap(0))

    def is_writable_and_clean(m: Any) -> bool:
        is_new = lookup(m, 0, 0) == NEW
        return is_new and m.spte[0].is_writable and not m.bitmap[number, 0]

    return extended(model(w), properties=[sometimes(WINDOW, is_writable_and_clean)])


def before() -> Model:
    """Write-protect, then swap."""
    return made(fetched(protects_first=True))


def after() -> Model:
    """Swap, then write-protect."""
    return made(fetched(protects_first=False))


BUG = Bug(
    commit="edde99ce0529",
    title="KVM: Write protect memory after slot swap",
    version="v2.6.37",
    source="https://git.kernel.org/linus/edde99ce05290e50ce0b3495d209e54e6349ab47",
    mechanism="a write between write-protection and swap is told once, and its SPTE stays writable",
    breaks=("I5 no dirty page is lost",),
    window=WINDOW,
    before=before,
    after=after,
)
