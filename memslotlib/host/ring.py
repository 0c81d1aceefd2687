"""A vCPU's dirty ring: entries that KVM pushes and userspace harvests."""

from __future__ import annotations

import mmap
import struct

from ..uapi import PAGE_SIZE
from .ioctls import DIRTY_GFN, DIRTY_GFN_DIRTY, DIRTY_GFN_RESET, DIRTY_LOG_PAGE_OFFSET

_FLAGS = struct.Struct("<I")


class DirtyRing:
    """The mapped ring of one vCPU.

    Source: api.rst, "KVM_CAP_DIRTY_LOG_RING": userspace collects entries in order, marks each as
    harvested, and only KVM_RESET_DIRTY_RINGS protects those pages again and frees the entries.
    """

    def __init__(self, vcpu_fd: int, size_bytes: int) -> None:
        self._entries = size_bytes // DIRTY_GFN.size
        self._next = 0
        offset = DIRTY_LOG_PAGE_OFFSET * PAGE_SIZE
        self._ring = mmap.mmap(vcpu_fd, max(size_bytes, PAGE_SIZE), offset=offset)

    def reap(self) -> list[tuple[int, int]]:
        """Harvest what is there: (slot with its as_id, page offset) in order of pushing."""
        harvest: list[tuple[int, int]] = []
        while True:
            at = self._next % self._entries * DIRTY_GFN.size
            flags, slot, offset = DIRTY_GFN.unpack_from(self._ring, at)
            # Harvested but not reset entries keep the dirty bit; the ring is full of them at most.
            if not flags & DIRTY_GFN_DIRTY or flags & DIRTY_GFN_RESET:
                return harvest
            harvest.append((slot, offset))
            _FLAGS.pack_into(self._ring, at, flags | DIRTY_GFN_RESET)
            self._next += 1

    def close(self) -> None:
        """Unmap: the mapping holds the vCPU."""
        self._ring.close()
