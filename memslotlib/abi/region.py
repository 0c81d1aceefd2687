"""KVM_SET_USER_MEMORY_REGION: a request is held against the rules, becomes a change, is committed.

Source: Linux 6.18, virt/kvm/kvm_main.c kvm_set_memory_region(), kvm_set_memslot(),
kvm_prepare_memory_region(), kvm_commit_memory_region().
"""

from __future__ import annotations

from enum import Enum
from functools import partial

from ..uapi import AS_ID_SHIFT, PAGE_SHIFT, SLOT_ID_MASK, MemFlag
from .dirty import fresh_bitmap, protect
from .region_rules import (
    ANY,
    COMMIT,
    CREATE,
    DELETE,
    MODIFY,
    PLACE,
    REGION_RULES,
    V1,
    V2,
    Region,
)
from .rule import asked, first_broken, refusal
from .slots import Slot
from .state import VmState, quirk_zap_all

_GUEST_MEMFD = int(MemFlag.GUEST_MEMFD)
_LOG = int(MemFlag.LOG_DIRTY_PAGES)


class Change(Enum):
    """What a valid request does; KVM's enum kvm_mr_change, and NONE for a request of no effect."""

    CREATE = "create"
    DELETE = "delete"
    MOVE = "move"
    FLAGS = "flags"
    NONE = "no-op"


_ASKED = {
    (call, when): asked(REGION_RULES, call, when)
    for call in (V1, V2)
    for when in (ANY, DELETE, MODIFY, PLACE, CREATE, COMMIT)
}

#: Swaps of the two slot sets that a change takes: an invalidation is a swap of its own.
_SWAPS = {Change.CREATE: 1, Change.DELETE: 2, Change.MOVE: 2, Change.FLAGS: 1}


def set_region(state: VmState, request: Region) -> Change:
    """Carry out one request and return what it was.

    Raises KvmError with the errno of the first rule that the request breaks; then slots, bitmaps
    and memory are as before. A move that fails only after its invalidation (rule ``gpa-range``)
    has still swapped twice and dropped mappings, as in the kernel.
    """
    old = state.slot(request.slot)
    change = classify(state, request, old)
    if change is Change.NONE:
        return change
    space = state.spaces[request.slot >> AS_ID_SHIFT]
    if old is not None and change is not Change.FLAGS:
        _zap(state, old)
    if change is Change.CREATE or change is Change.MOVE:
        rule = first_broken(_ASKED[request.ioctl, COMMIT], request, state, old)
        if rule is not None:
            # A move has invalidated the old slot by now, and activates it again.
            space.swap(2 if change is Change.MOVE else 0)
            raise refusal(request.ioctl, rule, request.fields())
    _commit(state, old, None if change is Change.DELETE else _successor(state, request, old))
    space.swap(_SWAPS[change])
    return change


def classify(state: VmState, request: Region, old: Slot | None) -> Change:
    """Return the change that a request asks for, the slot that it names being ``old``.

    Raises KvmError for the first rule that it breaks, but for those asked at the commit.
    """
    ask = partial(_ask, state, request, old)
    ask(ANY)
    if request.memory_size == 0:
        ask(DELETE)
        return Change.DELETE
    if old is None:
        ask(PLACE)
        ask(CREATE)
        return Change.CREATE
    ask(MODIFY)
    if request.base_gfn != old.base_gfn:
        ask(PLACE)
        return Change.MOVE
    return Change.FLAGS if request.flags != old.flags else Change.NONE


def _ask(state: VmState, request: Region, old: Slot | None, when: str) -> None:
    rule = first_broken(_ASKED[request.ioctl, when], request, state, old)
    if rule is not None:
        raise refusal(request.ioctl, rule, request.fields())


def _successor(state: VmState, request: Region, old: Slot | None) -> Slot:
    """Return the slot that the request describes, with the bitmap that it inherits or gets."""
    bitmap = None
    if request.flags & _LOG and state.ring is None:
        inherited = old.bitmap if old is not None else None
        bitmap = inherited if inherited is not None else fresh_bitmap(state, request.npages)
    bound = request.flags & _GUEST_MEMFD
    return Slot(
        request.slot >> AS_ID_SHIFT,
        request.slot & SLOT_ID_MASK,
        request.base_gfn,
        request.npages,
        request.userspace_addr,
        request.flags,
        bitmap,
        request.guest_memfd if bound else 0,
        request.guest_memfd_offset >> PAGE_SHIFT if bound else 0,
    )


def _commit(state: VmState, old: Slot | None, new: Slot | None) -> None:
    """Put the new slot in the old one's place, in every book that is kept of slots."""
    slot = new if new is not None else old
    assert slot is not None
    state.spaces[slot.as_id].replace(old, new)
    if old is not None:
        state.total_pages -= old.npages
    if new is not None:
        state.total_pages += new.npages
    if slot.gmem_fd:
        bindings = state.gmem_fds[slot.gmem_fd].bindings
        if new is None:
            del bindings[slot.as_id, slot.id]
        else:
            first = slot.gmem_page
            bindings[slot.as_id, slot.id] = range(first, first + slot.npages)
    if new is not None and old is not None and new.logging and not old.logging:
        protect(state, new)


def _zap(state: VmState, slot: Slot) -> None:
    """Drop what the MMU maps through a slot; by default, what it maps through any slot."""
    if quirk_zap_all(state):
        state.mmu.zap_all()
    else:
        state.mmu.zap(place for place in state.mmu.places() if slot.covers(place))
