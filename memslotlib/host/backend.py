"""How an ioctl is made: through the compiled module, or through fcntl where there is none.

Both backends return the ioctl's result, or -errno; neither raises for a refusal. The choice falls
once, at the first import of ``memslotlib.host``: ``MEMSLOTS_BACKEND`` (``cffi`` or ``ctypes``)
forces it, otherwise the compiled module is taken when it is there.
"""

from __future__ import annotations

import errno
import fcntl
import importlib.util
import os
from typing import Any, Protocol

from ..errors import NotRunError
from .ioctls import REGION, REGION2, Ioctl, packed

#: What an ioctl may be given: a number, or memory that the kernel reads and writes.
Buffer = bytearray | memoryview
#: The five fields of KVM_SET_USER_MEMORY_REGION.
Region = tuple[int, int, int, int, int]


class Backend(Protocol):
    """Result or -errno, for each way in which an ioctl is called."""

    name: str

    def ioctl(self, fd: int, request: int, value: int = 0) -> int:
        """Make an ioctl whose argument is a number."""

    def ioctl_buffer(self, fd: int, request: int, buffer: Buffer) -> int:
        """Make an ioctl whose argument is memory."""

    def set_region(self, fd: int, *region: int) -> int:
        """KVM_SET_USER_MEMORY_REGION with the five fields of its struct."""

    def set_region2(self, fd: int, *region: int) -> int:
        """KVM_SET_USER_MEMORY_REGION2 with the seven fields of its struct."""

    def bracketed(self, fd: int, words: memoryview, index: int, updates: list[Region]) -> int:
        """Make ``updates`` one after the other, words[index] odd meanwhile; 0 or -errno."""


class FcntlBackend:
    """Python's own fcntl.ioctl: no compiler, the same answers, a few per cent slower."""

    name = "ctypes"

    def ioctl(self, fd: int, request: int, value: int = 0) -> int:
        """Make an ioctl whose argument is a number."""
        return _fcntl(fd, request, value)

    def ioctl_buffer(self, fd: int, request: int, buffer: Buffer) -> int:
        """Make an ioctl whose argument is memory."""
        return _fcntl(fd, request, buffer)

    def set_region(self, fd: int, *region: int) -> int:
        """KVM_SET_USER_MEMORY_REGION with the five fields of its struct."""
        return self.ioctl_buffer(fd, Ioctl.SET_USER_MEMORY_REGION, packed(REGION, *region))

    def set_region2(self, fd: int, *region: int) -> int:
        """KVM_SET_USER_MEMORY_REGION2 with the seven fields of its struct."""
        return self.ioctl_buffer(fd, Ioctl.SET_USER_MEMORY_REGION2, packed(REGION2, *region))

    def bracketed(self, fd: int, words: memoryview, index: int, updates: list[Region]) -> int:
        """Make ``updates`` one after the other, words[index] odd meanwhile; 0 or -errno."""
        requests = [packed(REGION, *region) for region in updates]
        words[index] += 1
        try:
            for request in requests:
                result = self.ioctl_buffer(fd, Ioctl.SET_USER_MEMORY_REGION, request)
                if result:
                    return result
            return 0
        finally:
            words[index] += 1


class NativeBackend:
    """The compiled module: C packs the struct."""

    name = "cffi"

    def __init__(self, module: Any) -> None:
        self.ffi, self.lib = module.ffi, module.lib
        # Bound as they are: a Python frame around each would cost what the C call costs.
        self.ioctl = self.lib.ms_ioctl_value
        self.set_region = self.lib.ms_set_region
        self.set_region2 = self.lib.ms_set_region2

    def ioctl_buffer(self, fd: int, request: int, buffer: Buffer) -> int:
        """Make an ioctl whose argument is memory."""
        return int(self.lib.ms_ioctl_buffer(fd, request, self.ffi.from_buffer(buffer)))

    def bracketed(self, fd: int, words: memoryview, index: int, updates: list[Region]) -> int:
        """Make ``updates`` one after the other, words[index] odd meanwhile; 0 or -errno."""
        phase = self.ffi.cast("uint64_t *", self.ffi.from_buffer(words)) + index
        requests = self.ffi.new("struct ms_update[]", updates)
        return int(self.lib.ms_bracketed(fd, phase, requests, len(updates)))


def _fcntl(fd: int, request: int, argument: int | Buffer) -> int:
    if fd < 0:
        return -errno.EBADF  # Python would raise before the kernel is asked.
    try:
        result: int = fcntl.ioctl(fd, request, argument)
    except OSError as error:
        return -(error.errno or 0)
    return result


def choose(wanted: str = "") -> Backend:
    """Return the backend called ``wanted``, or the best one that is here.

    Raises NotRunError when ``cffi`` is wanted and ``memslotlib._kvm`` has not been built, or when
    there is no backend of that name.

    >>> choose("ctypes").name
    'ctypes'
    >>> choose("fortran")
    Traceback (most recent call last):
    memslotlib.errors.NotRunError: MEMSLOTS_BACKEND=fortran: neither cffi nor ctypes
    """
    if wanted not in ("", "cffi", "ctypes"):
        raise NotRunError(f"MEMSLOTS_BACKEND={wanted}: neither cffi nor ctypes")
    built = importlib.util.find_spec("memslotlib._kvm") is not None
    if wanted == "cffi" and not built:
        raise NotRunError("MEMSLOTS_BACKEND=cffi: memslotlib._kvm is not built (make native)")
    if wanted == "ctypes" or not built:
        return FcntlBackend()
    return NativeBackend(importlib.import_module("memslotlib._kvm"))


def default() -> Backend:
    """Return the backend that the environment asks for."""
    return choose(os.environ.get("MEMSLOTS_BACKEND", ""))
