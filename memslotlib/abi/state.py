"""What one VM holds between two calls: the state that rules read and changes are committed to."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..uapi import AS_ID_SHIFT, PAGE_SHIFT, SLOT_ID_MASK, Cap, Quirk
from .memory import HostMemory
from .mmu import Mmu
from .policy import HostPolicy
from .ring import DirtyRing
from .slots import AddressSpace, Slot

#: Flag of KVM_CREATE_GUEST_MEMFD, since Linux 6.18: userspace may map it, and the guest uses it.
GUEST_MEMFD_FLAG_MMAP = 1


@dataclass(slots=True)
class GuestMemfd:
    """A guest_memfd of this VM: its memory, and the page ranges that slots are bound to."""

    size_bytes: int
    flags: int
    memory: HostMemory = field(default_factory=HostMemory)
    bindings: dict[tuple[int, int], range] = field(default_factory=dict)

    def bound(self, pages: range) -> bool:
        """Whether any page of the range is bound to a slot already."""
        return any(
            pages.start < taken.stop and taken.start < pages.stop
            for taken in self.bindings.values()
        )


class VmState:
    """Slots, memory, dirty tracking and switches of one VM."""

    __slots__ = (
        "created_vcpu",
        "exit_on_emulation_failure",
        "gmem_fds",
        "manual_protect",
        "memory",
        "mmu",
        "policy",
        "quirks_disabled",
        "ring",
        "spaces",
        "total_pages",
    )

    def __init__(self, address_spaces: int, policy: HostPolicy) -> None:
        self.policy = policy
        self.spaces = tuple(AddressSpace(n, address_spaces) for n in range(address_spaces))
        self.memory = HostMemory()
        self.total_pages = 0
        # Where a load maps its page writable, paging is two-dimensional.
        self.mmu = Mmu(shadow=not policy.reads_mark_dirty)
        self.gmem_fds: dict[int, GuestMemfd] = {}
        self.ring: DirtyRing | None = None
        self.created_vcpu = False
        self.manual_protect = 0
        self.exit_on_emulation_failure = False
        self.quirks_disabled = 0

    def slot(self, number: int) -> Slot | None:
        """Return the slot of that number (address space in bits 31:16), or None."""
        as_id = number >> AS_ID_SHIFT
        return self.spaces[as_id].get(number & SLOT_ID_MASK) if as_id < len(self.spaces) else None

    def backing(self, slot: Slot, gpa: int, *, native: bool) -> tuple[HostMemory, int]:
        """Return the memory behind a guest-physical address of a slot, and the place in it.

        A guest_memfd that can be mapped serves the guest's own accesses, while KVM's still go to
        the slot's host address (measured on Linux 6.18; guest_memfd.c kvm_gmem_bind()).
        """
        offset = gpa - (slot.base_gfn << PAGE_SHIFT)
        if native and slot.gmem_fd:
            gmem = self.gmem_fds[slot.gmem_fd]
            if gmem.flags & GUEST_MEMFD_FLAG_MMAP:
                at = (slot.gmem_page << PAGE_SHIFT) + offset
                gmem.memory.view(at, 1)  # its pages come into being when they are touched
                return gmem.memory, at
        return self.memory, slot.hva + offset

    def check(self) -> None:
        """Assert every invariant: per address space, then what they share."""
        slots = [slot for space in self.spaces for slot in space]
        for space in self.spaces:
            space.check()
        for slot in slots:
            # A slot that logged before the ring came keeps its bitmap, unused.
            allowed = {slot.logging} if self.ring is None else {slot.logging, False}
            assert (slot.bitmap is not None) in allowed, f"slot {slot.number:#x}: bitmap"
            if slot.bitmap is not None:
                assert len(slot.bitmap) == bitmap_size_bytes(slot.npages)
                assert int.from_bytes(slot.bitmap, "little") >> slot.npages == 0
        assert self.total_pages == sum(slot.npages for slot in slots)
        bound = {(s.gmem_fd, s.as_id, s.id): s.npages for s in slots if s.gmem_fd}
        held = {
            (fd, *key): len(pages)
            for fd, gmem in self.gmem_fds.items()
            for key, pages in gmem.bindings.items()
        }
        assert bound == held, "guest_memfd bindings and slots disagree"
        for as_id, gfn in self.mmu.places():
            slot_there = self.spaces[as_id].find(gfn)
            assert slot_there is not None, f"gfn {gfn:#x} is mapped in a hole"
            assert not (self.mmu.mapped.get((as_id, gfn)) and slot_there.readonly)


def bitmap_size_bytes(npages: int) -> int:
    """Return the size of a dirty bitmap: a bit a page, padded to 64 bits.

    >>> [bitmap_size_bytes(n) for n in (1, 64, 65)]
    [8, 8, 16]
    """
    return -(-npages // 64) * 8


def quirk_zap_all(state: VmState) -> bool:
    """Whether deleting a slot drops the mappings of all others (KVM_X86_QUIRK_SLOT_ZAP_ALL)."""
    return not state.quirks_disabled & Quirk.SLOT_ZAP_ALL


#: Capability values that no host policy changes.
FIXED_CAPS: dict[int, int] = {
    Cap.USER_MEMORY: 1,
    Cap.READONLY_MEM: 1,
    Cap.IMMEDIATE_EXIT: 1,
    Cap.EXIT_ON_EMULATION_FAILURE: 1,
    Cap.USER_MEMORY2: 1,
    Cap.MEMORY_FAULT_INFO: 1,
}
