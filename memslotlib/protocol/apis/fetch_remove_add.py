"""One operation that fetches the bitmaps of what goes, removes it and adds what comes.

Source: Peter Xu on the QEMU series 20220816101250.1715523, August 2022: the dirty bits of a slot
that is removed are read in the same critical section. Here the slots are made INVALID and flushed
first, and the bitmap is read when nobody can set a bit in it any more.
"""

from __future__ import annotations

from ..mmu import await_kicked
from ..program import Op, Program
from ..slots import Change
from ..userspace import SEND, fetch_bitmap
from ..world import Policy
from . import wholesale


def update(change: Change, policy: Policy) -> Program:
    """As :func:`.wholesale.block_first`, with the bitmaps read after the flush."""
    blocked = wholesale.block_first(change, policy).ops
    after_flush = max(n for n, op in enumerate(blocked) if op.step is await_kicked) + 1
    fetches = [Op(fetch_bitmap, (slot.invalid,)) for slot in change.gone if slot.log]
    ops = (*blocked[:after_flush], *fetches, *blocked[after_flush:])
    return Program((*ops, *([SEND] if fetches else [])), "fetch, remove, add")
