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
from .state import VmState

_DONE = Exit("done")


class Path(Enum):
    """How an access goes on: on the processor, in KVM's emulator, or back to userspace."""

    NATIVE = "native"
    EMULATED = "emulated"
    EFAULT = "efault"
    RING_FULL = "dirty_ring_full"


_STOPPED = {path: Exit(path.value) for path in (Path.EFAULT, Path.RING_FULL)}


def load(state: VmState, gpa: int, size_bytes: int, context: Context, as_id: int) -> Exit:
    """Carry out a guest's load."""
    path = _enter(state, gpa, size_bytes, context, as_id, is_write=False)
    if path in _STOPPED:
        return _STOPPED[path]
    data, fragments = b"", []
    for part_gpa, start, stop in _parts(gpa, size_bytes):
        held = _read(state, part_gpa, stop - start, as_id, path)
        if held is None:
            fragments.append(Fragment(part_gpa, stop - start, is_write=False))
            held = b"\xff" * (stop - start)
        data += held
    return Exit("mmio" if fragments else "done", data, tuple(fragments))


def store(state: VmState, gpa: int, data: bytes, context: Context, as_id: int) -> Exit:
    """Carry out a guest's store."""
    path = _enter(state, gpa, len(data), context, as_id, is_write=True)
    if path in _STOPPED:
        return _STOPPED[path]
    fragments = []
    for part_gpa, start, stop in _parts(gpa, len(data)):
        part = data[start:stop]
        if not _write(state, part_gpa, part, as_id, path):
            fragments.append(Fragment(part_gpa, len(part), is_write=True, data=part))
    if path is Path.EMULATED and _ring_full(state):
        # KVM's own write is not repeated: the vCPU exits before its next instruction.
        return Exit("dirty_ring_full", fragments=tuple(fragments))
    return Exit("mmio", fragments=tuple(fragments)) if fragments else _DONE


def fetch(state: VmState, gpa: int, context: Context, as_id: int) -> Exit:
    """Carry out a guest's instruction fetch of FETCH_STUB.

    Raises ValueError when memory there holds anything else.
    """
    size_bytes = len(FETCH_STUB)
    path = _enter(state, gpa, size_bytes, context, as_id, is_write=False)
    if path in _STOPPED:
        return _STOPPED[path]
    found = b""
    for part_gpa, start, stop in _parts(gpa, size_bytes):
        part = _read(state, part_gpa, stop - start, as_id, path)
        if part is None:
            return _emulation_failure(state, context)
        found += part
    if found != FETCH_STUB:
        raise ValueError(f"no FETCH_STUB at gpa {gpa:#x}: {found.hex()}")
    return _DONE


def _emulation_failure(state: VmState, context: Context) -> Exit:
    """Return the exit of an instruction that KVM could not even read."""
    injected = context is Context.LONG64_CPL3 and not state.exit_on_emulation_failure
    if injected and state.policy.cpl3_fetch_failure == "shutdown":
        return Exit("shutdown")
    return Exit("internal_error", suberror=INTERNAL_ERROR_EMULATION)


def _parts(gpa: int, size_bytes: int) -> Iterator[tuple[int, int, int]]:
    """Yield (gpa, start, stop) of an access's parts, [start, stop) being its bytes in one page."""
    first = min(size_bytes, PAGE_SIZE - gpa % PAGE_SIZE)
    yield gpa, 0, first
    if first < size_bytes:
        yield gpa + first, first, size_bytes


def _enter(
    state: VmState, gpa: int, size_bytes: int, context: Context, as_id: int, *, is_write: bool
) -> Path:
    """Enter the guest for an access, fault in what it needs, and return how it goes on."""
    state.created_vcpu = True
    if _ring_full(state):
        return Path.RING_FULL
    if context not in state.policy.native_contexts:
        return Path.EMULATED
    for part_gpa, _, _ in _parts(gpa, size_bytes):
        path = _fault_in(state, part_gpa >> PAGE_SHIFT, as_id, is_write)
        if path is not Path.NATIVE:
            return path
    return Path.NATIVE


def _fault_in(state: VmState, gfn: int, as_id: int, is_write: bool) -> Path:
    """Map one page as a native access needs it."""
    if state.mmu.serves((as_id, gfn), is_write=is_write):
        return Path.NATIVE
    slot = state.spaces[as_id].find(gfn)
    if slot is None or (is_write and slot.readonly):
        return Path.EMULATED
    memory, at = state.backing(slot, gfn << PAGE_SHIFT, native=True)
    if not memory.holds(at, PAGE_SIZE):
        return Path.EFAULT
    writable = not slot.readonly and (is_write or state.policy.reads_mark_dirty)
    state.mmu.map((as_id, gfn), writable=writable)
    if writable:
        mark(state, slot, gfn)
    return Path.RING_FULL if _ring_full(state) else Path.NATIVE


def _ring_full(state: VmState) -> bool:
    return state.ring is not None and state.ring.soft_full


def _read(state: VmState, gpa: int, size_bytes: int, as_id: int, path: Path) -> bytes | None:
    slot = state.spaces[as_id].find(gpa >> PAGE_SHIFT)
    if slot is None:
        return None
    memory, at = state.backing(slot, gpa, native=path is Path.NATIVE)
    return memory.load(at, size_bytes)


def _write(state: VmState, gpa: int, data: bytes, as_id: int, path: Path) -> bool:
    """Write within one page and say whether memory took it."""
    slot = state.spaces[as_id].find(gpa >> PAGE_SHIFT)
    if slot is None or slot.readonly:
        return False
    memory, at = state.backing(slot, gpa, native=path is Path.NATIVE)
    if not memory.store(at, data):
        return False
    if path is Path.EMULATED:
        # KVM marks each write of its own; a native one was marked when its page was mapped.
        mark(state, slot, gpa >> PAGE_SHIFT)
    return True
