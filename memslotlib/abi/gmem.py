"""KVM_CREATE_GUEST_MEMFD: descriptors of memory that only slots can reach."""

from __future__ import annotations

import errno

from ..errors import KvmError
from ..uapi import PAGE_SIZE
from .state import GuestMemfd, VmState

#: Descriptors 0 to 2 are the process's own files: open, and no guest memory.
STANDARD_FDS = range(3)


def create(state: VmState, size_bytes: int, flags: int) -> int:
    """Return the descriptor of a new guest_memfd, the lowest that is free.

    Raises KvmError EINVAL for an unknown flag, and for a size that is 0, negative as a signed
    64-bit number, or no multiple of the page size.

    Source: Linux 6.18, virt/kvm/guest_memfd.c kvm_gmem_create().
    """
    fields = {"size": size_bytes, "flags": flags}
    if flags & ~state.policy.guest_memfd_flags:
        raise KvmError("KVM_CREATE_GUEST_MEMFD", errno.EINVAL, fields, "gmem-flags")
    if not 0 < size_bytes < 1 << 63 or size_bytes % PAGE_SIZE:
        raise KvmError("KVM_CREATE_GUEST_MEMFD", errno.EINVAL, fields, "gmem-size")
    fd = max(state.gmem_fds, default=STANDARD_FDS[-1]) + 1
    state.gmem_fds[fd] = GuestMemfd(size_bytes, flags)
    return fd
