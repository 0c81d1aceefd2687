"""Dirty logging was enabled without a flush, because no SPTE had to change: a dirty page is lost.

Before: KVM_MEM_LOG_DIRTY_PAGES is set on a slot (flags only: one swap), and all its SPTEs are
write-protected; TLBs are flushed if that changed any SPTE. But an SPTE may be unable to write
already while a TLB still can: ageing of pages on a host without accessed bits makes an SPTE
access-tracked, which no access can go through, and leaves the flush out on purpose. Then
write-protection finds nothing to do, nothing is flushed, the ioctl returns, and the vCPU goes on
writing through its old TLB entry: no fault, no bit.

The fix: enabling dirty logging always flushes.

Source: the text of the commit, read in an archive; it names this interleaving. The version is from
memory.

Left out: huge pages and their splitting, PML, dirty bits in SPTEs. An access-tracked SPTE is one
that nothing goes through; the fault that makes it usable again takes the slow path here.
"""

from __future__ import annotations

from typing import Any

from ...check import Actor, Flag, Model, sometimes, step
from ..kernel import LOCK, RETURN, UNLOCK, free, replace, swap
from ..mmu import await_kicked, request_flush
from ..model import model
from ..program import Op, Program
from ..slots import Change, Slot
from ..userspace import SETTLE
from ..world import ABSENT, Access, Entry, World
from .bug import Bug, extended

OLD = Slot("s", 0, 1)
NEW = Slot("s+log", 0, 1, log=True, arch=("s",))
WINDOW = "write-protection finds nothing to do while a TLB can write"


def age(m: Any, w: World) -> Any:
    """``clear_young`` without accessed bits: access-track the SPTE, and flush no TLB."""
    m.wait(m.spte[0] != ABSENT, end=True)
    m.spte[0] = ABSENT
    yield "clear_young: access-track, no flush"


@step
def protect(m: Any, w: World) -> Any:
    """``kvm_mmu_slot_remove_write_access()``, which says whether an SPTE changed."""
    m.changed = m.spte[0].is_writable
    if m.changed:
        m.spte[0] = Entry(m.spte[0].page, False)
    elif any(m.tlb[v, 0].is_writable for v in w.cpu):
        m.reach("write-protection finds nothing to do while a TLB can write")
    yield "write-protect what can write"


@step
def flush_if_changed(m: Any, w: World) -> Any:
    """As it was."""
    if m.changed:
        yield from request_flush(m, w)
        yield from await_kicked(m, w)


@step
def flush_always(m: Any, w: World) -> Any:
    """The fix."""
    yield from request_flush(m, w)
    yield from await_kicked(m, w)


@step
def send_everything(m: Any, w: World) -> Any:
    """Userspace sends every page once, now that what changes later is logged."""
    m.newer[0] = False
    yield "send every page"


def enabled(flush: Op) -> Program:
    """KVM_MEM_LOG_DIRTY_PAGES is set; userspace sends all, then what the log tells."""
    update = (LOCK, replace(OLD, NEW), *swap(0), replace(OLD, NEW), Op(protect), flush)
    told = RETURN, Op(send_everything), SETTLE
    return Program((*update, Op(free, (OLD,)), UNLOCK, *told), "enable dirty logging")


def made(flush: Op) -> Model:
    """Return the model of one rule when to flush, with a vCPU that writes twice."""
    program = enabled(flush)
    w = World(program.name, Change((OLD,), (NEW,)), (program,), (Access("store", 0),), 2, 1, gfns=1)
    return extended(
        model(w),
        variables={"changed": Flag()},
        actors=[Actor(age, w)],
        properties=[sometimes(WINDOW)],
    )


def before() -> Model:
    """Flush if an SPTE changed."""
    return made(Op(flush_if_changed))


def after() -> Model:
    """Flush always."""
    return made(Op(flush_always))


BUG = Bug(
    commit="b64d740ea7dd",
    title="kvm: x86: mmu: Always flush TLBs when enabling dirty logging",
    version="v6.0",
    source="20220728222833.3850065-1-junaids@google.com",
    mechanism="no SPTE could write, so nothing was flushed, and a TLB still could",
    breaks=("I5 no dirty page is lost",),
    window=WINDOW,
    before=before,
    after=after,
)
