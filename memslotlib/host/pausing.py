"""Running vCPUs that can be kept out of KVM_RUN for a while: what a VMM does around its updates.

A vCPU is kicked as ``Runner.stop`` kicks it, but its thread does not end: it waits on a lock until
it may go on. Waiting is Python's, running is the loop of ``host.runner``, so a pause costs at most
what is measured here; a VMM's own may cost less.
"""

from __future__ import annotations

import threading
import time
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from ..interface import Context
from .access import GuestCpu
from .arena import NoProgressError, UnclaimedError
from .backend import NativeBackend
from .ioctls import RUN_IMMEDIATE_EXIT
from .kick import kick
from .runner import STOP_LIMIT_S, NativeRunner, PythonRunner, Runner


class Pausable(Runner):
    """A vCPU thread that can be kept out of KVM_RUN; a mixin for the runners."""

    def __init__(self, *given: object) -> None:
        super().__init__(*given)  # type: ignore[arg-type]
        self._wanted = False
        #: Whether it was waited for since it was asked, and has not been let go.
        self.is_paused = False
        self._is_out, self._may_go = threading.Semaphore(0), threading.Semaphore(0)
        #: When the vCPU came out and went in again, by CLOCK_MONOTONIC; of the last pause.
        self._out_ns = self._in_ns = 0

    @property
    def out_ns(self) -> int:
        """How long the last pause has kept the vCPU from KVM_RUN, as its own thread saw it."""
        return self._in_ns - self._out_ns

    def start(self) -> None:
        """Begin the thread, paused: the guest runs from the first :meth:`go_on`."""
        self._wanted = True
        self._tell_to_stop()
        super().start()
        self.await_out()

    def ask(self) -> None:
        """Kick the vCPU, which will not enter KVM_RUN again; :meth:`await_out` waits for that."""
        self._wanted = True
        self._tell_to_stop()
        self._cpu.vcpu.kvm_run[RUN_IMMEDIATE_EXIT] = 1
        kick(self.thread_id)

    def await_out(self) -> None:
        """Wait until the vCPU is out of KVM_RUN.

        Raises ``arena.NoProgressError`` when it does not come within ``runner.STOP_LIMIT_S``,
        ``arena.UnclaimedError`` when it has ended by itself.
        """
        if not self._is_out.acquire(timeout=STOP_LIMIT_S):
            error = UnclaimedError if self.ended else NoProgressError
            why = self.ended or "it runs on"
            raise error(f"the vCPU did not pause in {STOP_LIMIT_S:g} s: {why}")
        self.is_paused = True

    def go_on(self) -> None:
        """Let the vCPU run again; only after :meth:`await_out`."""
        self._wanted = self.is_paused = False
        self._cpu.vcpu.kvm_run[RUN_IMMEDIATE_EXIT] = 0
        self._tell_to_go()
        self._may_go.release()

    def stop(self) -> None:
        """Stop the guest, paused or not, and wait for its thread; a second call does nothing."""
        self._wanted = False
        self._tell_to_stop()
        # Where it waits it is woken, finds that it is to stop, and ends.
        self._may_go.release()
        super().stop()

    def _loop(self) -> None:
        while True:
            super()._loop()  # type: ignore[safe-super]  # the other base's
            if not self._wanted:
                return
            self._out_ns = time.monotonic_ns()
            self._is_out.release()
            self._may_go.acquire()
            self._in_ns = time.monotonic_ns()

    @abstractmethod
    def _tell_to_go(self) -> None: ...


class NativePausable(Pausable, NativeRunner):
    """With the loop in C."""

    def _tell_to_go(self) -> None:
        self._state.stop = 0


class PythonPausable(Pausable, PythonRunner):
    """With the loop in Python."""

    def _tell_to_go(self) -> None:
        self._stop = False


@contextmanager
def paused_guests(
    programs: Sequence[tuple[GuestCpu, bytearray]], context: Context
) -> Iterator[list[Pausable]]:
    """Give each vCPU a thread in which it runs from its registers; all of them paused at first."""
    with ExitStack() as later:
        running = []
        for cpu, regs in programs:
            one = _pausable(cpu, regs, context)
            later.callback(one.stop)
            one.start()
            running.append(one)
        yield running


def pause(running: Sequence[Pausable]) -> None:
    """Kick every vCPU that is not paused yet, then wait until all of them are out."""
    asked = [one for one in running if not one.is_paused]
    for one in asked:
        one.ask()
    for one in asked:
        one.await_out()


def resume(running: Sequence[Pausable]) -> None:
    """Let every vCPU run again; all of them are paused."""
    for one in running:
        one.go_on()


def _pausable(cpu: GuestCpu, regs: bytearray, context: Context) -> Pausable:
    cpu.enter(context)
    cpu.vcpu.set_regs(regs)
    backend, sregs = cpu.vcpu.backend, cpu.sregs(context)
    if isinstance(backend, NativeBackend):
        return NativePausable(cpu, backend, regs, sregs)
    return PythonPausable(cpu, regs, sregs)
