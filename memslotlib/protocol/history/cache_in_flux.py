"""A vCPU remembered an MMIO address while the slots were changing, and believed it at once.

Before: besides the MMIO SPTE that all share, a vCPU keeps one MMIO address for itself, with the
whole generation. A fault that finds nothing in the old set and reads the generation after the swap
keeps the value that says *in progress*. As long as the update is in progress, that is the
generation of the day: the next access to the address is believed to be MMIO, though there is memory
in the active set. An MMIO SPTE would not have been believed.

The fix: nothing is kept while an update is in progress.

The author says that it is not clear whether this ever did harm, as no order was promised. The model
has an answer. It does none once CREATE has returned. But until then one vCPU can find the memory
and be told MMIO after that: another vCPU maps the page, the first one reads it through that SPTE,
and then the emulator goes by what the first one kept.

Source: the text of the commit, read in an archive with its patch; its version is from memory. The
run that ends in memory and then MMIO is this model's; no report of it was found.

Left out: the virtual address and the access rights that are kept too; what userspace does with the
exit, which has called CREATE and may well have the memory ready.
"""

from __future__ import annotations

from typing import Any

from ...check import Array, Flag, Int, Model, never
from ..slots import Change
from ..state import OUT, OUTSIDE
from ..vcpu import kvm_access, lookup
from ..world import Access, World
from .bug import Bug, extended
from .generation_at_publish import SLOT, twice
from .generations import (
    AGREES,
    NONE,
    TAGS,
    believes,
    found_memory,
    generational,
    judge_mmio,
    remember,
)

BACK = "a vCPU that found memory is never told MMIO"
WINDOW = "a vCPU could keep the generation of an update in progress"


def seen_generation(m: Any) -> int:
    """The whole generation, with its mark, as one number."""
    return 2 * int(m.generation) + int(m.in_progress)


def keep_always(m: Any, v: Any) -> None:
    """``vcpu_cache_mmio_info()`` as it was."""
    if m.in_progress:
        m.reach("a vCPU could keep the generation of an update in progress")
    m.kept[v] = seen_generation(m)


def keep_unless_in_progress(m: Any, v: Any) -> None:
    """The fix."""
    if m.in_progress:
        m.reach("a vCPU could keep the generation of an update in progress")
    else:
        m.kept[v] = seen_generation(m)


def believes_either(m: Any, v: Any) -> bool:
    """``handle_mmio_page_fault()``: what the vCPU kept comes first."""
    is_current: bool = believes.function(m, v)
    return is_current or m.kept[v] == seen_generation(m)


def note_memory(m: Any, w: World, v: Any, access: Access) -> None:
    """Remember, for the property, that this vCPU got to memory."""
    found_memory.function(m, w, v, access)
    m.found[v] = True


def judge_order(m: Any, v: Any) -> None:
    """Hold MMIO against what the vCPU has found before."""
    judge_mmio.function(m, v)
    if m.found[v]:
        m.fail("a vCPU that found memory is never told MMIO")


def emulated(m: Any, w: World, v: Any, access: Access) -> Any:
    """An access of the emulator: what the vCPU kept, then a look-up; one step."""
    m.mode[v] = OUT
    m.srcu[v] = OUTSIDE
    if m.kept[v] == seen_generation(m):
        judge_mmio(m, v)
        yield f"{access}: kept as MMIO, emulated"
    elif lookup(m, access.as_id, access.gfn) is not None:
        m.found[v] = True
        yield f"{access}: memory"
    else:
        yield f"{access}: no slot, emulated"


def made(keep: Any) -> Model:
    """Create a slot while two vCPUs read, each by its page tables or by the emulator."""
    accesses = Access("load", 0), Access("load", 0, "emulator")
    w = World("create, cache", Change((), (SLOT,)), (twice(),), accesses, 3, 2, gfns=1)
    found = extended(
        generational(w, WINDOW),
        variables={
            "kept": Array(Int(NONE, 2 * TAGS), w.cpu, init=NONE),
            "found": Array(Flag(), w.cpu),
        },
        properties=[never(BACK)],
    )
    steps = (remember, keep), (believes, believes_either), (judge_mmio, judge_order)
    for old, new in (*steps, (found_memory, note_memory), (kvm_access, emulated)):
        found = found.with_step(old, new)
    return found


def before() -> Model:
    """Keep whatever generation there is."""
    return made(keep_always)


def after() -> Model:
    """Keep none that is in progress."""
    return made(keep_unless_in_progress)


BUG = Bug(
    commit="ddfd1730fd82",
    title="KVM: x86/mmu: Do not cache MMIO accesses while memslots are in flux",
    version="v5.1",
    source="https://git.kernel.org/linus/ddfd1730fd829743e41213e32ccc8b4aa6dc8325",
    mechanism="a vCPU kept the mark of an update in progress, which matched until its end",
    breaks=(AGREES, BACK),
    window=WINDOW,
    before=before,
    after=after,
)
