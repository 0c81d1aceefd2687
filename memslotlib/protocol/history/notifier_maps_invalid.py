"""A notifier mapped a page of an INVALID slot again, after the zap.

Before: on arm64 a DELETE publishes INVALID and unmaps the slot from stage 2. Then, before the
second swap, the host merges the page with an equal one (KSM) and tells KVM by ``change_pte``. The
walk looks slots up in the active set by their host address, finds the INVALID copy, and installs
the new page. The second swap takes the slot away and nobody unmaps again: the guest goes on reading
memory where there is none any more. In the field a flash device of edk2 never left its state.

Neither lock helps. The notifier is an SRCU reader, and the count of active invalidations keeps an
update from *swapping*, not from doing what it does between two swaps.

The fix: ``change_pte`` passes over INVALID slots. It may: it always runs between
``range_start`` and ``range_end``, and the first of these has unmapped the page.

Source: the text of the merged patch, read in an archive, with the interleaving and the symptom.

Left out: the other architectures that the generic code serves; the notifier's sequence number, by
which a fault is retried; KSM's write-protection of the page. The new page counts as the old one:
what is wrong is that anything is mapped.
"""

from __future__ import annotations

from typing import Any

from ...check import Actor, Flag, Model, sometimes, step
from ..apis import today
from ..kernel import publish
from ..mmu import await_kicked, request_flush
from ..model import model
from ..slots import Change, Slot
from ..vcpu import lookup
from ..world import ABSENT, ARM64, Access, Entry, World
from .bug import Bug, extended

WINDOW = "change_pte finds the INVALID slot"


def publish_when_idle(m: Any, w: World, as_id: int) -> Any:
    """The swap, which waits until no invalidation is active."""
    m.wait(not m.invalidating)
    m.active[as_id] = 1 - m.active[as_id]
    yield f"swap active set of as_id {as_id}"


def merge(m: Any, w: World) -> Any:
    """KSM merges the page: ``range_start``, ``change_pte``, ``range_end``."""
    m.invalidating = True
    yield "range_start: count up"
    m.spte[0] = ABSENT
    yield "range_start: unmap"
    yield from request_flush(m, w)
    yield from await_kicked(m, w)
    yield from change_pte(m, w)
    m.invalidating = False
    yield "range_end: count down"


@step
def change_pte(m: Any, w: World) -> Any:
    """As it was: whatever slot has the address."""
    slot = lookup(m, 0, 0)
    if slot is not None:
        if slot.is_invalid:
            m.reach("change_pte finds the INVALID slot")
        m.spte[0] = Entry(slot.hva, False)
        yield f"change_pte: map the page of {slot}"


def change_pte_of_valid(m: Any, w: World) -> Any:
    """The fix: an INVALID slot is passed over."""
    slot = lookup(m, 0, 0)
    if slot is not None and slot.is_invalid:
        m.reach("change_pte finds the INVALID slot")
        yield f"change_pte: pass over {slot}"
    elif slot is not None:
        m.spte[0] = Entry(slot.hva, False)
        yield f"change_pte: map the page of {slot}"


def before() -> Model:
    """Delete the slot on arm64 while its page is merged, and one vCPU reads."""
    change = Change((Slot("s", 0, 1),), ())
    program = today.update(change, ARM64)
    w = World("change_pte", change, (program,), (Access("load", 0),), 2, 1, gfns=1, policy=ARM64)
    found = extended(
        model(w),
        variables={"invalidating": Flag()},
        actors=[Actor(merge, w, name="ksm")],
        properties=[sometimes(WINDOW)],
    )
    return found.with_step(publish, publish_when_idle)


def after() -> Model:
    """The same, and ``change_pte`` passes over INVALID slots."""
    return before().with_step(change_pte, change_pte_of_valid)


BUG = Bug(
    commit="2230f9e1171a",
    title="KVM: Avoid illegal stage2 mapping on invalid memory slot",
    version="v6.4",
    source="20230615054259.14911-1-gshan@redhat.com",
    mechanism="change_pte found the INVALID slot between zap and second swap, and mapped it again",
    breaks=("I2 nothing reaches the old page after the update",),
    window=WINDOW,
    before=before,
    after=after,
)
