"""The generation wrapped round before the oldest MMIO SPTEs were zapped.

Before: an MMIO SPTE is tagged with the low bits of the generation (19 then). An update stores the
new generation and then calls a hook of the architecture, which zaps all MMIO SPTEs if the low bits
have begun again from 0. Between the two, a vCPU meets an MMIO SPTE of the very first generation
and finds its tag right. If there is memory now, it is taken for MMIO.

The fix: the hook is called first, with the value that is about to be stored.

Source: the text of the commit, read in an archive; its version is from memory.

Left out: that it takes half a million updates; here the tag has one bit and two updates do.
"""

from __future__ import annotations

from typing import Any

from ...check import Model, step
from ..kernel import LOCK, RETURN, UNLOCK, replace, synchronize
from ..program import Op, Program
from ..slots import Change, Slot
from ..vcpu import lookup
from ..world import Access, World
from .bug import Bug
from .generations import AGREES, NONE, TAGS, generational, publish_in_progress, store_generation

FIRST, SECOND = Slot("t", 1, 1), Slot("s", 0, 1)
WINDOW = "an MMIO SPTE of the first generation is there when the tags wrap"


@step
def zap_before_store(m: Any, w: World) -> Any:
    """``kvm_arch_memslots_updated()`` with the generation to come."""
    is_wrapping = m.generation + 1 == TAGS
    if is_wrapping and m.mmio == 0 and lookup(m, 0, 0) is not None:
        m.reach("an MMIO SPTE of the first generation is there when the tags wrap")
    if is_wrapping:
        m.mmio = NONE
    yield "zap all MMIO SPTEs if the generation is about to wrap"


@step
def zap_after_store(m: Any, w: World) -> Any:
    """The same, when the generation has been stored already."""
    is_wrapping = m.generation == 0
    if is_wrapping and m.mmio == 0 and lookup(m, 0, 0) is not None:
        m.reach("an MMIO SPTE of the first generation is there when the tags wrap")
    if is_wrapping:
        m.mmio = NONE
    yield "zap all MMIO SPTEs if the generation has wrapped"


def created(*end: Op) -> Program:
    """Create a slot elsewhere and then the one that matters, each with such an end of the swap."""
    ops: list[Op] = []
    for slot in (FIRST, SECOND):
        put = replace(None, slot)
        ops += [LOCK, put, Op(publish_in_progress), *synchronize(), *end, put, UNLOCK]
    return Program((*ops, RETURN), "create twice")


def store_first() -> Program:
    """Store, then zap."""
    return created(Op(store_generation), Op(zap_after_store))


def zap_first() -> Program:
    """Zap, then store."""
    return created(Op(zap_before_store), Op(store_generation))


def made(program: Program) -> Model:
    """Return the model of one order, with a vCPU that reads twice."""
    change = Change((), (FIRST, SECOND))
    w = World("create twice", change, (program,), (Access("load", 0),), 2, 1, gfns=2)
    return generational(w, WINDOW)


def before() -> Model:
    """The generation first."""
    return made(store_first())


def after() -> Model:
    """The zap first."""
    return made(zap_first())


BUG = Bug(
    commit="152482580a1b",
    title="KVM: Call kvm_arch_memslots_updated() before updating memslots",
    version="v5.1",
    source="https://git.kernel.org/linus/152482580a1b0accb60676063a1ac57b2d12daf6",
    mechanism="tags begin again before the SPTEs that still carry the first of them are zapped",
    breaks=(AGREES,),
    window=WINDOW,
    before=before,
    after=after,
)
