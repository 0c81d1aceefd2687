"""A vCPU that is attended as a VMM attends it: exits served, kept out of KVM_RUN for a while.

It goes on after EFAULT (``host.steadfast``), which it meets when the process may not write what
backs the slot; it can be paused (``host.pausing``); and MMIO is served from memory that the caller
names. In Python, with either backend.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from ..interface import Context
from ..uapi import ExitReason
from .access import GuestCpu
from .arena import UnclaimedError
from .fds import VcpuFd
from .ioctls import MMIO, RUN_DETAIL, RUN_EXIT_REASON
from .pausing import PythonPausable
from .runner import ExitRecord
from .steadfast import SteadfastRunner

_DATA = RUN_DETAIL + 8


class Attended(PythonPausable, SteadfastRunner):
    """A vCPU thread that serves MMIO of [gpa, gpa + len(memory)) from ``memory``, if there is any.

    Without memory reads are answered with ones, and writes dropped.
    """

    def __init__(
        self, cpu: GuestCpu, regs: bytearray, sregs: bytearray, gpa: int, memory: memoryview | None
    ) -> None:
        super().__init__(cpu, regs, sregs)
        self._gpa, self._memory = gpa, memory

    def check(self) -> None:
        """Raise UnclaimedError when the loop has ended by itself."""
        if self.ended:
            raise UnclaimedError(f"the vCPU stopped by itself: {self.ended}")

    def _answer(self, vcpu: VcpuFd) -> bool:
        run = vcpu.kvm_run
        if self._memory is not None and run[RUN_EXIT_REASON] == ExitReason.MMIO:
            gpa, data, size, is_write = MMIO.unpack_from(run, RUN_DETAIL)
            at = gpa - self._gpa
            if 0 <= at <= len(self._memory) - size:
                if is_write:
                    self._memory[at : at + size] = data[:size]
                else:
                    run[_DATA : _DATA + size] = bytes(self._memory[at : at + size])
                now = time.monotonic_ns()
                self._count(ExitRecord(now, ExitReason.MMIO, gpa, size, bool(is_write)))
                return True
        return super()._answer(vcpu)


@contextmanager
def attended(
    cpu: GuestCpu, regs: bytearray, context: Context, gpa: int = 0, memory: memoryview | None = None
) -> Iterator[Attended]:
    """Let a vCPU run from ``regs`` in a thread of its own, and stop it at the end."""
    cpu.enter(context)
    cpu.vcpu.set_regs(regs)
    running = Attended(cpu, regs, cpu.sregs(context), gpa, memory)
    try:
        running.start()
        running.go_on()
        yield running
    finally:
        running.stop()
