"""A list of changes fails half-way, and its slots stay INVALID for ever.

Not a bug of a released kernel: the RFC for KVM_SET_USER_MEMORY_REGION_LIST, never merged. Before:
its first pass makes every slot that goes INVALID, one swap each, in both sets. Its second pass
allocates for every entry; when that fails, the ioctl returns the error and leaves the slots as the
first pass made them. Userspace was told that nothing happened; a vCPU that faults there is sent
back to the guest without end, because who retries on INVALID relies on its being short.

There is no fix to compare with. What stands here in its place is what ``kvm_set_memslot()`` does
when a single DELETE or MOVE cannot be prepared: each old slot is put back in the place of its
INVALID copy, with one more swap, before the error is returned.

Source: patch 9/9 as it stands in a mail archive, read in part; that the error path leaves the
slots INVALID is a reading of it, and nobody said so in the thread. The message-id is derived from
the series' numbering. The author's cover letter says that rolling back is hard.

Left out: the entries that the second pass has prepared and leaks, slots_lock that one error path
keeps, and what other ioctls do between the passes.
"""

from __future__ import annotations

from ...check import Model, always, can_always_reach, sometimes
from ..apis import rfc_list
from ..kernel import LOCK, RETURN, UNLOCK, replace, swap
from ..model import model
from ..program import Op, Program
from ..slots import Change, Contents, Slot
from ..world import X86, Access, Policy, World
from .bug import Bug, extended

CHANGE = Change((Slot("s", 0, 2),), (Slot("low", 0, 1),))
UNCHANGED = "I9a a failed update leaves the slots as they were"
ENDS = "I10 every access can always come to its end"
WINDOW = "a fault is retried"


def rolled_back(change: Change, policy: Policy) -> Program:
    """The same failure, with every INVALID slot put back."""
    *first, lock, _, _ = rfc_list.failing(change, policy)
    back: list[Op] = []
    for slot in reversed(change.gone):
        put = replace(slot.invalid, slot)
        back += [put, *swap(slot.as_id), put]
    assert lock == LOCK
    return Program((*first, LOCK, *back, UNLOCK, RETURN), "RFC, ENOMEM in pass 2, rolled back")


def made(program: Program) -> Model:
    """Return the model of one way to fail: nobody may see that anything was tried."""
    w = World(program.name, CHANGE, (program,), (Access("load", 0),), 1, gfns=2, events=(WINDOW,))
    slots = Contents(CHANGE.before)
    properties = [
        always(UNCHANGED, lambda m: not m.returned or m.sets[0, m.active[0]] == slots),
        can_always_reach(ENDS, lambda m: m.finished == w.vcpus),
        sometimes("an access ends after the failure", lambda m: m.returned and m.finished),
    ]
    return extended(model(w), properties=properties)


def before() -> Model:
    """The error is returned as it comes."""
    return made(rfc_list.failing(CHANGE, X86))


def after() -> Model:
    """The slots are put back first."""
    return made(rolled_back(CHANGE, X86))


BUG = Bug(
    commit="",
    title="[RFC PATCH 9/9] kvm_main.c: handle atomic memslot update",
    version="never merged",
    source="https://lkml.iu.edu/hypermail/linux/kernel/2209.3/03542.html",
    mechanism="an error in the second pass returns with the first pass's slots INVALID",
    breaks=(UNCHANGED, ENDS),
    window=WINDOW,
    before=before,
    after=after,
)
