"""KVM_MEM_DISABLED, or KVM_MEM_USER_EXIT: whoever accesses the slot leaves to userspace.

Source: message-ids YzSxhHzgNKHL3Cvm@google.com and YzW3VxqZTb2hnXCy@google.com, and Paolo Bonzini's
answer of 29 September 2022: a new slot has to be able to replace several disabled ones and overlap
the first and the last in part; "disable, KVM_GET_DIRTY_LOG, create" would be correct. KVM's own
accesses leave to userspace too, which is what makes it more than INVALID.
"""

from __future__ import annotations

from ..kernel import LOCK, RETURN, UNLOCK, free, replace, swap
from ..mmu import flush_shadow
from ..program import Op, Program
from ..slots import Change, Slot
from ..userspace import COPY
from ..world import Policy
from . import today


def disable(slot: Slot, policy: Policy) -> tuple[Op, ...]:
    """Set the flag: accesses leave to userspace, nothing of the slot is mapped any more."""
    return (
        LOCK,
        replace(slot, slot.disabled),
        *swap(slot.as_id),
        *flush_shadow(policy, slot),
        replace(slot, slot.disabled),
        UNLOCK,
    )


def create_over(change: Change) -> tuple[Op, ...]:
    """Put the new slots over the disabled ones, in one swap for each address space."""
    edits = [*(replace(s.disabled, None) for s in change.gone)]
    edits += [replace(None, slot) for slot in change.come]
    spaces = sorted({slot.as_id for slot in (*change.gone, *change.come)})
    swaps = [op for as_id in spaces for op in swap(as_id)]
    freed = [Op(free, (one,)) for slot in change.gone for one in (slot.disabled, slot)]
    return LOCK, *edits, *swaps, *edits, *freed, UNLOCK


def update(change: Change, policy: Policy) -> Program:
    """Disable all that goes, slot by slot; fetch what is dirty; then replace it at once."""
    disabled = [op for slot in change.gone for op in disable(slot, policy)]
    disabled += [op for slot in change.gone for op in today.fetched(slot.disabled)]
    copy = [COPY] if change.moves_memory else []
    return Program((*disabled, *copy, *create_over(change), RETURN), "user exit")
