"""KVM_CHECK_EXTENSION and KVM_ENABLE_CAP: what the VM offers, and what is switched on."""

from __future__ import annotations

import errno
from typing import NamedTuple

from ..uapi import (
    DIRTY_RING_ENTRY_SIZE_BYTES,
    DIRTY_RING_MAX_ENTRIES,
    PAGE_SIZE,
    USER_MEM_SLOTS,
    Cap,
    ManualProtect,
)
from .ring import DirtyRing
from .rule import Rule, asked, first_broken, refusal
from .slots import Slot
from .state import FIXED_CAPS, VmState

_RING_MAX_SIZE_BYTES = DIRTY_RING_MAX_ENTRIES * DIRTY_RING_ENTRY_SIZE_BYTES


ENABLE = "KVM_ENABLE_CAP"
_CALLS = (ENABLE,)

# When a rule is asked: by the capability that is named.
_MANUAL = "MANUAL_DIRTY_LOG_PROTECT2"
_EMULATION = "EXIT_ON_EMULATION_FAILURE"
_QUIRKS = "DISABLE_QUIRKS2"
_RING = "DIRTY_LOG_RING and ..._ACQ_REL"
_UNKNOWN = "any other capability"
_POINT: dict[int, str] = {
    Cap.MANUAL_DIRTY_LOG_PROTECT2: _MANUAL,
    Cap.EXIT_ON_EMULATION_FAILURE: _EMULATION,
    Cap.DISABLE_QUIRKS2: _QUIRKS,
    Cap.DIRTY_LOG_RING: _RING,
    Cap.DIRTY_LOG_RING_ACQ_REL: _RING,
}


class CapRequest(NamedTuple):
    """A capability and the argument that it takes."""

    cap: int
    arg: int

    @property
    def ring_size_bytes(self) -> int:
        """The argument as a ring's size, of which the kernel looks at the low 32 bits."""
        return self.arg & 0xFFFF_FFFF

    def fields(self) -> dict[str, int]:
        """The fields by name, as the ioctl's structure has them."""
        return {"cap": self.cap, "args[0]": self.arg}


def _manual_options(r: CapRequest, s: VmState, old: Slot | None) -> bool:
    allowed = ManualProtect.ENABLE
    if r.arg & ManualProtect.ENABLE:
        allowed |= ManualProtect.INITIALLY_SET
    return r.arg & ~int(allowed) != 0


def _ring_too_small(r: CapRequest, s: VmState, old: Slot | None) -> bool:
    reserved_bytes = s.policy.ring_reserved_entries * DIRTY_RING_ENTRY_SIZE_BYTES
    return r.ring_size_bytes < reserved_bytes or r.ring_size_bytes < PAGE_SIZE


def _ring_ragged(r: CapRequest, s: VmState, old: Slot | None) -> bool:
    return r.ring_size_bytes == 0 or r.ring_size_bytes & (r.ring_size_bytes - 1) != 0


_GENERIC = "kvm_main.c kvm_vm_ioctl_enable_cap_generic()"
_X86 = "x86.c kvm_vm_ioctl_enable_cap()"
_ENABLE_RING = "kvm_main.c kvm_vm_ioctl_enable_dirty_log_ring()"

CAP_RULES: tuple[Rule, ...] = (
    Rule(
        "manual-options", _CALLS, _MANUAL, errno.EINVAL,
        "an option other than ENABLE, or than INITIALLY_SET together with ENABLE",
        _GENERIC,
        _manual_options,
    ),
    Rule(
        "emulation-options", _CALLS, _EMULATION, errno.EINVAL,
        "an argument other than 0 and 1",
        _X86,
        lambda r, s, old: r.arg & ~1 != 0,
    ),
    Rule(
        "quirks-known", _CALLS, _QUIRKS, errno.EINVAL,
        "a quirk that this kernel does not have",
        _X86,
        lambda r, s, old: r.arg & ~s.policy.quirks != 0,
    ),
    Rule(
        "ring-power-of-two", _CALLS, _RING, errno.EINVAL,
        "the size in bytes (the low 32 bits of the argument) is 0 or no power of two",
        _ENABLE_RING,
        _ring_ragged,
    ),
    Rule(
        "ring-smallest", _CALLS, _RING, errno.EINVAL,
        "the ring is smaller than a page, or than the entries that it keeps free",
        _ENABLE_RING,
        _ring_too_small,
    ),
    Rule(
        "ring-largest", _CALLS, _RING, errno.E2BIG,
        f"the ring has more than {DIRTY_RING_MAX_ENTRIES} entries",
        _ENABLE_RING,
        lambda r, s, old: r.ring_size_bytes > _RING_MAX_SIZE_BYTES,
    ),
    Rule(
        "ring-once", _CALLS, _RING, errno.EINVAL,
        "the VM has a ring already",
        _ENABLE_RING,
        lambda r, s, old: s.ring is not None,
    ),
    Rule(
        "ring-before-vcpu", _CALLS, _RING, errno.EINVAL,
        "the VM has a vCPU already",
        _ENABLE_RING,
        lambda r, s, old: s.created_vcpu,
    ),
    Rule(
        "cap-known", _CALLS, _UNKNOWN, errno.EINVAL,
        "a capability that the kernel cannot enable, or that the simulator does not model",
        _X86,
        lambda r, s, old: True,
    ),
)  # fmt: skip

_ASKED = {when: asked(CAP_RULES, ENABLE, when) for when in (*_POINT.values(), _UNKNOWN)}


def check_extension(state: VmState, cap: int) -> int:
    """Return what the VM says of a capability; 0 where it has none.

    A kernel with one address space does not know the question how many there are, and says 0.

    Source: Linux 6.18, virt/kvm/kvm_main.c kvm_vm_ioctl_check_extension_generic();
    arch/x86/kvm/x86.c kvm_vm_ioctl_check_extension().
    """
    smm = len(state.spaces) > 1
    answers: dict[int, int] = {
        **FIXED_CAPS,
        Cap.NR_MEMSLOTS: USER_MEM_SLOTS,
        Cap.X86_SMM: int(smm),
        Cap.MULTI_ADDRESS_SPACE: len(state.spaces) if smm else 0,
        Cap.MANUAL_DIRTY_LOG_PROTECT2: int(ManualProtect.ENABLE | ManualProtect.INITIALLY_SET),
        Cap.DIRTY_LOG_RING: _RING_MAX_SIZE_BYTES,
        Cap.DIRTY_LOG_RING_ACQ_REL: _RING_MAX_SIZE_BYTES,
        Cap.DISABLE_QUIRKS2: state.policy.quirks,
        Cap.GUEST_MEMFD: int(state.policy.guest_memfd),
        Cap.GUEST_MEMFD_FLAGS: state.policy.guest_memfd_flags,
        Cap.VM_TYPES: 1,
    }
    return answers.get(cap, 0)


def enable(state: VmState, cap: int, args: tuple[int, ...]) -> None:
    """Switch a capability on, by its first argument.

    Raises KvmError EINVAL for an unknown capability or argument, and E2BIG for a ring that is too
    large: the rules of CAP_RULES.
    """
    request = CapRequest(cap, args[0] if args else 0)
    rule = first_broken(_ASKED[_POINT.get(request.cap, _UNKNOWN)], request, state, None)
    if rule is not None:
        raise refusal(ENABLE, rule, request.fields())
    if cap == Cap.MANUAL_DIRTY_LOG_PROTECT2:
        state.manual_protect = request.arg
    elif cap == Cap.EXIT_ON_EMULATION_FAILURE:
        state.exit_on_emulation_failure = bool(request.arg)
    elif cap == Cap.DISABLE_QUIRKS2:
        state.quirks_disabled |= request.arg
    else:
        entries = request.ring_size_bytes // DIRTY_RING_ENTRY_SIZE_BYTES
        state.ring = DirtyRing(entries, state.policy.ring_reserved_entries)
