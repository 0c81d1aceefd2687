"""How many bytes KVM_GET_DIRTY_LOG writes: the call is told where, and not how many there is room.

A slot is deleted and created again with another size under the same number, as any thread of a VMM
may do while another one is about to fetch the log of what it takes for the old slot. The buffer is
far larger than either, and filled with a pattern, so that what is written beyond is seen and does
no harm.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass

from ..bitmaps import size_bytes
from ..errors import KvmError
from ..uapi import PAGE_SIZE, Cap, ManualProtect, MemFlag
from .backend import Backend
from .capabilities import DEVICE, open_kvm
from .memory import HostMemory

SLOT, GPA, HVA = 1, 0x1000_0000, 0x2000_0000_0000
_PATTERN = 0xA5
_LOG = int(MemFlag.LOG_DIRTY_PAGES)


@dataclass(frozen=True, slots=True)
class Overrun:
    """What one call came to: bytes that were there for the old slot, and bytes that were written.

    ``refused`` is the errno with which KVM refused to give the slot its other size in place.
    """

    room_bytes: int
    written_bytes: int
    refused: int

    @property
    def beyond_bytes(self) -> int:
        """How many bytes were written behind the buffer."""
        return max(0, self.written_bytes - self.room_bytes)


def overrun(before_pages: int, after_pages: int, *, backend: Backend | None = None) -> Overrun:
    """Fetch the log of a slot of ``after_pages`` into a buffer for ``before_pages``.

    Every bit is set (KVM_DIRTY_LOG_INITIALLY_SET), so that each whole byte written is told from
    what was there. Raises NotRunError without a usable KVM; KvmError when another call is refused.
    """
    with ExitStack() as later:
        # First the VM is closed, then what its slots map.
        memory = HostMemory()
        later.callback(memory.close)
        kvm = open_kvm(DEVICE, backend)
        later.callback(kvm.close)
        vm = kvm.create_vm()
        later.callback(vm.close)
        memory.view(HVA, max(before_pages, after_pages) * PAGE_SIZE)
        options = int(ManualProtect.ENABLE | ManualProtect.INITIALLY_SET)
        vm.enable_cap(Cap.MANUAL_DIRTY_LOG_PROTECT2, options)
        region = (GPA, before_pages * PAGE_SIZE, HVA)
        vm.set_user_memory_region(SLOT, _LOG, *region)
        other = (GPA, after_pages * PAGE_SIZE, HVA)
        refused = 0
        try:
            vm.set_user_memory_region(SLOT, _LOG, *other)
        except KvmError as error:
            refused = error.errno or 0
        vm.set_user_memory_region(SLOT, 0, 0, 0, 0)
        vm.set_user_memory_region(SLOT, _LOG, *other)
        room = bytearray([_PATTERN]) * (2 * size_bytes(max(before_pages, after_pages)))
        vm.get_dirty_log(SLOT, room)
        vm.set_user_memory_region(SLOT, 0, 0, 0, 0)
    written = max((at + 1 for at, byte in enumerate(room) if byte != _PATTERN), default=0)
    return Overrun(size_bytes(before_pages), written, refused)
