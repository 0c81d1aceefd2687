"""Attributes of frames, outside of slots: access is denied, page faults leave to userspace.

Source: Nicolas Saenz Julienne's series of 2023 and 2024 for KVM_SET_MEMORY_ATTRIBUTES;
``kvm_mmu_faultin_pfn()`` of Linux 6.12 looks at attributes before it looks whether there is a slot,
so a fault on a frame that is denied does not notice that its slot is gone. That KVM's own accesses
do not ask for attributes is a reading of 6.12, where the one attribute is for private memory.
"""

from __future__ import annotations

from ..kernel import LOCK, RETURN, UNLOCK
from ..notifier import allow, deny, zapped
from ..program import Op, Program
from ..slots import Change
from ..world import Policy
from . import today


def denied(change: Change) -> tuple[Op, ...]:
    """Deny access to all frames of slots that go or come; a frame is one in all address spaces."""
    slots = (*change.gone, *change.come)
    gfns = tuple(sorted({gfn for slot in slots for gfn in slot.gfns}))
    frames = tuple((as_id, gfns) for as_id in range(change.spaces))
    begin, *rest = zapped(frames)
    return LOCK, begin, Op(deny, (gfns,)), *rest, UNLOCK


def allowed() -> tuple[Op, ...]:
    """Allow it again: nothing is mapped that would have to be zapped."""
    begin, *_, end = zapped(())
    return LOCK, begin, Op(allow), end, UNLOCK


def update(change: Change, policy: Policy) -> Program:
    """Deny, delete and create as today, allow."""
    inside = [op for op in today.update(change, policy) if op != RETURN]
    return Program((*denied(change), *inside, *allowed(), RETURN), "attributes")
