"""KVM's own counters of a vCPU, by name: what ``host.stats`` reads one number of.

Since Linux 5.14 (KVM_CAP_BINARY_STATS_FD). Source: api.rst, "KVM_GET_STATS_FD".
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from struct import unpack_from
from typing import Self

from ..errors import KvmError, NotRunError
from .fds import VcpuFd
from .ioctls import Ioctl

# The room's own: the layout of the descriptor is told there.
from .stats import _DESCRIPTOR, _HEADER

#: Page faults that KVM has ended by mapping the page.
FIXED = "pf_fixed"
EXITS = "exits"


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
