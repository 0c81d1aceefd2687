"""The drafted exit of a code fetch that finds no memory, which userspace answers by KVM_RUN again.

Today such a fetch is an emulation that failed. The draft lets it leave with KVM_EXIT_MMIO of length
0 and the address instead. Userspace, which is about to create the slot again, has nothing to do but
to run the vCPU once more; here it does so when a look-up finds something to fetch. Loads and stores
are as they were.

Source: message-id YzMdjSkKaJ8HyWXh@google.com, a draft of 27 September 2022 that was never merged.
"""

from __future__ import annotations

from typing import Any

from ..check import Model
from .model import model
from .state import OUT, OUTSIDE
from .vcpu import kvm_access, lookup, page_fault
from .world import Access, World

Steps = Any


def fetching_again(w: World) -> Model:
    """Return the model of a world in which a fetch that finds no memory leaves, and is repeated."""
    return model(w).with_step(page_fault, fault_or_exit).with_step(kvm_access, access_or_exit)


def fault_or_exit(m: Any, w: World, v: Any, access: Access) -> Steps:
    """In the place of :func:`.vcpu.page_fault`; where the fault finds no slot, a fetch leaves."""
    if access.kind == "fetch" and is_hole(m, w, access, retries=w.policy.retries):
        yield from leave(m, w, v, access)
        return False
    is_over = yield from page_fault.function(m, w, v, access)
    return is_over


def access_or_exit(m: Any, w: World, v: Any, access: Access) -> Steps:
    """In the place of :func:`.vcpu.kvm_access`, to which INVALID is a hole as well."""
    while access.kind == "fetch" and is_hole(m, w, access, retries=False):
        yield from leave(m, w, v, access)
    yield from kvm_access.function(m, w, v, access)


def is_hole(m: Any, w: World, access: Access, *, retries: bool) -> bool:
    """Whether there is nothing to fetch; who ``retries`` comes back to an INVALID slot anyhow."""
    slot = lookup(m, access.as_id, access.gfn)
    return slot is None or (slot.is_invalid and not retries)


def leave(m: Any, w: World, v: Any, access: Access) -> Steps:
    """KVM_EXIT_MMIO of length 0, and KVM_RUN again when there is something to fetch."""
    m.mode[v] = OUT
    m.srcu[v] = OUTSIDE
    yield f"{access}: exit, nothing to fetch"
    m.wait(not is_hole(m, w, access, retries=False))
