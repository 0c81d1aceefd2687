"""A vCPU that is attended as a VMM attends it: exits served, kept out of KVM_RUN for a while.

What ``host.runner`` does not do: MMIO is served from memory that the caller names; a KVM_RUN that
fails with EFAULT, because the process may not write what backs the slot, is made again until it
may; and the vCPU can be paused between two calls of KVM_RUN. In Python, with either backend.
"""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from ..interface import Context
from ..uapi import ExitReason
from .access import GuestCpu
from .arena import WAIT_LIMIT_S, NoProgressError, UnclaimedError
from .fds import VcpuFd
from .ioctls import MMIO, RUN_DETAIL, RUN_EXIT_REASON, RUN_IMMEDIATE_EXIT
from .kick import kick
from .runner import NAP_NS, ExitRecord, PythonRunner

_DATA = RUN_DETAIL + 8
_RETRY_S = 0.0005


class Attended(PythonRunner):
    """A vCPU thread that serves MMIO of [gpa, gpa + len(memory)) from ``memory``, if there is any.

    Without memory reads are answered with ones, and writes dropped.
    """

    def __init__(
        self, cpu: GuestCpu, regs: bytearray, sregs: bytearray, gpa: int, memory: memoryview | None
    ) -> None:
        super().__init__(cpu, regs, sregs)
        self._gpa, self._memory = gpa, memory
        self._vcpu = cpu.vcpu
        self._wanted_out = False
        self._is_out, self._may_run = threading.Event(), threading.Event()
        #: Calls of KVM_RUN that failed with EFAULT.
        self.faults = 0

    def pause(self) -> None:
        """Keep the vCPU out of KVM_RUN; it is out when this returns.

        Raises NoProgressError when it does not come out in time.
        """
        self._may_run.clear()
        self._is_out.clear()
        self._wanted_out = True
        self._vcpu.kvm_run[RUN_IMMEDIATE_EXIT] = 1
        deadline = time.monotonic() + WAIT_LIMIT_S
        while not self._is_out.is_set():
            self.check()
            if time.monotonic() > deadline:
                raise NoProgressError(f"the vCPU did not come out of KVM_RUN in {WAIT_LIMIT_S:g} s")
            kick(self.thread_id)
            self._is_out.wait(_RETRY_S)

    def resume(self) -> None:
        """Let it run again."""
        self._vcpu.kvm_run[RUN_IMMEDIATE_EXIT] = 0
        self._wanted_out = False
        self._may_run.set()

    def check(self) -> None:
        """Raise UnclaimedError when the loop has ended by itself."""
        if self.ended:
            raise UnclaimedError(f"the vCPU stopped by itself: {self.ended}")

    def _loop(self) -> None:
        try:
            while not self._stop:
                if self._wanted_out:
                    self._is_out.set()
                    self._may_run.wait()
                    continue
                if not self._enter():
                    return
        except OSError as error:
            self._ended = (0, error.errno or 0)

    def _enter(self) -> bool:
        """Call KVM_RUN once and answer what comes of it; False when there is no answer."""
        failed = -self._vcpu.run()
        self._entries += 1
        if failed == errno.EFAULT:
            self.faults += 1
            time.sleep(NAP_NS / 1e9)
            return True
        return bool(failed) or self._answer(self._vcpu)

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

    def _tell_to_stop(self) -> None:
        super()._tell_to_stop()
        self._may_run.set()


@contextmanager
def attended(
    cpu: GuestCpu, regs: bytearray, context: Context, gpa: int = 0, memory: memoryview | None = None
) -> Iterator[Attended]:
    """Let a vCPU run from ``regs`` in a thread of its own, and stop it at the end."""
    cpu.enter(context)
    cpu.vcpu.set_regs(regs)
    running = Attended(cpu, regs, cpu.sregs(context), gpa, memory)
    running.start()
    try:
        yield running
    finally:
        running.stop()
