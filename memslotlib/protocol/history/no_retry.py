"""A fault on an INVALID slot was taken for MMIO: an MMIO SPTE over a live one.

Before: KVM_SET_USER_MEMORY_REGION deletes a slot: it publishes the INVALID copy, and zaps when the
grace period is over. A vCPU that faults in between finds INVALID, which counted as *no slot*, and
puts an MMIO SPTE where the SPTE of the memory is still present. The TDP MMU took that for
impossible and stopped the host (BUG).

The fix: INVALID is not *no slot*: the vCPU goes back to the guest and faults again until the slot
is there or gone. Nothing else changes.

Source: the text of the commit, read in an archive; its version is from memory. That the vCPU's exit
and its look-up are two steps, so that another vCPU maps the page in between, is this model's way to
have a fault on a present SPTE; the text does not say which fault it was.

Left out: the MMIO SPTE itself and what the guest then sees; writes to READONLY memory, which fault
on a present SPTE as well.
"""

from __future__ import annotations

from typing import Any

from ...check import Model, never, sometimes
from ..apis import today
from ..judge import holds
from ..model import model
from ..slots import Change, Slot
from ..state import OUT, OUTSIDE, READING, RELOAD
from ..vcpu import install, lookup, page_fault
from ..world import ABSENT, X86, X86_BEFORE_5_13, Access, Policy, World
from .bug import Bug, extended

BREAKS = "no MMIO SPTE takes the place of a live one"
WINDOW = "a fault finds INVALID where an SPTE is live"


def exit_then_fault(m: Any, w: World, v: Any, access: Access) -> Any:
    """The page fault, with the VM-exit, the look-up and the mapping as steps of their own."""
    m.mode[v] = OUT
    m.srcu[v] = READING
    yield "EPT violation: VM-exit"
    slot = lookup(m, access.as_id, access.gfn)
    is_live = m.spte[w.at(access.as_id, access.gfn)] != ABSENT
    if slot is not None and slot.is_invalid and is_live:
        m.reach("a fault finds INVALID where an SPTE is live")
    yield f"fault: found {slot or 'no slot'}"
    if slot is not None and slot.is_invalid and w.policy.retries:
        yield "fault: INVALID, retry"
        return False
    if m.request[v] == RELOAD:
        yield "fault: root obsolete, retry"
        return False
    if slot is None or slot.is_invalid:
        if m.spte[w.at(access.as_id, access.gfn)] != ABSENT:
            m.fail("no MMIO SPTE takes the place of a live one", str(access))
        m.srcu[v] = OUTSIDE
        yield "fault: map MMIO"
        return True
    holds(m, w, slot)
    install(m, w, access, slot, slot.hva)
    yield f"map {slot}'s page"
    return False


def world(policy: Policy) -> World:
    """Delete the only slot while two vCPUs read from it."""
    change = Change((Slot("s", 0, 1),), ())
    program = today.update(change, policy)
    name = f"INVALID slot, {policy.name}"
    return World(name, change, (program,), (Access("load", 0),), 1, gfns=1, policy=policy)


def made(policy: Policy) -> Model:
    """Return the model of one policy."""
    properties = [never(BREAKS), sometimes(WINDOW)]
    found = extended(model(world(policy)), properties=properties)
    return found.with_step(page_fault, exit_then_fault)


def before() -> Model:
    """INVALID counts as no slot."""
    return made(X86_BEFORE_5_13)


def after() -> Model:
    """INVALID is retried."""
    return made(X86)


BUG = Bug(
    commit="e0c378684b65",
    title="KVM: x86/mmu: Retry page faults that hit an invalid memslot",
    version="v5.13",
    source="20210225204749.1512652-6-seanjc@google.com",
    mechanism="INVALID counted as no slot, so a fault put MMIO over an SPTE not yet zapped",
    breaks=(BREAKS,),
    window=WINDOW,
    before=before,
    after=after,
)
