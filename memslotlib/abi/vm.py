"""SimVm: one VM of the simulator, answering the calls of the real device."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from ..interface import FETCH_STUB, Context, Exit, check_reach
from . import access, caps, dirty, gmem
from .policy import HostPolicy
from .region import set_region
from .region_rules import V1, V2, Region
from .slots import Slot
from .state import VmState

_SIZES_BYTES = (1, 2, 4, 8)


class SimVm:
    """KVM's sequential contract for memslots: every call as the kernel answers it, one at a time.

    ``address_spaces`` is 2 where KVM offers SMM and 1 where not; ``policy`` names what differs
    between hosts (an upstream x86 kernel by default). A call that fails changes nothing that the
    guest or userspace can see.

    Sizes and addresses are in bytes; slots carry their address space in bits 31:16.

    Raises KvmError from each ioctl with the kernel's errno and the rule that was broken; ValueError
    for an access or a number of address spaces that no x86 VM has, and for an access that its
    context cannot address; OverflowError for a number that does not fit its field of the ioctl's
    structure.

    Source: api.rst, KVM_SET_USER_MEMORY_REGION.

    >>> from memslotlib.abi import SimVm
    >>> vm = SimVm()
    >>> vm.set_user_memory_region(0, 0, 0x1000, 0x1000, 0x2000_0000_0000)
    >>> vm.memory(0x2000_0000_0000, 4)[:] = b"RAM!"
    >>> vm.read(0x1000, 4).data
    b'RAM!'
    >>> vm.read(0x2000, 4).reason
    'mmio'
    >>> vm.set_user_memory_region(1, 0, 0x1000, 0x1000, 0x2000_0000_0000)
    Traceback (most recent call last):
    memslotlib.errors.KvmError: [Errno 17] KVM_SET_USER_MEMORY_REGION: EEXIST (File exists) \
slot=0x1 flags=0x0 guest_phys_addr=0x1000 memory_size=0x1000 userspace_addr=0x200000000000; \
rule overlap
    """

    def __init__(self, address_spaces: int = 1, policy: HostPolicy | None = None) -> None:
        if address_spaces not in (1, 2):
            raise ValueError(f"address_spaces is {address_spaces}, and an x86 VM has 1 or 2")
        self._state = VmState(address_spaces, policy if policy is not None else HostPolicy())

    def set_user_memory_region(
        self,
        slot: int,
        flags: int,
        guest_phys_addr: int,
        memory_size: int,
        userspace_addr: int,
    ) -> None:
        """KVM_SET_USER_MEMORY_REGION: create, delete (size 0), move, change flags, or nothing."""
        _fit(32, slot=slot, flags=flags)
        _fit(
            64,
            guest_phys_addr=guest_phys_addr,
            memory_size=memory_size,
            userspace_addr=userspace_addr,
        )
        request = Region(V1, slot, flags, guest_phys_addr, memory_size, userspace_addr)
        set_region(self._state, request)

    def set_user_memory_region2(
        self,
        slot: int,
        flags: int,
        guest_phys_addr: int,
        memory_size: int,
        userspace_addr: int,
        guest_memfd_offset: int = 0,
        guest_memfd: int = 0,
    ) -> None:
        """KVM_SET_USER_MEMORY_REGION2: as above, and the slot may be bound to a guest_memfd."""
        _fit(32, slot=slot, flags=flags, guest_memfd=guest_memfd)
        _fit(
            64,
            guest_phys_addr=guest_phys_addr,
            memory_size=memory_size,
            userspace_addr=userspace_addr,
            guest_memfd_offset=guest_memfd_offset,
        )
        request = Region(
            V2,
            slot,
            flags,
            guest_phys_addr,
            memory_size,
            userspace_addr,
            guest_memfd_offset,
            guest_memfd,
        )
        set_region(self._state, request)

    def create_guest_memfd(self, size: int, flags: int = 0) -> int:
        """KVM_CREATE_GUEST_MEMFD: return a new descriptor."""
        _fit(64, size=size, flags=flags)
        return gmem.create(self._state, size, flags)

    def get_dirty_log(self, slot: int) -> bytes:
        """KVM_GET_DIRTY_LOG: the bitmap; without manual protection it is cleared."""
        _fit(32, slot=slot)
        return dirty.get_log(self._state, slot)

    def clear_dirty_log(self, slot: int, first_page: int, num_pages: int, bitmap: bytes) -> None:
        """KVM_CLEAR_DIRTY_LOG: clear those bits of [first_page, first_page + num_pages)."""
        _fit(32, slot=slot, num_pages=num_pages)
        _fit(64, first_page=first_page)
        dirty.clear_log(self._state, slot, first_page, num_pages, bitmap)

    def enable_cap(self, cap: int, *args: int) -> None:
        """KVM_ENABLE_CAP on the VM."""
        _fit(32, cap=cap)
        _fit(64, **{f"args[{n}]": arg for n, arg in enumerate(args)})
        caps.enable(self._state, cap, args)

    def check_extension(self, cap: int) -> int:
        """KVM_CHECK_EXTENSION on the VM; 0 means absent."""
        return caps.check_extension(self._state, cap)

    def reap_dirty_ring(self) -> list[tuple[int, int]]:
        """Harvest the dirty ring: (slot, page offset) in order of pushing; empty without a ring."""
        ring = self._state.ring
        return [] if ring is None else ring.harvest()

    def reset_dirty_rings(self) -> int:
        """KVM_RESET_DIRTY_RINGS: how many harvested entries were taken back."""
        return dirty.reset_rings(self._state)

    def read(
        self, gpa: int, size: int, *, context: Context = Context.LONG64_CPL3, as_id: int = 0
    ) -> Exit:
        """One guest load of 1, 2, 4 or 8 bytes."""
        self._check_access(gpa, size, context, as_id)
        return access.load(self._state, gpa, size, context, as_id)

    def write(
        self, gpa: int, data: bytes, *, context: Context = Context.LONG64_CPL3, as_id: int = 0
    ) -> Exit:
        """One guest store of 1, 2, 4 or 8 bytes."""
        self._check_access(gpa, len(data), context, as_id)
        return access.store(self._state, gpa, data, context, as_id)

    def fetch(self, gpa: int, *, context: Context = Context.LONG64_CPL3, as_id: int = 0) -> Exit:
        """One guest instruction fetch; the memory there must hold ``FETCH_STUB``."""
        self._check_access(gpa, len(FETCH_STUB), context, as_id)
        return access.fetch(self._state, gpa, context, as_id)

    def memory(self, hva: int, size: int) -> memoryview:
        """The host's view of ``size`` bytes at ``hva``, mapped (zeroed) on first use."""
        return self._state.memory.view(hva, size)

    def slots(self, as_id: int = 0) -> list[Slot]:
        """The slots of an address space in order of guest frame number."""
        return list(self._state.spaces[as_id])

    def find(self, gfn: int, as_id: int = 0) -> Slot | None:
        """The slot that answers at a guest frame number, or None in a hole."""
        return self._state.spaces[as_id].find(gfn)

    def generation(self, as_id: int = 0) -> int:
        """The generation of an address space's slots."""
        return self._state.spaces[as_id].generation

    def check(self) -> None:
        """Assert every invariant of the state; tests call it after each step."""
        self._state.check()

    def close(self) -> None:
        """Delete every slot, then release what they mapped."""
        for space in self._state.spaces:
            for slot in list(space):
                self.set_user_memory_region(slot.number, 0, 0, 0, 0)
        self._state.memory.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _check_access(self, gpa: int, size_bytes: int, context: Context, as_id: int) -> None:
        if size_bytes not in _SIZES_BYTES:
            raise ValueError(f"a guest access has 1, 2, 4 or 8 bytes, not {size_bytes}")
        check_reach(gpa, size_bytes, context)
        if not 0 <= as_id < len(self._state.spaces):
            raise ValueError(f"as_id is {as_id}, and the VM has {len(self._state.spaces)}")


def _fit(bits: int, **fields: int) -> None:
    """Refuse a number that its unsigned field cannot hold, as the real call would."""
    for name, value in fields.items():
        if value >> bits:
            raise OverflowError(f"{name} {value:#x} does not fit {bits} unsigned bits")
