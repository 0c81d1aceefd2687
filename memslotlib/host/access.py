"""One guest access, driven to its end: what ``interface.Exit`` promises."""

from __future__ import annotations

import errno
import time

from ..errors import MemslotError
from ..interface import FETCH_STUB, Context, Exit, Fragment, check_reach
from ..uapi import ExitReason
from . import guest
from .fds import VcpuFd
from .ioctls import INTERNAL, IO, MMIO, RUN_DETAIL, RUN_EXIT_REASON, RUN_IMMEDIATE_EXIT
from .kick import Alarm

#: How long one access may take before the guest counts as one that never comes back.
TIME_LIMIT_S = 5.0

_ALL_ONES = b"\xff" * 8
_EXIT_PORT = FETCH_STUB[1]
_DATA_OFFSET = RUN_DETAIL + 8


class GuestTimeoutError(MemslotError, TimeoutError):
    """The guest did not come back within its time limit; it was stopped."""


class GuestCpu:
    """A vCPU that makes accesses, and the guest's own memory, which holds ``guest.image()``."""

    def __init__(self, vcpu: VcpuFd, memory: memoryview, time_limit_s: float) -> None:
        self.vcpu = vcpu
        self.memory = memory
        self.time_limit_s = time_limit_s
        with memory[guest.DIRECTORIES - guest.BASE :] as directories:
            self._large_pages = directories.cast("Q")
        initial = vcpu.get_sregs()
        self._sregs = {context: guest.sregs(context, initial) for context in Context}
        self._context: Context | None = None
        self._alarm = Alarm()

    def close(self) -> None:
        """Delete the alarm, give the vCPU back, and let go of the guest's memory."""
        self._alarm.close()
        self.vcpu.close()
        self._large_pages.release()
        self.memory.release()

    def load(self, gpa: int, size: int, context: Context) -> Exit:
        """Read ``size`` bytes into a register."""
        rip = guest.program(context, "load", size)
        seen = self._access(context, rip, gpa, size)
        if seen.reason not in ("done", "mmio"):
            return seen
        if guest.wide_through_memory(context, size):
            data = bytes(self._shared(8))
        else:
            data = self.vcpu.get_regs()[0].to_bytes(8, "little")[:size]
        return Exit(seen.reason, data, seen.fragments)

    def store(self, gpa: int, data: bytes, context: Context) -> Exit:
        """Write ``data``."""
        size = len(data)
        rip = guest.program(context, "store", size)
        if guest.wide_through_memory(context, size):
            self._shared(8)[:] = data
        return self._access(context, rip, gpa, size, int.from_bytes(data, "little"))

    def fetch(self, gpa: int, context: Context) -> Exit:
        """Execute what lies at ``gpa``."""
        return self._access(context, gpa, gpa, len(FETCH_STUB))

    def enter(self, context: Context) -> None:
        """Load the special registers of a context, unless they are loaded."""
        if context is not self._context:
            self._context = None
            self.vcpu.set_sregs(self._sregs[context])
            self._context = context

    def sregs(self, context: Context) -> bytearray:
        """Return the special registers of a context."""
        return self._sregs[context]

    def settle(self) -> None:
        """Leave a vCPU that was stopped somewhere such that it can start anything else.

        An answered MMIO exit is completed by the next KVM_RUN, which would write the registers of
        the instruction that caused it: let it do so now, and forget what it wrote.
        """
        self._context = None
        run = self.vcpu.kvm_run
        run[RUN_IMMEDIATE_EXIT] = 1
        self.vcpu.run()
        run[RUN_IMMEDIATE_EXIT] = 0
        self.vcpu.drop_exception()

    def _shared(self, size: int) -> memoryview:
        return self.memory[guest.SHARED - guest.BASE :][:size]

    def _access(self, context: Context, rip: int, gpa: int, size: int, rax: int = 0) -> Exit:
        check_reach(gpa, size, context)
        for page in {gpa >> 21, (gpa + size - 1) >> 21}:
            self._large_pages[page] &= ~guest.ENTRY_DIRTY
        self.enter(context)
        self.vcpu.set_regs(guest.regs(rip, rax=rax, rbx=gpa))
        self._alarm.arm(self.time_limit_s)
        try:
            return self._drive(time.monotonic() + self.time_limit_s)
        except BaseException:
            self.settle()
            raise
        finally:
            self._alarm.disarm()

    def _drive(self, deadline: float) -> Exit:
        """Run until the access has come to its end."""
        fragments: list[Fragment] = []
        while True:
            reason, failed = self._run()
            if reason == ExitReason.MMIO and not failed:
                fragments.append(self._answer_mmio())
            elif failed not in (errno.EINTR, errno.EAGAIN) and reason != ExitReason.INTR:
                return self._end(reason, failed, tuple(fragments))
            if time.monotonic() > deadline:
                raise GuestTimeoutError(
                    f"the guest did not come back within {self.time_limit_s:g} s"
                    f" ({len(fragments)} MMIO exits); stopped"
                )

    def _run(self) -> tuple[int, int]:
        run = self.vcpu.kvm_run
        # Older kernels leave the last reason in place when KVM_RUN fails.
        run[RUN_EXIT_REASON] = 0
        failed = -self.vcpu.run()
        return run[RUN_EXIT_REASON], failed

    def _answer_mmio(self) -> Fragment:
        run = self.vcpu.kvm_run
        gpa, data, size, is_write = MMIO.unpack_from(run, RUN_DETAIL)
        if is_write:
            return Fragment(gpa, size, True, data[:size])
        run[_DATA_OFFSET : _DATA_OFFSET + 8] = _ALL_ONES
        return Fragment(gpa, size, False)

    def _port(self) -> int:
        port: int = IO.unpack_from(self.vcpu.kvm_run, RUN_DETAIL)[2]
        return port

    def _end(self, reason: int, failed: int, fragments: tuple[Fragment, ...]) -> Exit:
        if failed:
            name = "memory_fault" if reason == ExitReason.MEMORY_FAULT else "efault"
            return Exit(name, fragments=fragments)
        if reason == ExitReason.IO and self._port() == _EXIT_PORT:
            return Exit("mmio" if fragments else "done", fragments=fragments)
        if reason == ExitReason.INTERNAL_ERROR:
            self.vcpu.drop_exception()
            (suberror,) = INTERNAL.unpack_from(self.vcpu.kvm_run, RUN_DETAIL)
            return Exit("internal_error", fragments=fragments, suberror=suberror)
        if reason == ExitReason.SHUTDOWN:
            self._context = None
            self.vcpu.drop_exception()
            return Exit("shutdown", fragments=fragments)
        if reason == ExitReason.DIRTY_RING_FULL:
            return Exit("dirty_ring_full", fragments=fragments)
        raise MemslotError(f"KVM_RUN: exit reason {reason} is none that a memory access causes")
