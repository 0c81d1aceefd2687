"""The memory behind the slots, at the addresses that an experiment names.

A literal address in a test means the same to ``SimVm`` and to the kernel. One memfd of a VM holds
all of it: the byte at address ``hva`` is the byte at file offset ``hva``. It is mapped twice: at
``hva``, for KVM, until the VM is closed; and wherever Python likes, for the views that are handed
out. So a view that outlives its VM reads old memory, never freed memory.
"""

from __future__ import annotations

import ctypes
import mmap
import os

from sortedcontainers import SortedDict

from ..errors import MemslotError
from ..uapi import PAGE_SIZE

#: Linux 4.17: refuse to map over anything, rather than replace it.
MAP_FIXED_NOREPLACE = 0x100000
_MAP_FIXED = 0x10
_MREMAP_MAYMOVE, _MREMAP_FIXED = 1, 2
_PROT_NONE = 0
_MAP_FAILED = (1 << 64) - 1
#: Views are cut from windows of this many bytes, so that many views need few mappings.
WINDOW_SIZE_BYTES = 2 << 20

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [
    ctypes.c_void_p,
    ctypes.c_size_t,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_long,
]
_libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
_libc.mremap.restype = ctypes.c_void_p
_libc.mremap.argtypes = [
    ctypes.c_void_p,
    ctypes.c_size_t,
    ctypes.c_size_t,
    ctypes.c_int,
    ctypes.c_void_p,
]


class HostMemory:
    """Shared zeroed memory at fixed addresses, mapped page by page on first use."""

    def __init__(self) -> None:
        self._fd = os.memfd_create("memslots", os.MFD_CLOEXEC)
        self._size_bytes = 0
        #: Where each mapped piece starts, and where it ends.
        self._mapped: SortedDict[int, int] = SortedDict()
        self._windows: dict[tuple[int, int], mmap.mmap] = {}

    def view(self, hva: int, size: int) -> memoryview:
        """Return ``size`` writable bytes at ``hva``.

        Raises ValueError for an empty or negative range; MemslotError when something else of this
        process lies there, or when the address is none of userspace's.

        >>> memory = HostMemory()
        >>> memory.view(0x2100_0000_0000, 2)[:] = b"hi"
        >>> bytes(memory.view(0x2100_0000_0001, 1))
        b'i'
        >>> memory.view(0, PAGE_SIZE)
        Traceback (most recent call last):
        memslotlib.errors.MemslotError: memory at [0x0, 0x1000): nothing can be mapped at 0
        >>> memory.close()
        """
        if hva < 0 or size <= 0:
            raise ValueError(f"no memory in [{hva:#x}, {hva + size:#x})")
        for start, end in self._gaps(_down(hva, PAGE_SIZE), _up(hva + size, PAGE_SIZE)):
            self._map(start, end, MAP_FIXED_NOREPLACE)
        first, last = _down(hva, WINDOW_SIZE_BYTES), _up(hva + size, WINDOW_SIZE_BYTES)
        window = self._windows.get((first, last))
        if window is None:
            window = mmap.mmap(self._fd, last - first, offset=first)
            self._windows[first, last] = window
        return memoryview(window)[hva - first : hva - first + size]

    def anywhere(self, size: int) -> int:
        """Return the address of ``size`` bytes at a place where nothing else of the process is."""
        private = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        at: int = _libc.mmap(None, size, _PROT_NONE, private, -1, 0)
        if at == _MAP_FAILED:
            raise MemslotError(f"memory of {size:#x} bytes: {os.strerror(ctypes.get_errno())}")
        # Over what was reserved just now, so that no other thread can take it in between.
        self._map(at, at + size, _MAP_FIXED)
        return at

    def remap(self, hva: int, size: int, source: int, *, by_move: bool = False) -> None:
        """Let ``hva`` show the bytes at ``source``, whole pages, in one system call.

        It is mapped all the time, by the old bytes or the new ones: mmap(MAP_FIXED) replaces the
        mapping, or, ``by_move``, mremap(MREMAP_FIXED) puts a second mapping of them in its place.
        Views stay what they are: ``hva``'s own bytes are only not mapped there any more.

        Raises MemslotError when the kernel refuses; ValueError for memory that was never mapped.
        """
        if self._gaps(hva, hva + size):
            raise ValueError(f"no memory in [{hva:#x}, {hva + size:#x}) to be replaced")
        self._reserve(_up(source + size, WINDOW_SIZE_BYTES))
        access, shared = mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED
        if by_move:
            spare = _libc.mmap(None, size, access, shared, self._fd, source)
            at = _libc.mremap(spare, size, size, _MREMAP_MAYMOVE | _MREMAP_FIXED, hva)
        else:
            at = _libc.mmap(hva, size, access, shared | _MAP_FIXED, self._fd, source)
        if at != hva:
            why = os.strerror(ctypes.get_errno())
            if by_move and spare != _MAP_FAILED:
                _libc.munmap(spare, size)
            raise MemslotError(f"memory at [{hva:#x}, {hva + size:#x}): {why}")

    def close(self) -> None:
        """Unmap; views that are still held keep their bytes."""
        for start, end in self._mapped.items():
            _libc.munmap(start, end - start)
        self._mapped.clear()
        self._windows.clear()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _gaps(self, start: int, end: int) -> list[tuple[int, int]]:
        """Return the parts of [start, end) that are not mapped yet."""
        gaps, at = [], start
        before = max(self._mapped.bisect_right(start) - 1, 0)
        for low in self._mapped.islice(before, self._mapped.bisect_left(end)):
            if low > at:
                gaps.append((at, low))
            at = max(at, self._mapped[low])
        return [*gaps, (at, end)] if at < end else gaps

    def _map(self, start: int, end: int, how: int) -> None:
        if start == 0:
            raise MemslotError(f"memory at [0x0, {end:#x}): nothing can be mapped at 0")
        self._reserve(_up(end, WINDOW_SIZE_BYTES))
        flags = mmap.MAP_SHARED | how
        access = mmap.PROT_READ | mmap.PROT_WRITE
        at = _libc.mmap(start, end - start, access, flags, self._fd, start)
        if at != start:
            why = os.strerror(ctypes.get_errno())
            raise MemslotError(f"memory at [{start:#x}, {end:#x}): {why}")
        self._mapped[start] = end

    def _reserve(self, size_bytes: int) -> None:
        """Let the file reach this far; what is not touched takes no memory."""
        if size_bytes > self._size_bytes:
            os.ftruncate(self._fd, size_bytes)
            self._size_bytes = size_bytes


def _down(value: int, unit: int) -> int:
    return value // unit * unit


def _up(value: int, unit: int) -> int:
    return -(-value // unit) * unit
