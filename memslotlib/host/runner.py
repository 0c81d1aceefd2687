"""A vCPU that runs in a thread of its own until it is stopped, answering and counting its exits.

Two loops do the same: one in C, which never takes the interpreter's lock, and one in Python for the
backend without a compiler. MMIO reads are answered with ones, MMIO writes dropped. Before
KVM_EXIT_INTERNAL_ERROR KVM has queued #UD, which the next KVM_RUN would deliver: the loop takes it
back (KVM_SET_VCPU_EVENTS), so the guest tries the same instruction again. After KVM_EXIT_SHUTDOWN
the guest starts over.
"""

from __future__ import annotations

import errno
import threading
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass

from ..errors import MemslotError, NotRunError, errno_name
from ..uapi import ExitReason
from .access import GuestCpu
from .backend import NativeBackend
from .fds import VcpuFd, address_of
from .ioctls import INTERNAL, MMIO, REGS_RIP, RUN_DETAIL, RUN_EXIT_REASON, RUN_IMMEDIATE_EXIT
from .kick import kick

#: How many exits the log keeps; older ones are overwritten.
LOG_CAPACITY = 1 << 16
#: Pause after an exit that repeats at once: the updater needs the locks that KVM_RUN takes.
NAP_NS = 100_000
STOP_LIMIT_S = 5.0
_STOP_RETRY_S = 0.002
_ALL_ONES = b"\xff" * 8


@dataclass(frozen=True, slots=True)
class ExitRecord:
    """One exit of a running guest; ``time_ns`` is CLOCK_MONOTONIC when KVM_RUN had returned.

    ``gpa`` is what an MMIO exit accessed, and for an INTERNAL_ERROR the address of the instruction
    that KVM could not emulate (guest-virtual, which is the same here).
    """

    time_ns: int
    reason: ExitReason
    gpa: int = 0
    size_bytes: int = 0
    is_write: bool = False
    suberror: int = 0

    @property
    def name(self) -> str:
        """The reason as ``interface.Exit`` spells it."""
        return self.reason.name.lower()

    @property
    def text(self) -> str:
        """The exit in one line, for an error message."""
        how = {ExitReason.MMIO: " write" if self.is_write else " read"}.get(self.reason, "")
        return f"{self.name}{how} at {self.gpa:#x}, suberror {self.suberror}"


class Runner(ABC):
    """A vCPU thread: ``start`` it, read its counts while it runs, ``stop`` it."""

    def __init__(self, cpu: GuestCpu) -> None:
        self._cpu = cpu
        self._thread = threading.Thread(target=self._loop, name="vcpu", daemon=True)

    def start(self) -> None:
        """Let the guest run."""
        self._thread.start()

    @property
    def thread_id(self) -> int:
        """The native id of the vCPU's thread; 0 before it was started."""
        return self._thread.native_id or 0

    @property
    def cpu_seconds(self) -> float:
        """How much CPU time the vCPU's thread has had; only while it runs."""
        return time.clock_gettime(time.pthread_getcpuclockid(self._thread.ident or 0))

    def stop(self) -> None:
        """Stop the guest and wait for its thread; a second call does nothing.

        Raises MemslotError when the thread does not come back within ``STOP_LIMIT_S``.
        """
        if not self._thread.is_alive():
            return
        run = self._cpu.vcpu.kvm_run
        self._tell_to_stop()
        run[RUN_IMMEDIATE_EXIT] = 1
        deadline = time.monotonic() + STOP_LIMIT_S
        while self._thread.is_alive():
            if time.monotonic() > deadline:
                raise MemslotError(f"the vCPU thread did not stop within {STOP_LIMIT_S:g} s")
            kick(self.thread_id)
            self._thread.join(_STOP_RETRY_S)
        self._cpu.settle()

    @property
    @abstractmethod
    def exits(self) -> int:
        """How many exits were answered so far."""

    @property
    @abstractmethod
    def entries(self) -> int:
        """How often KVM_RUN returned so far."""

    def since(self, first: int) -> list[ExitRecord]:
        """Return exit number ``first`` and all that came after it, oldest first.

        Raises NotRunError when the log has overwritten some of them.
        """
        end = self.exits
        if end - first > LOG_CAPACITY:
            raise NotRunError(f"{end - first} exits, of which the log keeps {LOG_CAPACITY}")
        return [self._entry(number % LOG_CAPACITY) for number in range(first, end)]

    @property
    def ended(self) -> str:
        """Why the loop ended by itself, or an empty string."""
        reason, failed = self._end()
        if failed:
            return f"KVM_RUN: {errno_name(failed)}"
        return f"exit reason {reason}, to which there is no answer" if reason else ""

    @abstractmethod
    def _entry(self, index: int) -> ExitRecord: ...

    @abstractmethod
    def _loop(self) -> None: ...

    @abstractmethod
    def _tell_to_stop(self) -> None: ...

    @abstractmethod
    def _end(self) -> tuple[int, int]: ...


class NativeRunner(Runner):
    """The loop in C (``kvm/runner.c``)."""

    def __init__(
        self, cpu: GuestCpu, backend: NativeBackend, regs: bytearray, sregs: bytearray
    ) -> None:
        super().__init__(cpu)
        self._lib = backend.lib
        self._log = backend.ffi.new("struct ms_exit[]", LOG_CAPACITY)
        self._state = state = backend.ffi.new("struct ms_runner *")
        state.vcpu_fd = cpu.vcpu.fd
        state.run_address = address_of(cpu.vcpu.kvm_run)
        state.nap_ns = NAP_NS
        state.log, state.log_capacity = self._log, LOG_CAPACITY
        backend.ffi.memmove(state.regs, regs, len(regs))
        backend.ffi.memmove(state.sregs, sregs, len(sregs))

    @property
    def exits(self) -> int:
        """How many exits were answered so far."""
        return int(self._state.exits)

    @property
    def entries(self) -> int:
        """How often KVM_RUN returned so far."""
        return int(self._state.entries)

    def _entry(self, index: int) -> ExitRecord:
        return _record(self._log[index])

    def _loop(self) -> None:
        self._lib.ms_runner_loop(self._state)

    def _tell_to_stop(self) -> None:
        self._state.stop = 1

    def _end(self) -> tuple[int, int]:
        return int(self._state.ended_by), int(self._state.error)


class PythonRunner(Runner):
    """The same loop where there is no compiled module."""

    def __init__(self, cpu: GuestCpu, regs: bytearray, sregs: bytearray) -> None:
        super().__init__(cpu)
        self._regs, self._sregs = regs, sregs
        self._stop = False
        self._entries = 0
        self._log: list[ExitRecord] = []
        self._ended = (0, 0)
        self._exits = 0

    @property
    def exits(self) -> int:
        """How many exits were answered so far."""
        return self._exits

    @property
    def entries(self) -> int:
        """How often KVM_RUN returned so far."""
        return self._entries

    def _entry(self, index: int) -> ExitRecord:
        return self._log[index]

    def _loop(self) -> None:
        vcpu = self._cpu.vcpu
        try:
            while not self._stop:
                # Older kernels leave the last reason in place when KVM_RUN fails.
                vcpu.kvm_run[RUN_EXIT_REASON] = 0
                failed = -vcpu.run()
                self._entries += 1
                if not (self._failed(failed) if failed else self._answer(vcpu)):
                    return
        except OSError as error:
            self._ended = (0, error.errno or 0)

    def _failed(self, number: int) -> bool:
        """Whether to go on after KVM_RUN has failed with EINTR, EAGAIN or EFAULT."""
        if number == errno.EFAULT:
            self._ended = (0, number)
        return number != errno.EFAULT

    def _answer(self, vcpu: VcpuFd) -> bool:
        run = vcpu.kvm_run
        reason = run[RUN_EXIT_REASON]
        now = time.monotonic_ns()
        if reason == ExitReason.MMIO:
            gpa, _, size, is_write = MMIO.unpack_from(run, RUN_DETAIL)
            if not is_write:
                run[RUN_DETAIL + 8 : RUN_DETAIL + 16] = _ALL_ONES
            self._count(ExitRecord(now, ExitReason.MMIO, gpa, size, bool(is_write)))
        elif reason == ExitReason.INTERNAL_ERROR:
            (suberror,) = INTERNAL.unpack_from(run, RUN_DETAIL)
            rip = vcpu.get_regs()[REGS_RIP]
            self._count(ExitRecord(now, ExitReason.INTERNAL_ERROR, rip, suberror=suberror))
            vcpu.drop_exception()
            time.sleep(NAP_NS / 1e9)
        elif reason == ExitReason.SHUTDOWN:
            self._count(ExitRecord(now, ExitReason.SHUTDOWN))
            vcpu.set_sregs(self._sregs)
            vcpu.set_regs(self._regs)
            vcpu.drop_exception()
            time.sleep(NAP_NS / 1e9)
        elif reason != ExitReason.INTR:
            self._ended = (reason, 0)
            return False
        return True

    def _count(self, record: ExitRecord) -> None:
        # A slice, so that the log grows until it is full.
        index = self._exits % LOG_CAPACITY
        self._log[index : index + 1] = [record]
        self._exits += 1

    def _tell_to_stop(self) -> None:
        self._stop = True

    def _end(self) -> tuple[int, int]:
        return self._ended


def runner(cpu: GuestCpu, regs: bytearray, sregs: bytearray) -> Runner:
    """Return a runner of the vCPU's own backend, not started yet."""
    backend = cpu.vcpu.backend
    if isinstance(backend, NativeBackend):
        return NativeRunner(cpu, backend, regs, sregs)
    return PythonRunner(cpu, regs, sregs)


def _record(entry: object) -> ExitRecord:
    reason = ExitReason(entry.reason)  # type: ignore[attr-defined]
    time_ns, gpa, detail = entry.time_ns, entry.gpa, entry.detail  # type: ignore[attr-defined]
    if reason is ExitReason.MMIO:
        return ExitRecord(time_ns, reason, gpa, detail & 0xFFFF, bool(detail >> 16))
    return ExitRecord(time_ns, reason, gpa, suberror=detail)
