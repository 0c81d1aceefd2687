"""KVM_CHECK_EXTENSION and KVM_ENABLE_CAP: what the VM offers, and what is switched on."""

from __future__ import annotations

import errno

from ..errors import KvmError
from ..uapi import (
    DIRTY_RING_ENTRY_SIZE_BYTES,
    DIRTY_RING_MAX_ENTRIES,
    PAGE_SIZE,
    USER_MEM_SLOTS,
    Cap,
    ManualProtect,
)
from .ring import DirtyRing
from .state import FIXED_CAPS, VmState

_RING_MAX_SIZE_BYTES = DIRTY_RING_MAX_ENTRIES * DIRTY_RING_ENTRY_SIZE_BYTES


def check_extension(state: VmState, cap: int) -> int:
    """Return what the VM says of a capability; 0 where it has none."""
    answers: dict[int, int] = {
        **FIXED_CAPS,
        Cap.NR_MEMSLOTS: USER_MEM_SLOTS,
        Cap.X86_SMM: int(len(state.spaces) == 2),
        Cap.MULTI_ADDRESS_SPACE: len(state.spaces),
        Cap.MANUAL_DIRTY_LOG_PROTECT2: int(ManualProtect.ENABLE | ManualProtect.INITIALLY_SET),
        Cap.DIRTY_LOG_RING: _RING_MAX_SIZE_BYTES,
        Cap.DIRTY_LOG_RING_ACQ_REL: _RING_MAX_SIZE_BYTES,
        Cap.DISABLE_QUIRKS2: state.policy.quirks,
        Cap.GUEST_MEMFD: 1,
        Cap.VM_TYPES: 1,
    }
    return answers.get(cap, 0)


def enable(state: VmState, cap: int, args: tuple[int, ...]) -> None:
    """Switch a capability on.

    Raises KvmError EINVAL for an unknown capability or argument, and E2BIG for a ring that is too
    large.
    """
    arg = args[0] if args else 0
    fields = {"cap": cap, "args[0]": arg}
    rule = _refused(state, cap, arg)
    if rule is not None:
        raise KvmError("KVM_ENABLE_CAP", rule[1], fields, rule[0])
    if cap == Cap.MANUAL_DIRTY_LOG_PROTECT2:
        state.manual_protect = arg
    elif cap == Cap.EXIT_ON_EMULATION_FAILURE:
        state.exit_on_emulation_failure = bool(arg)
    elif cap == Cap.DISABLE_QUIRKS2:
        state.quirks_disabled |= arg
    else:
        entries = arg // DIRTY_RING_ENTRY_SIZE_BYTES
        state.ring = DirtyRing(entries, state.policy.ring_reserved_entries)


def _refused(state: VmState, cap: int, arg: int) -> tuple[str, int] | None:
    """Return the rule and errno that refuse a capability, or None."""
    if cap == Cap.MANUAL_DIRTY_LOG_PROTECT2:
        # INITIALLY_SET is an option of ENABLE and is refused alone.
        allowed = 0b11 if arg & ManualProtect.ENABLE else 0b01
        return ("manual-protect-options", errno.EINVAL) if arg & ~allowed else None
    if cap == Cap.EXIT_ON_EMULATION_FAILURE:
        return ("emulation-exit-options", errno.EINVAL) if arg & ~1 else None
    if cap == Cap.DISABLE_QUIRKS2:
        return ("quirks-known", errno.EINVAL) if arg & ~state.policy.quirks else None
    if cap in (Cap.DIRTY_LOG_RING, Cap.DIRTY_LOG_RING_ACQ_REL):
        return _ring_refused(state, arg)
    return "cap-known", errno.EINVAL


def _ring_refused(state: VmState, size_bytes: int) -> tuple[str, int] | None:
    least = max(PAGE_SIZE, state.policy.ring_reserved_entries * DIRTY_RING_ENTRY_SIZE_BYTES)
    if size_bytes == 0 or size_bytes & (size_bytes - 1):
        return "ring-power-of-two", errno.EINVAL
    if size_bytes < least:
        return "ring-smallest", errno.EINVAL
    if size_bytes > _RING_MAX_SIZE_BYTES:
        return "ring-largest", errno.E2BIG
    if state.ring is not None:
        return "ring-once", errno.EINVAL
    return ("ring-before-vcpu", errno.EINVAL) if state.created_vcpu else None
