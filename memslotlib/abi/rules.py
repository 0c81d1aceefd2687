"""The rules of the memslot ioctls, as data, in the order in which the kernel checks them.

The first rule that a request breaks decides the errno. A rule without a test is one that no call
of this library can break (a failed allocation, a bad pointer): it is listed, never raised.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from ..errors import KvmError
from ..uapi import (
    MEM_MAX_NR_PAGES,
    PAGE_SHIFT,
    PAGE_SIZE,
    SLOT_ID_MASK,
    U64_MAX,
    USER_MEM_SLOTS,
    MemFlag,
)
from .slots import Slot
from .state import VmState

_OFFSET = PAGE_SIZE - 1
_GUEST_MEMFD = int(MemFlag.GUEST_MEMFD)
_V1_FLAGS = int(MemFlag.LOG_DIRTY_PAGES | MemFlag.READONLY)
_LOG_FLAG = int(MemFlag.LOG_DIRTY_PAGES)
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
        fields = self._asdict()
        del fields["ioctl"]
        if self.ioctl == V1:
            del fields["guest_memfd_offset"], fields["guest_memfd"]
        return fields


V1 = "KVM_SET_USER_MEMORY_REGION"
V2 = "KVM_SET_USER_MEMORY_REGION2"


class Change(Enum):
    """What a valid request does; KVM's enum kvm_mr_change, and NONE for a request of no effect."""

    CREATE = "create"
    DELETE = "delete"
    MOVE = "move"
    FLAGS = "flags"
    NONE = "no-op"


class Stage(Enum):
    """When a rule is asked: of every request, or only once the request is known for a change."""

    ANY = "any request"
    DELETE = "delete"
    CREATE = "create"
    MODIFY = "existing slot"
    PLACE = "create or move"
    COMMIT = "create or move, after a move has invalidated the old slot"


Test = Callable[[Region, VmState, Slot | None], bool]


@dataclass(frozen=True, slots=True)
class Rule:
    """One reason for refusal: id, errno, when it is asked, and the condition that breaks it.

    ``source_only`` marks a rule that was read in the kernel's source and that no call from
    userspace, or none on a host at hand, can confirm; the text says why.
    """

    id: str
    errno: int
    stage: Stage
    condition: str
    source: str
    broken: Test | None
    source_only: str = ""


def _flags_allowed(r: Region, s: VmState) -> int:
    if r.flags & _GUEST_MEMFD:
        return _GUEST_MEMFD
    return _V1_FLAGS


def _gmem_unbindable(r: Region, s: VmState, old: Slot | None) -> bool:
    if not r.flags & _GUEST_MEMFD:
        return False
    gmem = s.gmem_fds[r.guest_memfd]
    return r.guest_memfd_offset + r.memory_size > gmem.size_bytes


def _gmem_taken(r: Region, s: VmState, old: Slot | None) -> bool:
    if not r.flags & _GUEST_MEMFD:
        return False
    first = r.guest_memfd_offset >> PAGE_SHIFT
    return s.gmem_fds[r.guest_memfd].bound(range(first, first + r.npages))


def _overlaps(r: Region, s: VmState, old: Slot | None) -> bool:
    space = s.spaces[r.slot >> 16]
    return space.overlapping(r.base_gfn, r.npages, r.slot & SLOT_ID_MASK) is not None


_IOCTL = "kvm_main.c kvm_vm_ioctl()"
_VM_SET = "kvm_main.c kvm_vm_ioctl_set_memory_region()"
_FLAGS = "kvm_main.c check_memory_region_flags()"
_SET = "kvm_main.c kvm_set_memory_region()"
_BIND = "guest_memfd.c kvm_gmem_bind()"
_PREPARE = "x86.c kvm_arch_prepare_memory_region()"

#: Every rule of the two memslot ioctls in the order of evaluation (within a stage; the stages
#: follow each other as :class:`Stage` lists them).
RULES: tuple[Rule, ...] = (
    Rule(
        "vm-alive", errno.EIO, Stage.ANY,
        "the caller is another process than the VM's creator, or the VM is dead",
        _IOCTL, None, "a VM of this library is used by the process that made it",
    ),
    Rule(
        "readable-argument", errno.EFAULT, Stage.ANY,
        "the structure cannot be read from the caller's memory",
        _IOCTL, None, "this library always passes a readable structure",
    ),
    Rule(
        "v1-flags", errno.EINVAL, Stage.ANY,
        "KVM_SET_USER_MEMORY_REGION with a flag other than LOG_DIRTY_PAGES and READONLY",
        _IOCTL,
        lambda r, s, old: r.ioctl == V1 and r.flags & ~_V1_FLAGS != 0,
    ),
    Rule(
        "slot-id", errno.EINVAL, Stage.ANY,
        f"the slot's id (bits 15:0) is {USER_MEM_SLOTS} or more",
        _VM_SET,
        lambda r, s, old: r.slot & SLOT_ID_MASK >= USER_MEM_SLOTS,
    ),
    Rule(
        "flags", errno.EINVAL, Stage.ANY,
        "an unknown flag, or GUEST_MEMFD together with LOG_DIRTY_PAGES or READONLY",
        _FLAGS,
        lambda r, s, old: r.flags & ~_flags_allowed(r, s) != 0,
    ),
    Rule(
        "size-aligned", errno.EINVAL, Stage.ANY,
        "memory_size is not a multiple of the page size",
        _SET,
        lambda r, s, old: r.memory_size & _OFFSET != 0,
    ),
    Rule(
        "gpa-aligned", errno.EINVAL, Stage.ANY,
        "guest_phys_addr is not a multiple of the page size",
        _SET,
        lambda r, s, old: r.guest_phys_addr & _OFFSET != 0,
    ),
    Rule(
        "hva-aligned", errno.EINVAL, Stage.ANY,
        "userspace_addr is not a multiple of the page size",
        _SET,
        lambda r, s, old: r.userspace_addr & _OFFSET != 0,
    ),
    Rule(
        "hva-range", errno.EINVAL, Stage.ANY,
        "userspace_addr + memory_size leaves the addresses of userspace",
        _SET,
        lambda r, s, old: r.userspace_addr + r.memory_size > s.policy.user_address_limit,
    ),
    Rule(
        "gmem-offset", errno.EINVAL, Stage.ANY,
        "GUEST_MEMFD with an offset that is unaligned, or that wraps when the size is added",
        _SET,
        lambda r, s, old: r.flags & _GUEST_MEMFD != 0
        and (r.guest_memfd_offset & _OFFSET != 0
             or r.guest_memfd_offset + r.memory_size > U64_MAX),
    ),
    Rule(
        "as-id", errno.EINVAL, Stage.ANY,
        "the address space (bits 31:16 of the slot) does not exist",
        _SET,
        lambda r, s, old: r.slot >> 16 >= len(s.spaces),
    ),
    Rule(
        "gpa-wraps", errno.EINVAL, Stage.ANY,
        "guest_phys_addr + memory_size exceeds 64 bits",
        _SET,
        lambda r, s, old: r.guest_phys_addr + r.memory_size > U64_MAX,
    ),
    Rule(
        "page-limit", errno.EINVAL, Stage.ANY,
        f"the slot has more than {MEM_MAX_NR_PAGES} pages",
        _SET,
        lambda r, s, old: r.npages > MEM_MAX_NR_PAGES,
    ),
    Rule(
        "delete-absent", errno.EINVAL, Stage.DELETE,
        "memory_size is 0 and there is no such slot",
        _SET,
        lambda r, s, old: old is None,
    ),
    Rule(
        "page-count", errno.EIO, Stage.DELETE,
        "the VM has fewer pages than the slot to delete",
        _SET, None, "a broken kernel only: it warns",
    ),
    Rule(
        "page-sum", errno.EINVAL, Stage.CREATE,
        "the pages of all slots exceed 64 bits",
        _SET, None, "32764 slots of 2^31 pages do not reach 64 bits",
    ),
    Rule(
        "gmem-immutable", errno.EINVAL, Stage.MODIFY,
        "the request has GUEST_MEMFD: such a slot can only be deleted",
        _SET,
        lambda r, s, old: r.flags & _GUEST_MEMFD != 0,
    ),
    Rule(
        "hva-fixed", errno.EINVAL, Stage.MODIFY,
        "userspace_addr differs from the slot's",
        _SET,
        lambda r, s, old: old is not None and r.userspace_addr != old.hva,
    ),
    Rule(
        "size-fixed", errno.EINVAL, Stage.MODIFY,
        "memory_size differs from the slot's",
        _SET,
        lambda r, s, old: old is not None and r.npages != old.npages,
    ),
    Rule(
        "readonly-fixed", errno.EINVAL, Stage.MODIFY,
        "READONLY differs from the slot's",
        _SET,
        lambda r, s, old: old is not None and (r.flags ^ old.flags) & _READONLY != 0,
    ),
    Rule(
        "gmem-fixed", errno.EINVAL, Stage.MODIFY,
        "the slot has GUEST_MEMFD and the request has not",
        _SET + ", since 9935df5333aa",
        lambda r, s, old: old is not None and old.immutable,
    ),
    Rule(
        "overlap", errno.EEXIST, Stage.PLACE,
        "another slot of the address space has a frame in the range",
        _SET,
        _overlaps,
    ),
    Rule(
        "slot-memory", errno.ENOMEM, Stage.PLACE,
        "no memory for the slot",
        _SET, None, "needs a failing allocation",
    ),
    Rule(
        "gmem-open", errno.EBADF, Stage.CREATE,
        "guest_memfd is not an open descriptor",
        _BIND,
        lambda r, s, old: r.flags & _GUEST_MEMFD != 0 and r.guest_memfd not in s.gmem_fds,
    ),
    Rule(
        "gmem-range", errno.EINVAL, Stage.CREATE,
        "guest_memfd_offset + memory_size is beyond the end of the guest_memfd",
        _BIND,
        _gmem_unbindable,
    ),
    Rule(
        "gmem-bound", errno.EINVAL, Stage.CREATE,
        "a page of the guest_memfd's range is bound to a slot already",
        _BIND,
        _gmem_taken,
    ),
    Rule(
        "gpa-range", errno.EINVAL, Stage.COMMIT,
        "the last frame is beyond what the MMU can map",
        _PREPARE,
        lambda r, s, old: (r.base_gfn + r.npages - 1) >> (s.policy.max_gpa_bits - PAGE_SHIFT) != 0,
    ),
    Rule(
        "slot-metadata", errno.ENOMEM, Stage.COMMIT,
        "no memory for the dirty bitmap or the metadata of the slot",
        _PREPARE, None, "needs a failing allocation",
    ),
)  # fmt: skip

_ASKED = {
    stage: tuple(rule for rule in RULES if rule.stage is stage and rule.broken is not None)
    for stage in Stage
}


def broken_rule(stage: Stage, r: Region, s: VmState, old: Slot | None) -> Rule | None:
    """Return the first rule of a stage that the request breaks."""
    for rule in _ASKED[stage]:
        if rule.broken(r, s, old):  # type: ignore[misc]  # _ASKED holds none without a test
            return rule
    return None


def refuse(rule: Rule, r: Region) -> KvmError:
    """Return the error that names the ioctl, every field and the rule."""
    return KvmError(r.ioctl, rule.errno, r.fields(), rule.id)


def ordered(rules: Iterable[Rule] = RULES) -> list[Rule]:
    """Return the rules by stage, then by place in the table: the order of evaluation."""
    return sorted(rules, key=lambda rule: list(Stage).index(rule.stage))
