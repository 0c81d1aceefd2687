"""A vCPU that sleeps inside KVM, and an ioctl that has to wait for it.

The vCPU reads a page of a slot of its own that nobody serves yet (userfaultfd), and so sleeps with
the SRCU read lock held. Whatever changes a slot now publishes its change and then waits for that
reader, until the page is served.

Every wait is bounded in time. Whatever ends the run, the page is served first, so that reader and
waiting ioctls return before the VM is closed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from threading import get_native_id
from typing import Any, TypeVar

from ..interface import Context, Exit
from ..uapi import PAGE_SIZE
from . import guest
from .access import GuestCpu
from .arena import WAIT_LIMIT_S, Arena, NoProgressError
from .uffd import Userfault
from .vm import KvmVm

#: The slot of the reader's pages: far from every scenario's, in every address space.
_SLOT = guest.SLOT - 1
_GPA = 0x2000_0000
_HVA = 0x2200_0000_0000
_POLL_S = 0.0005
#: Threads for the reader, the ioctl that waits for it, and one that waits for that.
_THREADS = 3

_T = TypeVar("_T")


@dataclass(frozen=True)
class Reader:
    """The vCPU that sleeps inside KVM, and the threads in which it and those that wait run."""

    cpu: GuestCpu
    pages: Userfault
    threads: ThreadPoolExecutor

    def park(self, number: int) -> tuple[int, Future[Exit]]:
        """Let it read a page that nobody has read; return the page once it is waited for."""
        reading = self.threads.submit(
            self.cpu.load, _GPA + number * PAGE_SIZE, 8, Context.LONG64_CPL3
        )
        page = self.pages.wait(WAIT_LIMIT_S)
        if not page:
            raise NoProgressError(f"the reader of page {number} did not sleep: {reading}")
        return page, reading

    def start(self, made: Arena, call: Callable[[], _T]) -> tuple[Future[_T], bool]:
        """Make a call in a thread; tell whether it fell asleep in the kernel, not returned."""
        return watched(made, self.threads, call)


@contextmanager
def reader(vm: KvmVm, pages: int) -> Iterator[Reader]:
    """Give the VM one more vCPU, which can be parked ``pages`` times.

    Raises NotRunError when the kernel has no userfaultfd or does not permit it.
    """
    size_bytes = pages * PAGE_SIZE
    vm.memory(_HVA, size_bytes)
    vm.set_user_memory_region(_SLOT, 0, _GPA, size_bytes, _HVA)
    cpu = vm.another_cpu()
    unserved = Userfault(_HVA, size_bytes)
    with ThreadPoolExecutor(_THREADS, "hold") as threads:
        try:
            yield Reader(cpu, unserved, threads)
        finally:
            # First of all: the threads, which are joined next, may be waiting for this.
            unserved.close()


def begun(threads: ThreadPoolExecutor, call: Callable[[], _T]) -> tuple[Future[_T], int]:
    """Begin a call in one of the threads, which is free; return that thread's native id as well."""
    thread_ids: SimpleQueue[int] = SimpleQueue()

    def calling() -> _T:
        thread_ids.put(get_native_id())
        return call()

    return threads.submit(calling), thread_ids.get(timeout=WAIT_LIMIT_S)


def watched(
    made: Arena, threads: ThreadPoolExecutor, call: Callable[[], _T], after_s: float = 0.0
) -> tuple[Future[_T], bool]:
    """Begin a call; tell whether it sleeps in the kernel after ``after_s``, not returned."""
    called, thread_id = begun(threads, call)
    begin = time.monotonic()

    def is_asleep() -> bool:
        return time.monotonic() > begin + after_s and sleeps(thread_id)

    made.wait(lambda: called.done() or is_asleep())
    return called, not called.done()


def sleeps(thread_id: int) -> bool:
    """Whether a thread sleeps uninterruptibly, as in an SRCU wait; and not just for a moment."""
    for _ in range(3):
        if state(thread_id) != "D":
            return False
        time.sleep(_POLL_S)
    return True


def state(thread_id: int) -> str:
    """Return the state of a thread as the kernel tells it: R runs, S and D sleep."""
    stat = Path(f"/proc/self/task/{thread_id}/stat").read_text()
    return stat.rpartition(")")[2].split()[0]


def end(future: Future[Any], what: str) -> None:
    """Wait until a thread's call has returned; NoProgressError when it does not."""
    try:
        future.result(WAIT_LIMIT_S)
    except TimeoutError as error:
        raise NoProgressError(f"{what} did not return in {WAIT_LIMIT_S:g} s") from error
