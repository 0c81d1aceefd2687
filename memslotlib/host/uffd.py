"""userfaultfd: memory whose accesses wait, also those that KVM makes, until they are served.

Declared here rather than taken from linux/userfaultfd.h; x86-64 only, as all of the harness.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import select
from struct import Struct
from typing import ClassVar

from ..errors import NotRunError
from ..uapi import PAGE_SIZE

_SYS_USERFAULTFD = 323
_API = 0xAA
_EVENT_PAGEFAULT = 0x12
_UFFDIO_API = 0xC018_AA3F
_UFFDIO_REGISTER = 0xC020_AA00
_UFFDIO_ZEROPAGE = 0xC020_AA04
#: api, features, ioctls.
_API_ARGUMENT = Struct("<3Q")
#: start, length, mode, then what the kernel answers: of REGISTER and of ZEROPAGE.
_RANGE_ARGUMENT = Struct("<4Q")
#: event, then flags, address and thread of a page fault.
_MESSAGE = Struct("<B7xQQI4x")

_libc = ctypes.CDLL(None, use_errno=True)


class Userfault:
    """Pages that are waited for: whoever touches one sleeps until it is served.

    ``hva`` and ``size_bytes`` are page-aligned memory of this process that nobody has touched yet.
    Closing serves whatever is still waited for. A subclass asks for another ``feature`` and another
    ``mode`` of waiting.

    Raises NotRunError when the kernel has no userfaultfd of this mode, or does not permit it.

    Source: Documentation/admin-guide/mm/userfaultfd.rst.
    """

    #: What is asked of the kernel, and which accesses wait: UFFDIO_REGISTER_MODE_MISSING.
    feature: ClassVar[int] = 0
    mode: ClassVar[int] = 1

    def __init__(self, hva: int, size_bytes: int) -> None:
        self._place = hva, size_bytes
        self._fd = _open()
        try:
            self._call(_UFFDIO_API, _API_ARGUMENT.pack(_API, self.feature, 0))
            self._call(_UFFDIO_REGISTER, _RANGE_ARGUMENT.pack(*self._place, self.mode, 0))
        except OSError as error:
            self.close()
            why = os.strerror(error.errno or 0)
            raise NotRunError(f"userfaultfd, {type(self).__name__}: {why}") from None

    def wait(self, limit_s: float) -> int:
        """Return the page that somebody waits for, or 0 when nobody does within the limit."""
        readable, _, _ = select.select([self._fd], [], [], limit_s)
        if not readable:
            return 0
        event, _, address, _ = _MESSAGE.unpack(os.read(self._fd, _MESSAGE.size))
        return address // PAGE_SIZE * PAGE_SIZE if event == _EVENT_PAGEFAULT else 0

    def serve(self, page: int) -> None:
        """Let a page be zeroes, and whoever waits for it go on."""
        self._call(_UFFDIO_ZEROPAGE, _RANGE_ARGUMENT.pack(page, PAGE_SIZE, 0, 0))

    def close(self) -> None:
        """Serve whatever is waited for, and nothing more; a second call does nothing."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _call(self, request: int, argument: bytes) -> None:
        fcntl.ioctl(self._fd, request, bytearray(argument))


def _open() -> int:
    fd: int = _libc.syscall(_SYS_USERFAULTFD, os.O_CLOEXEC | os.O_NONBLOCK)
    if fd >= 0:
        return fd
    failed = ctypes.get_errno()
    if failed == errno.EPERM:
        why = "not permitted; root may, or everybody with sysctl vm.unprivileged_userfaultfd=1"
        raise NotRunError(f"userfaultfd: {why}")
    raise NotRunError(f"userfaultfd: {os.strerror(failed)}")
