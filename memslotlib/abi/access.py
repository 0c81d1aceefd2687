"""What one guest access comes to: memory, MMIO exits, or a failure that userspace sees.

A native access faults in the MMU and is retried once the page is mapped; where the MMU finds no
memory, KVM emulates the instruction. An interpreted context is emulated from the start. Emulation
takes an access apart at page boundaries: each part is served from memory, or becomes a fragment of
the MMIO exit.

Source: Linux 6.18, arch/x86/kvm/x86.c emulator_read_write(), handle_emulation_failure();
arch/x86/kvm/mmu/mmu.c kvm_mmu_faultin_pfn().
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum

from ..interface import FETCH_STUB, Context, Exit, Fragment
from ..uapi import INTERNAL_ERROR_EMULATION, PAGE_SHIFT, PAGE_SIZE
from .dirty import mark
from .slots import Slot
from .state import VmState

_DONE = Exit("done")
_EFAULT = Exit("efault")
_RING_FULL = Exit("dirty_ring_full")


class Fault(Enum):
    """What the MMU made of a native access."""

    MAPPED = "mapped"
    EMULATE = "emulate"
    EFAULT = "efault"
    RING_FULL = "ring full"


def load(state: VmState, gpa: int, size_bytes: int, context: Context, as_id: int) -> Exit:
    """Carry out a guest's load."""
    stopped = _enter(state, gpa, size_bytes, context, as_id, is_write=False)
    if stopped is not None:
        return stopped
    data, fragments = b"", []
    for part_gpa, start, stop in _parts(gpa, size_bytes):
        held = _read(state, part_gpa, stop - start, as_id)
        if held is None:
            fragments.append(Fragment(part_gpa, stop - start, is_write=False))
            held = b"\xff" * (stop - start)
        data += held
    return Exit("mmio" if fragments else "done", data, tuple(fragments))


def store(state: VmState, gpa: int, data: bytes, context: Context, as_id: int) -> Exit:
    """Carry out a guest's store."""
    stopped = _enter(state, gpa, len(data), context, as_id, is_write=True)
    if stopped is not None:
        return stopped
    emulated = not _native(state, gpa, len(data), context, as_id)
    fragments = []
    for part_gpa, start, stop in _parts(gpa, len(data)):
        part = data[start:stop]
        if not _write(state, part_gpa, part, as_id, emulated):
            fragments.append(Fragment(part_gpa, len(part), is_write=True, data=part))
    return Exit("mmio", b"", tuple(fragments)) if fragments else _DONE


def fetch(state: VmState, gpa: int, context: Context, as_id: int) -> Exit:
    """Carry out a guest's instruction fetch of FETCH_STUB."""
    size_bytes = len(FETCH_STUB)
    stopped = _enter(state, gpa, size_bytes, context, as_id, is_write=False)
    if stopped is not None:
        return stopped
    code = [_read(state, at, stop - start, as_id) for at, start, stop in _parts(gpa, size_bytes)]
    if None in code:
        return _emulation_failure(state, context)
    found = b"".join(part for part in code if part is not None)
    if found != FETCH_STUB:
        raise ValueError(f"no FETCH_STUB at gpa {gpa:#x}: {found.hex()}")
    return _DONE


def _emulation_failure(state: VmState, context: Context) -> Exit:
    """Return the exit of an instruction that KVM could not even read."""
    if context is Context.LONG64_CPL3 and not state.exit_on_emulation_failure:
        reason = state.policy.cpl3_fetch_failure
        if reason == "shutdown":
            return Exit(reason)
    return Exit("internal_error", suberror=INTERNAL_ERROR_EMULATION)


def _parts(gpa: int, size_bytes: int) -> Iterator[tuple[int, int, int]]:
    """Yield (gpa, start, stop) of an access's parts, [start, stop) being its bytes in one page."""
    first = min(size_bytes, PAGE_SIZE - gpa % PAGE_SIZE)
    yield gpa, 0, first
    if first < size_bytes:
        yield gpa + first, first, size_bytes


def _enter(
    state: VmState, gpa: int, size_bytes: int, context: Context, as_id: int, *, is_write: bool
) -> Exit | None:
    """Enter the guest for an access; return the exit that comes before it is made, if any."""
    state.created_vcpu = True
    if state.ring is not None and state.ring.soft_full:
        return _RING_FULL
    if context not in state.policy.native_contexts:
        return None
    for part_gpa, _, _ in _parts(gpa, size_bytes):
        fault = _fault_in(state, part_gpa >> PAGE_SHIFT, as_id, is_write)
        if fault is Fault.EFAULT:
            return _EFAULT
        if fault is Fault.RING_FULL:
            return _RING_FULL
        if fault is Fault.EMULATE:
            return None
    return None


def _native(state: VmState, gpa: int, size_bytes: int, context: Context, as_id: int) -> bool:
    """Whether a store completes on the processor: every page of it is mapped writable."""
    return context in state.policy.native_contexts and all(
        state.mapped.get((as_id, at >> PAGE_SHIFT), False) for at, _, _ in _parts(gpa, size_bytes)
    )


def _fault_in(state: VmState, gfn: int, as_id: int, is_write: bool) -> Fault:
    """Map one page as a native access needs it."""
    writable = state.mapped.get((as_id, gfn))
    if writable is not None and (writable or not is_write):
        return Fault.MAPPED
    slot = state.spaces[as_id].find(gfn)
    if slot is None or (is_write and slot.readonly):
        return Fault.EMULATE
    if state.memory.load(slot.hva_of(gfn), PAGE_SIZE) is None:
        return Fault.EFAULT
    writable = not slot.readonly and (is_write or state.policy.reads_mark_dirty)
    state.mapped[as_id, gfn] = writable
    if writable:
        mark(state, slot, gfn)
        if state.ring is not None and state.ring.soft_full:
            return Fault.RING_FULL
    return Fault.MAPPED


def _read(state: VmState, gpa: int, size_bytes: int, as_id: int) -> bytes | None:
    slot = state.spaces[as_id].find(gpa >> PAGE_SHIFT)
    return None if slot is None else state.memory.load(_hva(slot, gpa), size_bytes)


def _write(state: VmState, gpa: int, data: bytes, as_id: int, emulated: bool) -> bool:
    """Write within one page; KVM's own write is marked each time, a native one when mapped."""
    slot = state.spaces[as_id].find(gpa >> PAGE_SHIFT)
    if slot is None or slot.readonly or not state.memory.store(_hva(slot, gpa), data):
        return False
    if emulated:
        mark(state, slot, gpa >> PAGE_SHIFT)
    return True


def _hva(slot: Slot, gpa: int) -> int:
    return slot.hva_of(gpa >> PAGE_SHIFT) + gpa % PAGE_SIZE
