"""Dirty tracking: how a guest's write is recorded, and what GET, CLEAR and RESET do with it.

A bit of a slot's bitmap is an offset in the slot, so a moved slot takes its bits to the new
addresses; so is an entry of the ring.

Source: Linux 6.18, virt/kvm/kvm_main.c mark_page_dirty_in_slot(), kvm_get_dirty_log_protect(),
kvm_clear_dirty_log_protect(); virt/kvm/dirty_ring.c kvm_reset_dirty_gfn();
arch/x86/kvm/x86.c kvm_mmu_slot_apply_flags(); api.rst, KVM_GET_DIRTY_LOG and KVM_CLEAR_DIRTY_LOG.
"""

from __future__ import annotations

import errno
from typing import NamedTuple

from ..uapi import AS_ID_SHIFT, SLOT_ID_MASK, USER_MEM_SLOTS, ManualProtect
from .ring import batches
from .rule import Rule, asked, first_broken, refusal
from .slots import Slot
from .state import VmState, bitmap_size_bytes

GET = "KVM_GET_DIRTY_LOG"
CLEAR = "KVM_CLEAR_DIRTY_LOG"
RESET = "KVM_RESET_DIRTY_RINGS"

_ANY = "every request"
_GET_SOURCE = "kvm_main.c kvm_get_dirty_log_protect()"
_CLEAR_SOURCE = "kvm_main.c kvm_clear_dirty_log_protect()"
_INITIALLY_SET = int(ManualProtect.INITIALLY_SET)


class LogRequest(NamedTuple):
    """The fields of one dirty log call; GET has only the slot."""

    ioctl: str
    slot: int
    first_page: int = 0
    num_pages: int = 0

    def fields(self) -> dict[str, int]:
        """The fields by name, as the ioctl's structure has them."""
        names = self._fields[1 : 2 if self.ioctl == GET else None]
        return {name: getattr(self, name) for name in names}


def _clear_beyond(r: LogRequest, s: VmState, old: Slot | None) -> bool:
    return old is not None and r.first_page + r.num_pages > old.npages


def _clear_ragged(r: LogRequest, s: VmState, old: Slot | None) -> bool:
    if old is None or r.num_pages & 63 == 0:
        return False
    return r.num_pages < old.npages - r.first_page


LOG_RULES: tuple[Rule, ...] = (
    Rule(
        "log-without-ring", (GET, CLEAR), _ANY, errno.ENXIO,
        "the VM tracks writes in a dirty ring",
        _GET_SOURCE,
        lambda r, s, old: s.ring is not None,
    ),
    Rule(
        "log-slot-id", (GET, CLEAR), _ANY, errno.EINVAL,
        f"the address space does not exist, or the slot's id is {USER_MEM_SLOTS} or more",
        _GET_SOURCE,
        lambda r, s, old: r.slot >> AS_ID_SHIFT >= len(s.spaces)
        or r.slot & SLOT_ID_MASK >= USER_MEM_SLOTS,
    ),
    Rule(
        "clear-first-aligned", (CLEAR,), _ANY, errno.EINVAL,
        "first_page is not a multiple of 64",
        _CLEAR_SOURCE,
        lambda r, s, old: r.first_page & 63 != 0,
    ),
    Rule(
        "log-absent", (GET, CLEAR), _ANY, errno.ENOENT,
        "there is no such slot, or it has no dirty bitmap",
        _GET_SOURCE,
        lambda r, s, old: old is None or old.bitmap is None,
    ),
    Rule(
        "clear-range", (CLEAR,), _ANY, errno.EINVAL,
        "first_page + num_pages is beyond the end of the slot",
        _CLEAR_SOURCE,
        _clear_beyond,
    ),
    Rule(
        "clear-count-aligned", (CLEAR,), _ANY, errno.EINVAL,
        "num_pages is not a multiple of 64 and does not reach the end of the slot",
        _CLEAR_SOURCE,
        _clear_ragged,
    ),
    Rule(
        "log-copied", (GET, CLEAR), _ANY, errno.EFAULT,
        "the bitmap cannot be copied; a failed GET has cleared its bits by then",
        _GET_SOURCE, None, "this library always passes a bitmap that is large enough",
    ),
)  # fmt: skip

RESET_RULES: tuple[Rule, ...] = (
    Rule(
        "reset-without-ring", (RESET,), _ANY, errno.EINVAL,
        "the VM has no dirty ring",
        "kvm_main.c kvm_vm_ioctl_reset_dirty_pages()",
        lambda r, s, old: s.ring is None,
    ),
    Rule(
        "reset-interrupted", (RESET,), _ANY, errno.EINTR,
        "a signal is pending; the batch gathered by then is taken back and not protected again",
        "dirty_ring.c kvm_dirty_ring_reset(), since Linux 6.17",
        None, "no signal is sent to the thread that resets",
    ),
)  # fmt: skip

_ASKED = {call: asked((*LOG_RULES, *RESET_RULES), call, _ANY) for call in (GET, CLEAR, RESET)}


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
    """Write-protect a slot when its logging starts.

    With INITIALLY_SET nothing is protected, as every bit of the bitmap is set instead: also under a
    ring, where there is no bitmap, so that pages that were writable are written unseen.
    """
    if state.manual_protect & _INITIALLY_SET:
        return
    state.mmu.protect(place for place in state.mmu.mapped if slot.covers(place))


def _protect_marked(state: VmState, slot: Slot, first_page: int, mask: int) -> None:
    """Write-protect the pages whose bits are set, bit 0 being ``first_page`` of the slot."""
    first_gfn = slot.base_gfn + first_page
    state.mmu.protect(
        (as_id, gfn)
        for as_id, gfn in state.mmu.mapped
        if as_id == slot.as_id and gfn >= first_gfn and mask >> (gfn - first_gfn) & 1
    )


def get_log(state: VmState, number: int) -> bytes:
    """Answer KVM_GET_DIRTY_LOG; without manual protection it also clears and re-protects."""
    slot, bitmap = _logged(state, LogRequest(GET, number))
    log = bytes(bitmap)
    if not state.manual_protect:
        _protect_marked(state, slot, 0, int.from_bytes(log, "little"))
        bitmap[:] = bytes(len(bitmap))
    return log


def clear_log(state: VmState, number: int, first_page: int, num_pages: int, bitmap: bytes) -> None:
    """Answer KVM_CLEAR_DIRTY_LOG: clear the bits that are set in both, re-protect their pages."""
    slot, log = _logged(state, LogRequest(CLEAR, number, first_page, num_pages))
    size_bytes = bitmap_size_bytes(num_pages)
    here = slice(first_page >> 3, (first_page >> 3) + size_bytes)
    had = int.from_bytes(log[here], "little")
    cleared = had & int.from_bytes(bitmap[:size_bytes], "little")
    log[here] = (had ^ cleared).to_bytes(size_bytes, "little")
    _protect_marked(state, slot, first_page, cleared)


def reset_rings(state: VmState) -> int:
    """Answer KVM_RESET_DIRTY_RINGS: re-protect harvested pages, batch by batch."""
    rule = first_broken(_ASKED[RESET], None, state, None)
    if rule is not None:
        raise refusal(RESET, rule, {})
    assert state.ring is not None
    taken = state.ring.reset()
    for number, offset, mask in batches(taken):
        _reset_batch(state, number, offset, mask)
    return len(taken)


def _reset_batch(state: VmState, number: int, offset: int, mask: int) -> None:
    """Re-protect the pages of one batch; none of them when the slot is gone or ends before one.

    A stale entry beyond the end of the slot that now has the number thereby leaves live pages
    writable: their next write is not seen.

    Source: Linux 6.18, virt/kvm/dirty_ring.c kvm_reset_dirty_gfn().
    """
    slot = state.slot(number)
    if slot is not None and offset + mask.bit_length() <= slot.npages:
        _protect_marked(state, slot, offset, mask)


def _logged(state: VmState, request: LogRequest) -> tuple[Slot, bytearray]:
    """Return the slot of a valid dirty log call and its bitmap."""
    slot = state.slot(request.slot)
    rule = first_broken(_ASKED[request.ioctl], request, state, slot)
    if rule is not None:
        raise refusal(request.ioctl, rule, request.fields())
    assert slot is not None
    assert slot.bitmap is not None
    return slot, slot.bitmap
