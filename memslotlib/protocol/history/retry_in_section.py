"""A pre-fault retried inside one SRCU section, and the update waited for that section to end.

Before: KVM_PRE_FAULT_MEMORY enters SRCU once and then asks the page-fault path again and again
until it does not say RETRY. An update publishes INVALID and waits for all readers. The pre-fault
finds INVALID, retries, and never leaves; the update never goes on, so INVALID never ends. KVM_RUN
has no such trouble: it leaves SRCU each time that it enters the guest.

The fix: a pre-fault that finds INVALID returns -EAGAIN to userspace, which leaves the section.

A tempting fix is not enough: to leave SRCU and enter it again inside of the loop. The update then
goes on, and its zap makes the MMU root obsolete; the loop never reloads the root, so the path says
RETRY because of that (:func:`reentering`). A draft in the thread did so, and the test still hung.
With a reload as well it ends (:func:`reloading`); that was thought too much for what it is worth.

Source: the text and the patch of the commit and the thread before it, read in an archive. The
reload at the beginning of each page is that of 20a6cff3b283. 2bc2694fe20b fixes the same in TDX's
own retry of EPT violations; that is not modelled.

Left out: signals, which end the loop (so it is a hang of an uninterrupted thread, not of the host).

:func:`of_another_slot` is a question, not a bug of the past. The fix answers INVALID alone. Where a
pre-fault of a slot that stays has begun after INVALID was published for another one, the zap of
that one makes its root obsolete within the section, and the model finds the same circle: RETRY for
ever, and an update that waits. No report of it was found, and no kernel was tried.
"""

from __future__ import annotations

from typing import Any

from ...check import Model, can_always_reach, sometimes
from ..apis import today
from ..judge import holds
from ..mmu import obey
from ..model import model
from ..slots import Change, Slot
from ..state import OUTSIDE, READING, RELOAD
from ..vcpu import guest_access, install, lookup
from ..world import X86, Access, World
from .bug import Bug, extended

BREAKS = "I10 the update and the pre-fault can always come to their end"
WINDOW = "a pre-fault finds INVALID"


def retrying(m: Any, w: World, v: Any, access: Access) -> Any:
    """As it was: retry without leaving the section."""
    yield from pre_fault(m, w, v, access, "retry")


def reentering(m: Any, w: World, v: Any, access: Access) -> Any:
    """A wrong fix: leave the section and enter it again."""
    yield from pre_fault(m, w, v, access, "re-enter")


def reloading(m: Any, w: World, v: Any, access: Access) -> Any:
    """What the wrong fix lacks: reload the root as well."""
    yield from pre_fault(m, w, v, access, "re-enter and reload")


def returning(m: Any, w: World, v: Any, access: Access) -> Any:
    """The fix: give up, and let userspace ask again."""
    yield from pre_fault(m, w, v, access, "-EAGAIN")


def pre_fault(m: Any, w: World, v: Any, access: Access, on_invalid: str) -> Any:
    """``kvm_vcpu_pre_fault_memory()`` of one page."""
    m.srcu[v] = READING
    obey(m, w, v)
    yield "pre-fault: srcu_read_lock, kvm_mmu_reload"
    is_over = False
    while not is_over:
        slot = lookup(m, access.as_id, access.gfn)
        if slot is None:
            is_over = True
            yield "pre-fault: no slot, -ENOENT"
        elif slot.is_invalid:
            m.reach("a pre-fault finds INVALID")
            if on_invalid == "-EAGAIN":
                is_over = True
                yield "pre-fault: INVALID, -EAGAIN"
            elif on_invalid == "retry":
                yield "pre-fault: INVALID, retry"
            else:
                m.srcu[v] = OUTSIDE
                yield "pre-fault: INVALID, srcu_read_unlock"
                m.srcu[v] = READING
                if on_invalid == "re-enter and reload":
                    obey(m, w, v)
                yield "pre-fault: srcu_read_lock"
        elif m.request[v] == RELOAD:
            yield "pre-fault: root obsolete, retry"
        else:
            holds(m, w, slot)
            install(m, w, access, slot, slot.hva)
            is_over = True
            yield "pre-fault: mapped"
    m.srcu[v] = OUTSIDE
    yield "pre-fault: srcu_read_unlock"


def world(gfn: int) -> World:
    """Delete a slot and create it again, while two vCPUs pre-fault a page of it or of another."""
    gone, come, stays = Slot("s", 0, 1), Slot("r", 0, 1), Slot("t", 1, 1)
    change = Change((gone, stays), (come, stays))
    program = today.update(change, X86)
    return World("pre-fault", change, (program,), (Access("load", gfn),), 1, gfns=2, events=())


def made(on_invalid: Any, gfn: int = 0) -> Model:
    """Return the model in which INVALID is met in this way."""
    w = world(gfn)
    ends = can_always_reach(BREAKS, lambda m: m.returned and m.finished == w.vcpus)
    properties = [ends] if gfn else [ends, sometimes(WINDOW)]
    return extended(model(w), properties=properties).with_step(guest_access, on_invalid)


def before() -> Model:
    """Retry inside one section."""
    return made(retrying)


def after() -> Model:
    """-EAGAIN."""
    return made(returning)


def of_another_slot() -> Model:
    """After the fix, for a page whose slot stays while another slot goes."""
    return made(returning, gfn=1)


BUG = Bug(
    commit="3ccbf6f47098",
    title="KVM: x86/mmu: Return -EAGAIN if userspace deletes/moves memslot during prefault",
    version="v6.18",
    source="20250822070347.26451-1-yan.y.zhao@intel.com",
    mechanism="a retry inside one SRCU section waits for the update, which waits for the section",
    breaks=(BREAKS,),
    window=WINDOW,
    before=before,
    after=after,
    beyond={
        "leave SRCU and enter it again": lambda: made(reentering),
        "and reload the root": lambda: made(reloading),
        "a page of a slot that stays": of_another_slot,
    },
)
