"""A vCPU thread that goes on after KVM_RUN has failed with EFAULT, and counts how it failed.

KVM_RUN fails so when KVM cannot get at the memory behind a slot. The guest's instruction pointer
stays where it was, so another KVM_RUN tries the same access again; it does so until it succeeds.
``host.runner`` takes EFAULT for the end, which it is wherever nobody takes memory away.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from struct import Struct

from ..interface import Context
from ..uapi import ExitReason
from .access import GuestCpu
from .ioctls import RUN_DETAIL, RUN_EXIT_REASON
from .runner import NAP_NS, PythonRunner
from .vm import KvmVm

#: flags, gpa, size: of KVM_EXIT_MEMORY_FAULT.
_MEMORY_FAULT = Struct("<3Q")


@dataclass(frozen=True, slots=True)
class Failure:
    """A KVM_RUN that failed with EFAULT: what it left as exit reason, and the GPA if it told."""

    exit_reason: int
    gpa: int | None


class SteadfastRunner(PythonRunner):
    """The loop in Python, which outlasts failures; ``failures`` grows with each."""

    def __init__(self, cpu: GuestCpu, regs: bytearray, sregs: bytearray) -> None:
        super().__init__(cpu, regs, sregs)
        self.failures: list[Failure] = []

    def _failed(self, number: int) -> bool:
        if number == errno.EFAULT:
            run, gpa = self._cpu.vcpu.kvm_run, None
            reason = run[RUN_EXIT_REASON]
            if reason == ExitReason.MEMORY_FAULT:
                _, gpa, _ = _MEMORY_FAULT.unpack_from(run, RUN_DETAIL)
            self.failures.append(Failure(reason, gpa))
            # A vCPU that fails over and over would keep the others off their locks.
            time.sleep(NAP_NS / 1e9)
        return True


@contextmanager
def running(vm: KvmVm, regs: bytearray, context: Context) -> Iterator[SteadfastRunner]:
    """Let the VM's guest run from ``regs`` in a thread of its own, until the block is left."""
    cpu = vm.guest()
    cpu.enter(context)
    cpu.vcpu.set_regs(regs)
    runner = SteadfastRunner(cpu, regs, cpu.sregs(context))
    runner.start()
    try:
        yield runner
    finally:
        runner.stop()
