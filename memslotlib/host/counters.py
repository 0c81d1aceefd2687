"""KVM's own counters of a vCPU, by name.

Since Linux 5.14 (KVM_CAP_BINARY_STATS_FD). Source: api.rst, "KVM_GET_STATS_FD"; mmu_internal.h,
kvm_mmu_do_page_fault().
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from struct import Struct, unpack_from
from typing import Self

from ..errors import KvmError, NotRunError
from .fds import VcpuFd
from .ioctls import Ioctl

#: flags, size of a name, how many, then where the id, the descriptors and the values are.
_HEADER = Struct("<6I")
#: flags, exponent, how many values, offset among the values, bucket size; then the name.
_DESCRIPTOR = Struct("<IhHII")

EXITS = "exits"
TAKEN = "pf_taken"
#: Page faults that KVM has ended by mapping the page.
FIXED = "pf_fixed"
#: What becomes of a page fault that is not tried again.
ENDED = (FIXED, "pf_spurious", "pf_emulate", "pf_guest")


class Counters:
    """Some counters of one vCPU; open it before the vCPU runs, since KVM would wait until it stops.

    Raises NotRunError when the kernel does not count one of them, or tells of none.
    """

    def __init__(self, vcpu: VcpuFd, *names: str) -> None:
        try:
            self._fd = vcpu.call(Ioctl.GET_STATS_FD)
        except KvmError as error:
            raise NotRunError(f"KVM_CAP_BINARY_STATS_FD: {error}") from None
        try:
            places, self._at = _places(self._fd)
            self._chosen = {name: places[name] for name in names}
        except KeyError as error:
            self.close()
            raise NotRunError(f"KVM_GET_STATS_FD: this kernel does not count {error}") from None
        except BaseException:
            self.close()
            raise

    def read(self) -> Mapping[str, int]:
        """Return what each counter says now."""
        size_bytes = max(self._chosen.values()) + 8
        values = os.pread(self._fd, size_bytes, self._at)
        return {name: unpack_from("<Q", values, at)[0] for name, at in self._chosen.items()}

    def close(self) -> None:
        """Give the descriptor back; a second call does nothing."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Faults(Counters):
    """The page faults of one vCPU that KVM could not resolve.

    That an access lay inside an ioctl does not say that it met anything there; a page fault that
    KVM let the vCPU try again does: it found the slot INVALID, or the page tables given up, and
    both are so inside an update only.
    """

    def __init__(self, vcpu: VcpuFd) -> None:
        super().__init__(vcpu, TAKEN, *ENDED)

    @classmethod
    def of(cls, vcpu: VcpuFd) -> Self | None:
        """Return the counts of a vCPU, or None where the kernel does not tell of its faults."""
        try:
            return cls(vcpu)
        except NotRunError:
            return None

    @property
    def retried(self) -> int:
        """How many page faults KVM has let the vCPU try again so far."""
        said = self.read()
        return said[TAKEN] - sum(said[name] for name in ENDED)


def _places(fd: int) -> tuple[dict[str, int], int]:
    """Return where each counter is among the values, and where these begin."""
    _, name_size, count, _, descriptors, values = _HEADER.unpack(os.pread(fd, _HEADER.size, 0))
    step = _DESCRIPTOR.size + name_size
    places = {}
    for number in range(count):
        one = os.pread(fd, step, descriptors + number * step)
        name = one[_DESCRIPTOR.size :].partition(b"\0")[0].decode()
        places[name] = _DESCRIPTOR.unpack_from(one)[3]
    return places, values
