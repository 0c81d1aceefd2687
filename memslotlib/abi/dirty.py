"""Dirty tracking: how a guest's write is recorded, and what GET, CLEAR and RESET do with it.

A bit of a slot's bitmap is an offset in the slot, so a moved slot takes its bits to the new
addresses; so is an entry of the ring.

Source: Linux 6.18, virt/kvm/kvm_main.c mark_page_dirty_in_slot(), kvm_get_dirty_log_protect(),
kvm_clear_dirty_log_protect(); virt/kvm/dirty_ring.c kvm_reset_dirty_gfn(); api.rst,
KVM_GET_DIRTY_LOG and KVM_CLEAR_DIRTY_LOG.
"""

from __future__ import annotations

import errno

from ..errors import KvmError
from ..uapi import AS_ID_SHIFT, SLOT_ID_MASK, USER_MEM_SLOTS, ManualProtect
from .slots import Slot
from .state import VmState, bitmap_size_bytes

_INITIALLY_SET = int(ManualProtect.INITIALLY_SET)


def fresh_bitmap(state: VmState, npages: int) -> bytearray:
    """Return the bitmap that a slot gets when its logging starts."""
    if not state.manual_protect & _INITIALLY_SET:
        return bytearray(bitmap_size_bytes(npages))
    return bytearray(((1 << npages) - 1).to_bytes(bitmap_size_bytes(npages), "little"))


def mark(state: VmState, slot: Slot, gfn: int) -> None:
    """Record a guest's write to a frame of a slot."""
    offset = gfn - slot.base_gfn
    if not slot.logging:
        return
    if state.ring is not None:
        state.ring.push(slot.number, offset)
    elif slot.bitmap is not None:
        slot.bitmap[offset >> 3] |= 1 << (offset & 7)


def protect(state: VmState, slot: Slot) -> None:
    """Write-protect a slot when its logging starts; with INITIALLY_SET every bit is set instead."""
    if state.manual_protect & _INITIALLY_SET and state.ring is None:
        return
    for as_id, gfn in state.mapped:
        if as_id == slot.as_id and slot.base_gfn <= gfn < slot.end_gfn:
            state.mapped[as_id, gfn] = False


def _protect_offsets(state: VmState, slot: Slot, dirty: int) -> None:
    """Write-protect the pages of a slot whose bits are set, so that their next write is seen."""
    for as_id, gfn in state.mapped:
        offset = gfn - slot.base_gfn
        if as_id == slot.as_id and 0 <= offset < slot.npages and dirty >> offset & 1:
            state.mapped[as_id, gfn] = False


def get_log(state: VmState, number: int) -> bytes:
    """Answer KVM_GET_DIRTY_LOG; without manual protection it also clears and re-protects."""
    slot, bitmap = _logged("KVM_GET_DIRTY_LOG", state, {"slot": number})
    log = bytes(bitmap)
    if not state.manual_protect:
        _protect_offsets(state, slot, int.from_bytes(bitmap, "little"))
        bitmap[:] = bytes(len(bitmap))
    return log


def clear_log(
    state: VmState, number: int, first_page: int, num_pages: int, bitmap: bytes
) -> None:
    """Answer KVM_CLEAR_DIRTY_LOG: clear the bits that are set in both, re-protect their pages."""
    ioctl = "KVM_CLEAR_DIRTY_LOG"
    fields = {"slot": number, "first_page": first_page, "num_pages": num_pages}
    if state.ring is None and _valid(state, number) and first_page & 63:
        raise KvmError(ioctl, errno.EINVAL, fields, "clear-first-aligned")
    slot, log = _logged(ioctl, state, fields)
    rest = slot.npages - first_page
    if first_page > slot.npages or num_pages > rest:
        raise KvmError(ioctl, errno.EINVAL, fields, "clear-range")
    if num_pages < rest and num_pages & 63:
        raise KvmError(ioctl, errno.EINVAL, fields, "clear-count-aligned")
    size_bytes = bitmap_size_bytes(num_pages)
    start = first_page >> 3
    here = slice(start, start + size_bytes)
    had = int.from_bytes(log[here], "little")
    cleared = had & int.from_bytes(bitmap[:size_bytes], "little")
    log[here] = (had & ~cleared).to_bytes(size_bytes, "little")
    _protect_offsets(state, slot, cleared << first_page)


def reset_rings(state: VmState) -> int:
    """Answer KVM_RESET_DIRTY_RINGS: re-protect harvested pages, skip those that are gone."""
    if state.ring is None:
        raise KvmError("KVM_RESET_DIRTY_RINGS", errno.EINVAL, {}, "ring-enabled")
    taken = state.ring.reset()
    for number, offset in taken:
        slot = state.slot(number)
        if slot is not None and offset < slot.npages:
            _protect_offsets(state, slot, 1 << offset)
    return len(taken)


def _valid(state: VmState, number: int) -> bool:
    return number >> AS_ID_SHIFT < len(state.spaces) and number & SLOT_ID_MASK < USER_MEM_SLOTS


def _logged(ioctl: str, state: VmState, fields: dict[str, int]) -> tuple[Slot, bytearray]:
    """Return the slot of a dirty log call and its bitmap."""
    if state.ring is not None:
        raise KvmError(ioctl, errno.ENXIO, fields, "log-without-ring")
    if not _valid(state, fields["slot"]):
        raise KvmError(ioctl, errno.EINVAL, fields, "log-slot-id")
    slot = state.slot(fields["slot"])
    if slot is None or slot.bitmap is None:
        raise KvmError(ioctl, errno.ENOENT, fields, "log-absent")
    return slot, slot.bitmap
