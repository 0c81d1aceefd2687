"""What the simulator and the real device both answer: one interface, one set of results.

``SimVm`` and ``KvmVm`` implement :class:`Vm` with the same results and the same errors, so one
experiment, one table of cases and one Hypothesis machine drive both.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from types import TracebackType
from typing import Protocol, Self


class Context(Enum):
    """How the guest runs while it accesses memory; the value is how tables print it."""

    REAL16 = "real16"
    PROT32 = "prot32"
    LONG64 = "long64"
    LONG64_CPL3 = "long64-cpl3"


#: Where a guest's addresses end: 32-bit segments, and what the page tables of long mode map.
REACH_BYTES = {
    Context.REAL16: 4 << 30,
    Context.PROT32: 4 << 30,
    Context.LONG64: 64 << 30,
    Context.LONG64_CPL3: 64 << 30,
}


def check_reach(gpa: int, size_bytes: int, context: Context) -> None:
    """Refuse an access that a guest in this context cannot make: it would wrap or fault.

    Raises ValueError unless [gpa, gpa + size_bytes) ends within ``REACH_BYTES``.

    >>> check_reach(0xFFFF_FFFC, 4, Context.PROT32)
    >>> check_reach(0xFFFF_FFFD, 4, Context.PROT32)
    Traceback (most recent call last):
    ValueError: gpa [0xfffffffd, 0x100000001): a prot32 guest addresses [0, 0x100000000)
    """
    if gpa < 0 or gpa + size_bytes > REACH_BYTES[context]:
        raise ValueError(
            f"gpa [{gpa:#x}, {gpa + size_bytes:#x}): a {context.value} guest addresses"
            f" [0, {REACH_BYTES[context]:#x})"
        )


class Access(Enum):
    """What a vCPU does to memory; the value names it in tests and records."""

    LOAD = "load"
    STORE = "store"
    FETCH = "fetch"


@dataclass(frozen=True, slots=True)
class Fragment:
    """One MMIO exit: the part of an access that KVM handed to userspace, 1 to 8 bytes.

    ``data`` holds the bytes written; it is empty for a read.
    """

    gpa: int
    size_bytes: int
    is_write: bool
    data: bytes = b""

    @property
    def text(self) -> str:
        """The fragment as tables print it: ``write 0x1000 = 0102``, ``read 0x1000 +8``."""
        if self.is_write:
            return f"write {self.gpa:#x} = {self.data.hex()}"
        return f"read {self.gpa:#x} +{self.size_bytes}"


@dataclass(frozen=True, slots=True)
class Exit:
    """What one guest access came to, as userspace sees it.

    The access is driven to its end: an MMIO read is answered with 0xff in every byte, then the
    vCPU runs on. ``reason`` is

    - ``done``: no exit, memory answered;
    - ``mmio``: at least one MMIO exit, listed in ``fragments`` in order;
    - ``internal_error``: KVM_EXIT_INTERNAL_ERROR, with ``suberror``;
    - ``shutdown``: the guest took a fault that it could not deliver (triple fault);
    - ``efault``: KVM_RUN itself failed with EFAULT;
    - ``memory_fault``: KVM_RUN failed with EFAULT and KVM_EXIT_MEMORY_FAULT;
    - ``dirty_ring_full``: KVM_EXIT_DIRTY_RING_FULL before the access was made.

    ``data`` is what a load left in the register (little-endian, as many bytes as were loaded);
    empty for stores and fetches, and when the load did not complete.
    """

    reason: str
    data: bytes = b""
    fragments: tuple[Fragment, ...] = ()
    suberror: int = 0

    @property
    def text(self) -> str:
        r"""The exit as tables print it.

        >>> Exit("mmio", b"\xff", (Fragment(0x1000, 1, False),)).text
        'mmio (read 0x1000 +1), data ff'
        """
        words = [self.reason]
        if self.fragments:
            words.append(f" ({', '.join(one.text for one in self.fragments)})")
        if self.data:
            words.append(f", data {self.data.hex()}")
        if self.suberror:
            words.append(f", suberror {self.suberror}")
        return "".join(words)


class Vm(Protocol):
    """The calls that both backends answer; every failing ioctl raises ``KvmError``.

    ``slot`` carries the address space in bits 31:16 and the id in bits 15:0. Sizes and addresses
    are in bytes; bitmaps are little-endian, bit 0 of byte 0 is the slot's first page, padded to a
    multiple of 64 bits. The vCPU that makes guest accesses is created by the first access; one that
    its context cannot address raises ValueError (:func:`check_reach`).
    """

    def set_user_memory_region(
        self,
        slot: int,
        flags: int,
        guest_phys_addr: int,
        memory_size: int,
        userspace_addr: int,
    ) -> None:
        """KVM_SET_USER_MEMORY_REGION."""

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
        """KVM_SET_USER_MEMORY_REGION2."""

    def create_guest_memfd(self, size: int, flags: int = 0) -> int:
        """KVM_CREATE_GUEST_MEMFD: a descriptor of this VM's guest memory."""

    def get_dirty_log(self, slot: int) -> bytes:
        """KVM_GET_DIRTY_LOG."""

    def clear_dirty_log(self, slot: int, first_page: int, num_pages: int, bitmap: bytes) -> None:
        """KVM_CLEAR_DIRTY_LOG."""

    def enable_cap(self, cap: int, *args: int) -> None:
        """KVM_ENABLE_CAP on the VM."""

    def check_extension(self, cap: int) -> int:
        """KVM_CHECK_EXTENSION on the VM; 0 means absent."""

    def reap_dirty_ring(self) -> list[tuple[int, int]]:
        """Harvest the vCPU's dirty ring: (slot with its as_id, page offset) in order of pushing."""

    def reset_dirty_rings(self) -> int:
        """KVM_RESET_DIRTY_RINGS: re-protect what was harvested; how many entries were reset."""

    def read(
        self, gpa: int, size: int, *, context: Context = Context.LONG64_CPL3, as_id: int = 0
    ) -> Exit:
        """One guest load of 1, 2, 4 or 8 bytes."""

    def write(
        self, gpa: int, data: bytes, *, context: Context = Context.LONG64_CPL3, as_id: int = 0
    ) -> Exit:
        """One guest store of 1, 2, 4 or 8 bytes."""

    def fetch(self, gpa: int, *, context: Context = Context.LONG64_CPL3, as_id: int = 0) -> Exit:
        """One guest instruction fetch; the memory there must hold ``FETCH_STUB``."""

    def memory(self, hva: int, size: int) -> memoryview:
        """The host's view of ``size`` bytes at ``hva``, mapped (zeroed) on first use."""

    def close(self) -> None:
        """Delete every slot, then release what they mapped."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


#: The two-byte instruction that :meth:`Vm.fetch` executes: ``out %al, $0xe6``, an exit to userspace
#: in every context. Both bytes are the same, so memory filled with it can be fetched from anywhere.
FETCH_STUB = bytes([0xE6, 0xE6])
