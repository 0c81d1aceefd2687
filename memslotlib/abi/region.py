"""KVM_SET_USER_MEMORY_REGION: a request is held against the rules, becomes a change, is committed.

Source: Linux 6.18, virt/kvm/kvm_main.c kvm_set_memory_region(), kvm_set_memslot(),
kvm_prepare_memory_region(), kvm_commit_memory_region().
"""

from __future__ import annotations

from ..uapi import AS_ID_SHIFT, PAGE_SHIFT, SLOT_ID_MASK, MemFlag
from .dirty import fresh_bitmap, protect
from .rules import Change, Region, Stage, broken_rule, refuse
from .slots import Slot
from .state import VmState, quirk_zap_all

_GUEST_MEMFD = int(MemFlag.GUEST_MEMFD)
_LOG = int(MemFlag.LOG_DIRTY_PAGES)

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
    if change is Change.DELETE or change is Change.MOVE:
        assert old is not None
        _zap(state, old)
    if change is Change.CREATE or change is Change.MOVE:
        _check(Stage.COMMIT, state, request, old, change)
    new = None if change is Change.DELETE else _successor(state, request, old)
    _commit(state, old, new)
    state.spaces[request.slot >> AS_ID_SHIFT].swap(_SWAPS[change])
    return change


def classify(state: VmState, request: Region, old: Slot | None) -> Change:
    """Return the change that a valid request asks for.

    Raises KvmError for the first broken rule of every stage but the last, which is only asked
    when a move has already invalidated the old slot.
    """
    _check(Stage.ANY, state, request, old)
    if request.memory_size == 0:
        _check(Stage.DELETE, state, request, old)
        return Change.DELETE
    if old is None:
        _check(Stage.PLACE, state, request, old)
        _check(Stage.CREATE, state, request, old)
        return Change.CREATE
    _check(Stage.MODIFY, state, request, old)
    if request.base_gfn != old.base_gfn:
        _check(Stage.PLACE, state, request, old)
        return Change.MOVE
    return Change.FLAGS if request.flags != old.flags else Change.NONE


def _check(
    stage: Stage,
    state: VmState,
    request: Region,
    old: Slot | None,
    change: Change = Change.NONE,
) -> None:
    rule = broken_rule(stage, request, state, old)
    if rule is not None:
        if change is Change.MOVE:
            # The old slot was invalidated and is activated again: two swaps for nothing.
            state.spaces[request.slot >> AS_ID_SHIFT].swap(2)
        raise refuse(rule, request)


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
        state.mapped.clear()
        return
    for gfn in [g for as_id, g in state.mapped if as_id == slot.as_id and g in _frames(slot)]:
        del state.mapped[slot.as_id, gfn]


def _frames(slot: Slot) -> range:
    return range(slot.base_gfn, slot.end_gfn)
