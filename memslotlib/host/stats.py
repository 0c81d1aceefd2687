"""KVM's own counts of a vCPU: the page faults that it took, and how KVM resolved them.

Since Linux 5.14 (KVM_CAP_BINARY_STATS_FD). That an access lay inside an ioctl does not say that it
met anything there; a page fault that KVM could not resolve and let the vCPU try again does: it
found the slot INVALID, or the page tables given up, and both are so inside an update only.

Source: api.rst, "KVM_GET_STATS_FD"; mmu_internal.h, kvm_mmu_do_page_fault().
"""

from __future__ import annotations

import os
from struct import Struct, unpack_from
from typing import Self

from ..errors import KvmError
from .fds import VcpuFd
from .ioctls import Ioctl

#: flags, size of a name, how many, then where the id, the descriptors and the values are.
_HEADER = Struct("<6I")
#: flags, exponent, how many values, offset among the values, bucket size; then the name.
_DESCRIPTOR = Struct("<IhHII")
_TAKEN = "pf_taken"
#: What becomes of a fault that is not tried again.
_ENDED = ("pf_fixed", "pf_spurious", "pf_emulate", "pf_guest")


class VcpuStats:
    """Counts of one vCPU; open it before the vCPU runs, since KVM would wait until it does not."""

    def __init__(self, vcpu: VcpuFd) -> None:
        self._fd = vcpu.call(Ioctl.GET_STATS_FD)
        try:
            self._places, self._size_bytes, self._at = _layout(self._fd)
        except BaseException:
            self.close()
            raise

    @classmethod
    def of(cls, vcpu: VcpuFd) -> Self | None:
        """Return the counts of a vCPU, or None where the kernel does not tell of its faults."""
        try:
            return cls(vcpu)
        except (KvmError, LookupError):
            return None

    @property
    def retried(self) -> int:
        """How many page faults KVM has let the vCPU try again so far."""
        values = os.pread(self._fd, self._size_bytes, self._at)
        taken, *ended = (unpack_from("<Q", values, at)[0] for at in self._places)
        return int(taken - sum(ended))

    def close(self) -> None:
        """Give the descriptor back; a second call does nothing."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def _layout(fd: int) -> tuple[list[int], int, int]:
    """Return where the counts are among the values, the values' size, and where they begin.

    Raises KeyError when the kernel does not count one of them.
    """
    _, name_size, count, _, descriptors, values = _HEADER.unpack(os.pread(fd, _HEADER.size, 0))
    step = _DESCRIPTOR.size + name_size
    places = {}
    for number in range(count):
        one = os.pread(fd, step, descriptors + number * step)
        name = one[_DESCRIPTOR.size :].partition(b"\0")[0].decode()
        places[name] = _DESCRIPTOR.unpack_from(one)[3]
    chosen = [places[name] for name in (_TAKEN, *_ENDED)]
    return chosen, max(chosen) + 8, values
