"""KVM's numbers: the flags, capabilities, limits and exit reasons that both backends speak.

Facts of ``include/uapi/linux/kvm.h`` and ``include/linux/kvm_host.h``, written down once. The
simulator reads them, the host harness passes them to ioctls; neither invents a number of its own.
"""

from enum import IntEnum, IntFlag

PAGE_SHIFT = 12
PAGE_SIZE = 1 << PAGE_SHIFT
U64_MAX = (1 << 64) - 1

#: The only API version that KVM_GET_API_VERSION has returned since Linux 2.6.22.
API_VERSION = 12

#: Slots of one address space that userspace may name on x86: SHRT_MAX less three internal ones.
USER_MEM_SLOTS = 32764
#: Every slot of one address space, internal ones included (SHRT_MAX).
MEM_SLOTS_NUM = 32767
#: Pages of one slot; the dirty bitmap is indexed by 32 bits.
MEM_MAX_NR_PAGES = (1 << 31) - 1
#: A slot number carries the address space in bits 31:16 and the id in bits 15:0.
AS_ID_SHIFT = 16
SLOT_ID_MASK = (1 << AS_ID_SHIFT) - 1

#: Dirty ring: bounds of its size, and the entries kept free of the soft limit.
DIRTY_RING_MAX_ENTRIES = 65536
DIRTY_RING_ENTRY_SIZE_BYTES = 16
DIRTY_RING_RESERVED_ENTRIES = 64
#: Entries of a processor's own buffer of written pages (page-modification logging, Intel).
PML_ENTRIES = 512


class MemFlag(IntFlag):
    """Flags of a user memory region."""

    LOG_DIRTY_PAGES = 1 << 0
    READONLY = 1 << 1
    GUEST_MEMFD = 1 << 2


class Cap(IntEnum):
    """Capabilities, by the kernel's number (KVM_CAP_*)."""

    USER_MEMORY = 3
    NR_MEMSLOTS = 10
    READONLY_MEM = 81
    X86_SMM = 117
    MULTI_ADDRESS_SPACE = 118
    IMMEDIATE_EXIT = 136
    MANUAL_DIRTY_LOG_PROTECT2 = 168
    DIRTY_LOG_RING = 192
    EXIT_ON_EMULATION_FAILURE = 204
    DISABLE_QUIRKS2 = 213
    DIRTY_LOG_RING_ACQ_REL = 223
    DIRTY_LOG_RING_WITH_BITMAP = 225
    USER_MEMORY2 = 231
    MEMORY_FAULT_INFO = 232
    MEMORY_ATTRIBUTES = 233
    GUEST_MEMFD = 234
    VM_TYPES = 235
    PRE_FAULT_MEMORY = 236
    GUEST_MEMFD_FLAGS = 244


class ManualProtect(IntFlag):
    """Argument of KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2."""

    ENABLE = 1 << 0
    INITIALLY_SET = 1 << 1


class Quirk(IntFlag):
    """Argument of KVM_CAP_DISABLE_QUIRKS2: KVM_X86_QUIRK_*."""

    #: Since Linux 6.12; without it a deleted slot takes only its own mappings along.
    SLOT_ZAP_ALL = 1 << 7


class ExitReason(IntEnum):
    """The exit reasons of ``kvm_run`` that a memslot experiment meets (KVM_EXIT_*)."""

    UNKNOWN = 0
    EXCEPTION = 1
    IO = 2
    DEBUG = 4
    HLT = 5
    MMIO = 6
    SHUTDOWN = 8
    FAIL_ENTRY = 9
    INTR = 10
    INTERNAL_ERROR = 17
    DIRTY_RING_FULL = 31
    MEMORY_FAULT = 39


#: ``kvm_run.internal.suberror`` of an instruction that KVM could not emulate.
INTERNAL_ERROR_EMULATION = 1
