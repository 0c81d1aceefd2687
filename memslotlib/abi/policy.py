"""Where hosts differ: every fact that is not the same on each x86 kernel, under a name.

The rules of :mod:`memslotlib.abi.rules` hold everywhere. What depends on the processor, the KVM
module or the kernel's version is a field here, so that a difference between the simulator and a
real kernel is either a bug or one of these names.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..interface import Context
from ..uapi import DIRTY_RING_RESERVED_ENTRIES, PAGE_SIZE

ALL_CONTEXTS = frozenset(Context)


@dataclass(frozen=True, slots=True)
class HostPolicy:
    """The named differences between hosts.

    The defaults are one machine: Linux 6.18 on an AMD processor with nested paging (kvm_amd, npt),
    4-level page tables, 48 bits of physical address and a default VM. They were read from source
    and are unconfirmed until such a kernel has run the table of cases.

    - ``native_contexts``: contexts that run on the processor. In all others KVM interprets each
      instruction, so that every access is one of KVM's own and none faults in the MMU.
    - ``cpl3_fetch_failure``: the exit of a CPL3 guest that fetches where no memory answers.
      Upstream injects #UD, which a guest without handlers answers with a triple fault.
    - ``reads_mark_dirty``: a native load that first maps a page maps it writable, and so marks it
      dirty (two-dimensional paging does; shadow paging does only under a guest PTE with D set).
    - ``ring_reserved_entries``: entries of the dirty ring that the soft limit keeps free; a
      processor with page-modification logging adds the 512 of its own buffer.
    - ``user_address_limit``: the largest end of a userspace range that access_ok() accepts.
    - ``max_gpa_bits``: physical address bits that the MMU can map: the processor's with
      two-dimensional paging, 52 where paging is shadowed.
    - ``guest_memfd``: whether a slot of a default VM may be bound to a guest_memfd, since 6.18.
    - ``guest_memfd_flags``: flags that KVM_CREATE_GUEST_MEMFD accepts.
    - ``quirks``: the quirks that KVM_CAP_DISABLE_QUIRKS2 can switch off.

    Source: Linux 6.18, arch/x86/kvm/x86.c handle_emulation_failure(), kvm_x86_vendor_init();
    mmu.h kvm_mmu_max_gfn(); mmu/spte.c make_spte(); virt/kvm/dirty_ring.c
    kvm_dirty_ring_get_rsvd_entries(); virt/kvm/guest_memfd.c kvm_gmem_get_supported_flags();
    arch/x86/include/asm/uaccess_64.h __access_ok(); uapi/asm/kvm.h KVM_X86_QUIRK_*.

    >>> HostPolicy().cpl3_fetch_failure, HostPolicy.kvm_pvm().cpl3_fetch_failure
    ('shutdown', 'internal_error')
    >>> HostPolicy(max_gpa_bits=8)
    Traceback (most recent call last):
    ValueError: max_gpa_bits is 8, and an x86 physical address has 32 to 52 bits
    """

    native_contexts: frozenset[Context] = ALL_CONTEXTS
    cpl3_fetch_failure: str = "shutdown"
    reads_mark_dirty: bool = True
    ring_reserved_entries: int = DIRTY_RING_RESERVED_ENTRIES
    user_address_limit: int = (1 << 47) - PAGE_SIZE
    max_gpa_bits: int = 48
    guest_memfd: bool = True
    guest_memfd_flags: int = 0b11
    quirks: int = 0x3FF

    def __post_init__(self) -> None:
        if self.cpl3_fetch_failure not in ("shutdown", "internal_error"):
            raise ValueError(
                f"cpl3_fetch_failure is {self.cpl3_fetch_failure!r}: "
                "shutdown or internal_error is what a kernel answers"
            )
        if not 32 <= self.max_gpa_bits <= 52:
            raise ValueError(
                f"max_gpa_bits is {self.max_gpa_bits}, "
                "and an x86 physical address has 32 to 52 bits"
            )

    @classmethod
    def kvm_pvm(cls) -> HostPolicy:
        """Return what was measured on the out-of-tree kvm_pvm module of a Linux 6.18 host.

        It shadows paging, has no SMM, and none but CPL3 code runs on the processor.
        """
        return cls(
            native_contexts=frozenset({Context.LONG64_CPL3}),
            cpl3_fetch_failure="internal_error",
            reads_mark_dirty=False,
            max_gpa_bits=52,
            quirks=0x5FF,
        )

    @classmethod
    def of(cls, module: str) -> HostPolicy:
        """Return what a vendor module's name alone tells, as a record of another host does.

        Upstream's defaults but for kvm_pvm. The policy of a host that is there is probed instead:
        ``memslotlib.conformance.hostpolicy``.

        >>> [HostPolicy.of(name).cpl3_fetch_failure for name in ("kvm_pvm", "kvm_amd")]
        ['internal_error', 'shutdown']
        """
        return cls.kvm_pvm() if module == "kvm_pvm" else cls()
