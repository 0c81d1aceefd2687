"""How many bytes KVM_GET_DIRTY_LOG writes: the call is told where, and not how many there is room.

A slot number gets another slot, as any thread of a VMM may do while another one is about to fetch
the log of what it takes for the old slot. The buffer is far larger than either, and filled with a
pattern, so that what is written beyond is seen and does no harm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..bitmaps import size_bytes
from ..errors import KvmError
from ..uapi import PAGE_SIZE, Cap, ManualProtect
from .backend import Backend, Region
from .vm import KvmVm

_PATTERN = 0xA5


@dataclass(frozen=True, slots=True)
class Overrun:
    """What one fetch came to: pages of the number's slot before and after, and bytes written.

    ``refused`` is the errno with which KVM refused to give the slot its other size in place.
    """

    before_pages: int
    after_pages: int
    written_bytes: int
    refused: int

    @property
    def beyond_bytes(self) -> int:
        """How many bytes were written behind a buffer for the slot before."""
        return max(0, self.written_bytes - size_bytes(self.before_pages))


def overrun(
    before: Sequence[Region], calls: Sequence[Region], *, backend: Backend | None = None
) -> list[Overrun]:
    """Create slots that log, make the calls, and fetch the log of each number that is there again.

    Every bit is set (KVM_DIRTY_LOG_INITIALLY_SET), so that each whole byte written is told from
    what was there. Raises NotRunError without a usable KVM; KvmError when a call is refused.
    """
    old = {region[0]: region for region in before}
    new = {call[0]: call for call in (*before, *calls)}
    numbers = sorted(slot for slot in old if new[slot][3])
    with KvmVm(backend=backend) as vm:
        options = int(ManualProtect.ENABLE | ManualProtect.INITIALLY_SET)
        vm.enable_cap(Cap.MANUAL_DIRTY_LOG_PROTECT2, options)
        for _, _, _, size, hva in filter(lambda call: call[3], (*before, *calls)):
            vm.memory(hva, size)
        for region in before:
            vm.set_user_memory_region(*region)
        refused = [_refused(vm, old[slot], new[slot][3]) for slot in numbers]
        for call in calls:
            vm.set_user_memory_region(*call)
        return [
            Overrun(_pages(old[slot]), _pages(new[slot]), _written(vm, slot), errno)
            for slot, errno in zip(numbers, refused, strict=True)
        ]


def _refused(vm: KvmVm, region: Region, size: int) -> int:
    """Return the errno with which KVM refuses to give a slot another size in place."""
    slot, flags, gpa, _, hva = region
    try:
        vm.set_user_memory_region(slot, flags, gpa, size, hva)
    except KvmError as error:
        return error.errno or 0
    return 0


def _written(vm: KvmVm, slot: int) -> int:
    """Return up to where KVM_GET_DIRTY_LOG writes."""
    room = bytearray([_PATTERN]) * PAGE_SIZE
    vm.fetch_dirty_log(slot, room)
    return max((at + 1 for at, byte in enumerate(room) if byte != _PATTERN), default=0)


def _pages(region: Region) -> int:
    return region[3] // PAGE_SIZE
