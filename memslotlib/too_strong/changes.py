"""What vCPUs are watched for, and what models that are too strong put in the place of steps.

Two observations are asked besides the properties of an update. A store that lands, and a fault that
is retried, break no property; a host shows both, so a model has to allow them.
"""

from __future__ import annotations

from dataclasses import replace as with_fields
from typing import Any

from ..check import step
from ..protocol.apis import today, wholesale
from ..protocol.judge import met_page
from ..protocol.kernel import LOCK, RETURN, UNLOCK, free, replace, swap, synchronize
from ..protocol.mmu import asked, flush_shadow
from ..protocol.program import Op, Program
from ..protocol.slots import Change, Slot
from ..protocol.state import OUT, OUTSIDE, RELOAD
from ..protocol.userspace import COPY, PAUSE, RESUME, SEND
from ..protocol.vcpu import enter_guest, fill, guest_access, kvm_access, lookup, page_fault
from ..protocol.world import ABSENT, Access, Policy, World

Steps = Any
Huge = tuple[int, int] | None

LANDS = "no store lands while its slot is INVALID"
WAITS = "no fault waits while its slot is INVALID"

# What vCPUs are watched for.


@step
def may_use(m: Any, access: Access) -> bool:
    """Whether a translation may be used: it may, whatever has become of its slot."""
    return True


def watched_access(m: Any, w: World, v: Any, access: Access) -> Steps:
    """``guest_access()``, and two observations: a store that lands, and a fault that is retried."""
    frame = w.at(access.as_id, access.gfn)
    while True:
        if m.mode[v] == OUT:
            yield from enter_guest(m, w, v)
        elif m.tlb[v, frame].permits(access) and may_use(m, access):
            if access.is_write and is_invalid(m, access):
                m.fail("no store lands while its slot is INVALID", str(access))
            met_page(m, w, v, access, m.tlb[v, frame].page)
            yield f"{access}: TLB hit"
            return
        elif m.spte[frame].permits(access) and may_use(m, access):
            fill(m, w, v, access)
            yield "page walk fills the TLB"
        else:
            met_invalid = is_invalid(m, access)
            is_over = yield from page_fault(m, w, v, access)
            if is_over:
                return
            if met_invalid:
                m.fail("no fault waits while its slot is INVALID", str(access))


def is_invalid(m: Any, access: Access) -> bool:
    """Whether a look-up finds the slot INVALID."""
    slot = lookup(m, access.as_id, access.gfn)
    return slot is not None and slot.is_invalid


def is_there(m: Any, access: Access) -> bool:
    """Whether a look-up finds a slot that may be used."""
    slot = lookup(m, access.as_id, access.gfn)
    return slot is not None and not slot.is_invalid


# What stands in the place of a step.


def slot_asked(m: Any, access: Access) -> bool:
    """A translation is as good as its slot."""
    return is_there(m, access)


def update_excluded(m: Any, access: Access) -> bool:
    """An access and an ioctl exclude each other."""
    m.wait(not m.slots_lock)
    return True


def publish_and_forget(m: Any, w: World, as_id: int) -> Steps:
    """The swap, at which translations of what is INVALID are gone, and faults begin again."""
    m.active[as_id] = 1 - m.active[as_id]
    for v in w.cpu:
        asked(m, v, RELOAD)
    for gfn in range(w.gfns):
        slot = lookup(m, as_id, gfn)
        if slot is not None and slot.is_invalid:
            forget(m, w, as_id, gfn)
    yield f"swap active set of as_id {as_id}, and forget what is INVALID"


def forget(m: Any, w: World, as_id: int, gfn: int) -> None:
    """Take a translation from the page tables and every TLB at once."""
    frame = w.at(as_id, gfn)
    m.spte[frame] = ABSENT
    m.owner[frame] = "-"
    m.huge[as_id] = False
    for v in w.cpu:
        m.tlb[v, frame] = ABSENT


def fault_waits_for_a_slot(m: Any, w: World, v: Any, access: Access) -> Steps:
    """A fault that finds no slot is retried."""
    if lookup(m, access.as_id, access.gfn) is None:
        m.mode[v] = OUT
        yield f"{access}: fault, no slot, retry"
        return False
    is_over = yield from page_fault.function(m, w, v, access)
    return is_over


def fault_is_answered(m: Any, w: World, v: Any, access: Access) -> Steps:
    """Userspace answers an exit as memory would, and the guest cannot tell."""
    if lookup(m, access.as_id, access.gfn) is None:
        m.mode[v] = OUT
        m.srcu[v] = OUTSIDE
        met_page(m, w, v, access, w.change.page_after(access.as_id, access.gfn))
        yield f"{access}: answered by userspace"
        return True
    is_over = yield from page_fault.function(m, w, v, access)
    return is_over


def left(m: Any, v: Any) -> Steps:
    """Leave the guest, with no slot in hand."""
    m.mode[v] = OUT
    m.srcu[v] = OUTSIDE
    yield "VM-exit"


def kvm_access_retried(m: Any, w: World, v: Any, access: Access) -> Steps:
    """KVM's own access is tried again as long as the slot is INVALID, as a fault is."""
    yield from left(m, v)
    m.wait(not is_invalid(m, access))
    yield from kvm_access.function(m, w, v, access)


def kvm_access_waits(m: Any, w: World, v: Any, access: Access) -> Steps:
    """KVM's own access is tried again until there is a slot to use."""
    yield from left(m, v)
    m.wait(is_there(m, access))
    yield from kvm_access.function(m, w, v, access)


def kvm_access_excluded(m: Any, w: World, v: Any, access: Access) -> Steps:
    """KVM's own access is begun before an ioctl or after it."""
    yield from left(m, v)
    m.wait(not m.slots_lock)
    yield from kvm_access.function(m, w, v, access)


def kvm_access_by_page_tables(m: Any, w: World, v: Any, access: Access) -> Steps:
    """KVM's own access goes the way of the guest's."""
    yield from guest_access(m, w, v, access)


def free_all_but_bitmap(m: Any, w: World, slot: Slot) -> Steps:
    """``kvm_free_memslot()``, but the dirty bitmap stays for who takes it over."""
    m.freed[w.mortal.index(slot)] = True
    yield f"free {slot}, keep its dirty bitmap"


@step
def fetch_and_publish(m: Any, w: World, slot: Slot) -> Steps:
    """Take the log, and the slot with all translations: nothing is stored in between."""
    for v in w.cpu:
        m.wait(m.srcu[v] == OUTSIDE)
    for gfn in slot.gfns:
        number = w.bitmaps.index(slot.dirty_bitmap(gfn))
        if m.bitmap[number, gfn]:
            m.bitmap[number, gfn] = False
            m.harvested[gfn] = True
            m.touched[gfn] = False
        forget(m, w, slot.as_id, gfn)
    m.active[slot.as_id] = 1 - m.active[slot.as_id]
    yield f"take the dirty bits of {slot}, and the slot"


# What stands in the place of a program.


def one_swap(change: Change, policy: Policy, huge: Huge) -> Program:
    """Both calls publish once, together."""
    return wholesale.swap_first(change, policy)


def make_before_break(change: Change, policy: Policy, huge: Huge) -> Program:
    """What comes is published before what goes is taken away."""
    come = [op for slot in change.come for op in today.create(slot)]
    gone = [op for slot in change.gone for op in today.delete(slot, policy)]
    return Program((*wholesale.copied(change), *come, *gone, RETURN))


def paused_each(change: Change, policy: Policy, huge: Huge) -> Program:
    """No vCPU is inside KVM_RUN during an ioctl; between two, they run."""
    ops: list[Op] = []
    for slot in change.gone:
        ops += [*today.fetched(slot), *PAUSE, *today.delete(slot, policy), RESUME]
    ops += [COPY] if change.moves_memory else []
    for slot in change.come:
        ops += [*PAUSE, *today.create(slot), RESUME]
    return Program((*ops, RETURN))


def without_invalid(change: Change, policy: Policy, huge: Huge) -> Program:
    """DELETE publishes that there is no slot, and never one that is INVALID."""
    ops: list[Op] = []
    for slot in change.gone:
        ops += [LOCK, replace(slot, None), *swap(slot.as_id), *flush_shadow(policy, slot)]
        ops += [replace(slot, None), Op(free, (slot,)), UNLOCK]
    ops += [op for slot in change.come for op in today.create(slot)]
    return Program((*ops, RETURN))


def moved_at_once(change: Change, policy: Policy, huge: Huge) -> Program:
    """MOVE is one swap, from the one place to the other."""
    ops: list[Op] = []
    for old, new in zip(change.gone, change.come, strict=True):
        ops += [LOCK, replace(old, new), *swap(old.as_id), *flush_shadow(policy, old)]
        ops += [replace(old, new), Op(free, (old,)), UNLOCK]
    return Program((*ops, RETURN))


def bitmap_carried(change: Change, policy: Policy, huge: Huge) -> Program:
    """CREATE takes over the dirty bitmap of what was there."""
    ops = [op for slot in change.gone for op in (*today.fetched(slot), *today.delete(slot, policy))]
    for slot in change.come:
        old = [next(one for one in change.gone if gfn in one.gfns) for gfn in slot.gfns]
        bitmap = tuple(one.dirty_bitmap(gfn) for one, gfn in zip(old, slot.gfns, strict=True))
        ops += today.create(with_fields(slot, bitmap=bitmap))
    return Program((*ops, RETURN))


def fetched_with_delete(change: Change, policy: Policy, huge: Huge) -> Program:
    """KVM_GET_DIRTY_LOG and DELETE are one instant."""
    ops: list[Op] = []
    for slot in change.gone:
        ops += [LOCK, replace(slot, None), Op(fetch_and_publish, (slot,)), *synchronize()]
        ops += [*flush_shadow(policy, slot), replace(slot, None), Op(free, (slot,)), UNLOCK, SEND]
    ops += [op for slot in change.come for op in today.create(slot)]
    return Program((*ops, RETURN))
