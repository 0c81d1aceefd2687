"""userfaultfd in MINOR mode as the thing that blocks: whoever needs a page waits in the kernel.

Source: Documentation/admin-guide/mm/userfaultfd.rst of Linux 6.12: an access to a page of shared
memory without a page-table entry waits until userspace continues it. MADV_DONTNEED takes the
entries away, which KVM's MMU notifier hears of; then userspace copies through another mapping, maps
the other pages over the old ones and wakes who waits. The mmap itself finds nothing mapped.

Faults of the kernel wait like those of the guest, in KVM and in vhost, so nobody needs an exit. Who
waits is inside SRCU, and every update of memslots waits for them.
"""

from __future__ import annotations

from ..kernel import RETURN
from ..notifier import MAP, UNMAP, moved, zapped
from ..program import Program
from ..slots import Change
from ..userspace import COPY
from ..world import Policy


def update(change: Change, policy: Policy) -> Program:
    """Take the pages away, copy, map the other ones, wake."""
    return Program((*zapped(moved(change), UNMAP), COPY, MAP, RETURN), "userfaultfd")
