"""The rules of KVM_SET_USER_MEMORY_REGION and ...REGION2, in the order of evaluation.

The points at which rules are asked follow each other: every request, then the change that it asks
for, then, for a new place, the guest_memfd and the architecture.
"""

from __future__ import annotations

import errno
from typing import NamedTuple

from ..uapi import (
    AS_ID_SHIFT,
    MEM_MAX_NR_PAGES,
    PAGE_SHIFT,
    PAGE_SIZE,
    SLOT_ID_MASK,
    U64_MAX,
    USER_MEM_SLOTS,
    MemFlag,
)
from .gmem import STANDARD_FDS
from .rule import Rule
from .slots import Slot
from .state import VmState

V1 = "KVM_SET_USER_MEMORY_REGION"
V2 = "KVM_SET_USER_MEMORY_REGION2"
_V1_ONLY, _V2_ONLY, _BOTH = (V1,), (V2,), (V1, V2)

# When a rule is asked.
ANY = "every request"
DELETE = "size 0"
MODIFY = "existing slot"
PLACE = "create or move"
CREATE = "create"
COMMIT = "create or move, the old slot invalidated"
# Points of rules that no call of this library can break.
_INVALIDATE = "delete or move"
_PERSIST = "create, move or change of flags"
_MOVED = "move, the old slot invalidated"

_OFFSET = PAGE_SIZE - 1
_GUEST_MEMFD = int(MemFlag.GUEST_MEMFD)
_V1_FLAGS = int(MemFlag.LOG_DIRTY_PAGES | MemFlag.READONLY)
_READONLY = int(MemFlag.READONLY)


class Region(NamedTuple):
    """The fields of one KVM_SET_USER_MEMORY_REGION or ...REGION2 call, bytes throughout."""

    ioctl: str
    slot: int
    flags: int
    guest_phys_addr: int
    memory_size: int
    userspace_addr: int
    guest_memfd_offset: int = 0
    guest_memfd: int = 0

    @property
    def npages(self) -> int:
        """The size in pages."""
        return self.memory_size >> PAGE_SHIFT

    @property
    def base_gfn(self) -> int:
        """The first guest frame."""
        return self.guest_phys_addr >> PAGE_SHIFT

    def fields(self) -> dict[str, int]:
        """The fields by name, as the ioctl's structure has them."""
        names = self._fields[1 : 6 if self.ioctl == V1 else None]
        return {name: getattr(self, name) for name in names}


def _flags_unknown(r: Region, s: VmState, old: Slot | None) -> bool:
    if r.flags & _GUEST_MEMFD:
        # Neither dirty logging nor READONLY goes with a guest_memfd.
        return not s.policy.guest_memfd or r.flags != _GUEST_MEMFD
    return r.flags & ~_V1_FLAGS != 0


def _gmem_offset(r: Region, s: VmState, old: Slot | None) -> bool:
    offset = r.guest_memfd_offset
    return _binds(r) and (offset & _OFFSET != 0 or offset + r.memory_size > U64_MAX)


def _gmem_beyond(r: Region, s: VmState, old: Slot | None) -> bool:
    if not _binds(r):
        return False
    return r.guest_memfd_offset + r.memory_size > s.gmem_fds[r.guest_memfd].size_bytes


def _gmem_taken(r: Region, s: VmState, old: Slot | None) -> bool:
    if not _binds(r):
        return False
    first = r.guest_memfd_offset >> PAGE_SHIFT
    return s.gmem_fds[r.guest_memfd].bound(range(first, first + r.npages))


def _overlaps(r: Region, s: VmState, old: Slot | None) -> bool:
    space = s.spaces[r.slot >> AS_ID_SHIFT]
    return space.overlapping(r.base_gfn, r.npages, r.slot & SLOT_ID_MASK) is not None


def _beyond_mmu(r: Region, s: VmState, old: Slot | None) -> bool:
    return (r.base_gfn + r.npages - 1) >> (s.policy.max_gpa_bits - PAGE_SHIFT) != 0


def _binds(r: Region) -> bool:
    return r.flags & _GUEST_MEMFD != 0


_IOCTL = "kvm_main.c kvm_vm_ioctl()"
_VM_SET = "kvm_main.c kvm_vm_ioctl_set_memory_region()"
_FLAGS = "kvm_main.c check_memory_region_flags()"
_SET = "kvm_main.c kvm_set_memory_region()"
_BIND = "guest_memfd.c kvm_gmem_bind()"
_SET_SLOT = "kvm_main.c kvm_set_memslot()"
_PREPARE = "kvm_main.c kvm_prepare_memory_region()"
_PREPARE_X86 = "x86.c kvm_arch_prepare_memory_region()"
_FAILING = "needs a failing allocation"

#: Within one point, the order is the kernel's.
REGION_RULES: tuple[Rule, ...] = (
    Rule(
        "vm-alive", _BOTH, ANY, errno.EIO,
        "the caller is another process than the VM's creator, or the VM is dead",
        _IOCTL, None, "a VM of this library is used by the process that made it",
    ),
    Rule(
        "readable-argument", _BOTH, ANY, errno.EFAULT,
        "the structure cannot be read from the caller's memory",
        _IOCTL, None, "this library always passes a readable structure",
    ),
    Rule(
        "v1-flags", _V1_ONLY, ANY, errno.EINVAL,
        "KVM_SET_USER_MEMORY_REGION with a flag other than LOG_DIRTY_PAGES and READONLY",
        _IOCTL,
        lambda r, s, old: r.flags & ~_V1_FLAGS != 0,
    ),
    Rule(
        "slot-id", _BOTH, ANY, errno.EINVAL,
        f"the slot's id (bits 15:0) is {USER_MEM_SLOTS} or more",
        _VM_SET,
        lambda r, s, old: r.slot & SLOT_ID_MASK >= USER_MEM_SLOTS,
    ),
    Rule(
        "flags", _BOTH, ANY, errno.EINVAL,
        "a flag that this VM does not have, or GUEST_MEMFD with LOG_DIRTY_PAGES or READONLY",
        _FLAGS,
        _flags_unknown,
    ),
    Rule(
        "size-aligned", _BOTH, ANY, errno.EINVAL,
        "memory_size is not a multiple of the page size",
        _SET,
        lambda r, s, old: r.memory_size & _OFFSET != 0,
    ),
    Rule(
        "gpa-aligned", _BOTH, ANY, errno.EINVAL,
        "guest_phys_addr is not a multiple of the page size",
        _SET,
        lambda r, s, old: r.guest_phys_addr & _OFFSET != 0,
    ),
    Rule(
        "hva-aligned", _BOTH, ANY, errno.EINVAL,
        "userspace_addr is not a multiple of the page size",
        _SET,
        lambda r, s, old: r.userspace_addr & _OFFSET != 0,
    ),
    Rule(
        "hva-range", _BOTH, ANY, errno.EINVAL,
        "userspace_addr + memory_size leaves the addresses of userspace",
        _SET,
        lambda r, s, old: r.userspace_addr + r.memory_size > s.policy.user_address_limit,
    ),
    Rule(
        "gmem-offset", _V2_ONLY, ANY, errno.EINVAL,
        "GUEST_MEMFD with an offset that is unaligned, or that wraps when the size is added",
        _SET,
        _gmem_offset,
    ),
    Rule(
        "as-id", _BOTH, ANY, errno.EINVAL,
        "the address space (bits 31:16 of the slot) does not exist",
        _SET,
        lambda r, s, old: r.slot >> AS_ID_SHIFT >= len(s.spaces),
    ),
    Rule(
        "gpa-wraps", _BOTH, ANY, errno.EINVAL,
        "guest_phys_addr + memory_size exceeds 64 bits",
        _SET,
        lambda r, s, old: r.guest_phys_addr + r.memory_size > U64_MAX,
    ),
    Rule(
        "page-limit", _BOTH, ANY, errno.EINVAL,
        f"the slot has more than {MEM_MAX_NR_PAGES} pages",
        _SET,
        lambda r, s, old: r.npages > MEM_MAX_NR_PAGES,
    ),
    Rule(
        "delete-absent", _BOTH, DELETE, errno.EINVAL,
        "memory_size is 0 and there is no such slot",
        _SET,
        lambda r, s, old: old is None,
    ),
    Rule(
        "page-count", _BOTH, DELETE, errno.EIO,
        "the VM has fewer pages than the slot to delete",
        _SET, None, "a broken kernel only: it warns",
    ),
    Rule(
        "page-sum", _BOTH, CREATE, errno.EINVAL,
        "the pages of all slots exceed 64 bits",
        _SET, None, "32764 slots of 2^31 pages do not reach 64 bits",
    ),
    Rule(
        "gmem-immutable", _V2_ONLY, MODIFY, errno.EINVAL,
        "the request has GUEST_MEMFD: such a slot can only be deleted",
        _SET,
        lambda r, s, old: _binds(r),
    ),
    Rule(
        "hva-fixed", _BOTH, MODIFY, errno.EINVAL,
        "userspace_addr differs from the slot's",
        _SET,
        lambda r, s, old: old is not None and r.userspace_addr != old.hva,
    ),
    Rule(
        "size-fixed", _BOTH, MODIFY, errno.EINVAL,
        "memory_size differs from the slot's",
        _SET,
        lambda r, s, old: old is not None and r.npages != old.npages,
    ),
    Rule(
        "readonly-fixed", _BOTH, MODIFY, errno.EINVAL,
        "READONLY differs from the slot's",
        _SET,
        lambda r, s, old: old is not None and (r.flags ^ old.flags) & _READONLY != 0,
    ),
    Rule(
        "gmem-fixed", _BOTH, MODIFY, errno.EINVAL,
        "the slot has GUEST_MEMFD and the request has not",
        _SET + ", since 9935df5333aa",
        lambda r, s, old: old is not None and old.immutable,
    ),
    Rule(
        "overlap", _BOTH, PLACE, errno.EEXIST,
        "another slot of the address space has a frame in the range",
        _SET,
        _overlaps,
    ),
    Rule(
        "slot-memory", _BOTH, _PERSIST, errno.ENOMEM,
        "no memory for the slot",
        _SET, None, _FAILING,
    ),
    Rule(
        "gmem-open", _V2_ONLY, CREATE, errno.EBADF,
        "guest_memfd is not an open descriptor",
        _BIND,
        lambda r, s, old: _binds(r) and r.guest_memfd not in (*STANDARD_FDS, *s.gmem_fds),
    ),
    Rule(
        "gmem-file", _V2_ONLY, CREATE, errno.EINVAL,
        "guest_memfd is open, but no guest_memfd of this VM",
        _BIND,
        lambda r, s, old: _binds(r) and r.guest_memfd not in s.gmem_fds,
    ),
    Rule(
        "gmem-range", _V2_ONLY, CREATE, errno.EINVAL,
        "guest_memfd_offset + memory_size is beyond the end of the guest_memfd",
        _BIND,
        _gmem_beyond,
    ),
    Rule(
        "gmem-bound", _V2_ONLY, CREATE, errno.EINVAL,
        "a page of the guest_memfd's range is bound to a slot already",
        _BIND,
        _gmem_taken,
    ),
    Rule(
        "invalid-memory", _BOTH, _INVALIDATE, errno.ENOMEM,
        "no memory for the copy of the old slot that is shown as invalid",
        _SET_SLOT, None, _FAILING,
    ),
    Rule(
        "bitmap-memory", _BOTH, _PERSIST, errno.ENOMEM,
        "no memory for the dirty bitmap that LOG_DIRTY_PAGES asks for",
        _PREPARE, None, _FAILING,
    ),
    Rule(
        "move-tracked", _BOTH, _MOVED, errno.EINVAL,
        "somebody else tracks the guest's writes (KVMGT), who would not learn of the move",
        _PREPARE_X86, None, "needs a virtual GPU of an Intel host",
    ),
    Rule(
        "gpa-range", _BOTH, COMMIT, errno.EINVAL,
        "the last frame is beyond what the MMU can map",
        _PREPARE_X86,
        _beyond_mmu,
    ),
    Rule(
        "gpa-alias", _BOTH, COMMIT, errno.EINVAL,
        "the last frame has the bit that makes it the shared alias of a private one",
        _PREPARE_X86, None, "needs a TDX VM",
    ),
    Rule(
        "metadata-memory", _BOTH, COMMIT, errno.ENOMEM,
        "no memory for the reverse map, the large page counts or the write tracking of the slot",
        _PREPARE_X86, None, _FAILING,
    ),
)  # fmt: skip
