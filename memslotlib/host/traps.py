"""userfaultfd on memory that is there: whoever needs a page of it waits, until it is let go again.

Two ways of holding shared memory back, both of one mapping alone: another mapping of the same pages
stays open, so that userspace can work on them meanwhile.

- MINOR: madvise(MADV_DONTNEED) takes the pages out of the mapping and leaves them in the file; any
  access waits, until UFFDIO_CONTINUE maps what the file holds by then.
- WP: UFFDIO_WRITEPROTECT; a write waits, a read is served.

Source: Documentation/admin-guide/mm/userfaultfd.rst, "Minor Faults", "Write Protect Notifications".
"""

from __future__ import annotations

import ctypes
import os
from abc import abstractmethod
from struct import Struct

from ..errors import MemslotError
from .uffd import Userfault

_UFFDIO_WRITEPROTECT = 0xC018_AA06
_UFFDIO_CONTINUE = 0xC020_AA07
#: start, length, mode; CONTINUE's kernel adds how much it has mapped.
_WRITEPROTECT_ARGUMENT = Struct("<3Q")
_CONTINUE_ARGUMENT = Struct("<4Q")
_MODE_PROTECT = 1
_MADV_DONTNEED = 4

_libc = ctypes.CDLL(None, use_errno=True)
_libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]


class Trap(Userfault):
    """Memory of which accesses can be made to wait; ``wait`` tells which page is waited for.

    ``hva`` and ``size_bytes`` are pages of a shared mapping, of which the file has every page. It
    starts open. Closing lets everybody go on.

    Raises NotRunError when the kernel has no userfaultfd of this mode, or does not permit it.
    """

    @abstractmethod
    def shut(self) -> None:
        """Let accesses wait from now on; when this returns, nobody has the pages mapped."""

    @abstractmethod
    def open(self) -> None:
        """Let whoever waits go on, and nobody wait any more."""


class MinorTrap(Trap):
    """Every access waits."""

    feature = 1 << 10  # UFFD_FEATURE_MINOR_SHMEM
    mode = 4  # UFFDIO_REGISTER_MODE_MINOR

    def __init__(self, hva: int, size_bytes: int) -> None:
        super().__init__(hva, size_bytes)
        # A page that nobody has touched yet would be waited for too.
        self.shut()
        self.open()

    def shut(self) -> None:
        """Take the pages out of the mapping."""
        if _libc.madvise(*self._place, _MADV_DONTNEED):
            raise MemslotError(f"madvise: {os.strerror(ctypes.get_errno())}")

    def open(self) -> None:
        """Map what the file holds, and wake who waits for it."""
        self._call(_UFFDIO_CONTINUE, _CONTINUE_ARGUMENT.pack(*self._place, 0, 0))


class WriteTrap(Trap):
    """A write waits."""

    feature = 1 << 12  # UFFD_FEATURE_WP_HUGETLBFS_SHMEM
    mode = 2  # UFFDIO_REGISTER_MODE_WP

    def shut(self) -> None:
        """Protect the pages."""
        self._protect(_MODE_PROTECT)

    def open(self) -> None:
        """Take the protection away, and wake who waits for that."""
        self._protect(0)

    def _protect(self, mode: int) -> None:
        self._call(_UFFDIO_WRITEPROTECT, _WRITEPROTECT_ARGUMENT.pack(*self._place, mode))
