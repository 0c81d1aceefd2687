"""The guest: where its own things lie, how it runs in each context, and what it executes.

Everything of the guest's own is in one slot that no experiment uses: id 32763 of address space 0,
guest-physical [0xE0000000, 0xE0100000). Guest-virtual and guest-physical addresses are the same in
every context: flat segments, and page tables that map the first 64 GiB onto themselves.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from struct import pack

from ..interface import FETCH_STUB, Context
from ..uapi import USER_MEM_SLOTS
from .ioctls import CONTROL, REGS, SEGMENT, TABLE, packed

#: The highest id that userspace may use.
SLOT = USER_MEM_SLOTS - 1
BASE = 0xE000_0000
SIZE_BYTES = 0x10_0000

GDT = BASE
CODE = BASE + 0x1000
#: Where a program that does not end is put.
LOOP = CODE + 0x800
#: Words that a program and the host share.
SHARED = BASE + 0x2000
STACK_TOP = BASE + 0x4000
PML4 = BASE + 0x4000
PDPT = BASE + 0x5000
DIRECTORIES = BASE + 0x6000
MAPPED_GIB = 64
#: A task-state segment whose I/O permission bitmap allows every port up to 0x7000, so that CPL3 can
#: execute ``out``, which is how a guest comes back to us. IOPL 3 alone would do on hardware, but
#: kvm_pvm keeps IOPL at 0 while CPL3 runs natively and asks the bitmap.
TSS = DIRECTORIES + MAPPED_GIB * 0x1000
_TSS_SIZE_BYTES = 0x1000
_TSS_BITMAP_OFFSET = 104

#: Present, writable, for CPL3 too, accessed. Without D a read maps nothing writable: under shadow
#: paging a guest entry with D set would let a read mark the page dirty.
_TABLE_ENTRY = 0x27
_LARGE_PAGE_ENTRY = _TABLE_ENTRY | 0x80
ENTRY_DIRTY = 0x40

_LONG = (Context.LONG64, Context.LONG64_CPL3)
_EFER_LME_LMA = 0x500
_CR0_PE = 0x1
#: PE MP ET NE WP AM PG.
_CR0_LONG = 0x8005_0033
#: CD NW ET: as after reset.
_CR0_REAL = 0x6000_0010
_CR4_PAE = 0x20
#: Bit 1 is always set.
_RFLAGS = 0x2

_FLAT_LIMIT = 0xFFFF_FFFF
_CODE_TYPE, _DATA_TYPE, _BUSY_TSS_TYPE = 11, 3, 11
_HIGH_REGISTERS = tuple(f"r{i}" for i in range(8, 16))
_SELECTORS = {
    Context.REAL16: (0, 0),
    Context.PROT32: (0x28, 0x10),
    Context.LONG64: (0x08, 0x10),
    Context.LONG64_CPL3: (0x1B, 0x23),
}


def image() -> Iterable[tuple[int, bytes]]:
    """Yield what the guest's own memory starts with: (guest-physical address, bytes)."""
    yield GDT, _gdt()
    yield TSS + 102, pack("<H", _TSS_BITMAP_OFFSET)
    yield PML4, pack("<Q", PDPT | _TABLE_ENTRY)
    yield PDPT, _entries(DIRECTORIES, MAPPED_GIB, 0x1000, _TABLE_ENTRY)
    yield DIRECTORIES, _entries(0, MAPPED_GIB * 512, 1 << 21, _LARGE_PAGE_ENTRY)
    yield from _access_programs().values()


@cache
def _entries(first: int, count: int, step: int, flags: int) -> bytes:
    return b"".join(pack("<Q", (first + i * step) | flags) for i in range(count))


def _gdt() -> bytes:
    code64, data, code32 = 0x00AF9B000000FFFF, 0x00CF93000000FFFF, 0x00CF9B000000FFFF
    dpl3 = 3 << 45
    return pack("<6Q", 0, code64, data, code64 | dpl3, data | dpl3, code32)


def sregs(context: Context, initial: bytes | bytearray) -> bytearray:
    """Return the special registers of a context; ``initial`` supplies LDT and the APIC base."""
    code, data = _segments(context)
    task = packed(SEGMENT, TSS, _TSS_SIZE_BYTES - 1, 0, _BUSY_TSS_TYPE, 1, 0, 0, 0, 0, 0, 0, 0, 0)
    ldt = bytes(initial[7 * SEGMENT.size : 8 * SEGMENT.size])
    apic_base = CONTROL.unpack_from(initial, 8 * SEGMENT.size + 2 * TABLE.size)[-1]
    tables = packed(TABLE, GDT, len(_gdt()) - 1) + packed(TABLE, 0, 0)
    return code + data * 5 + task + ldt + tables + packed(CONTROL, *_control(context), apic_base)


def _segments(context: Context) -> tuple[bytearray, bytearray]:
    code_selector, data_selector = _SELECTORS[context]
    long = context in _LONG
    dpl = 3 if context is Context.LONG64_CPL3 else 0

    def segment(selector: int, kind: int, db: int, l: int) -> bytearray:  # noqa: E741
        return packed(SEGMENT, 0, _FLAT_LIMIT, selector, kind, 1, dpl, db, 1, l, 1, 0, 0, 0)

    wide = int(context is Context.PROT32)
    return (
        segment(code_selector, _CODE_TYPE, wide, int(long)),
        # In real mode, too, the stack pointer has 32 bits: the stack lies beyond 64 KiB.
        segment(data_selector, _DATA_TYPE, 1, 0),
    )


def _control(context: Context) -> tuple[int, ...]:
    """Return cr0, cr2, cr3, cr4, cr8 and efer."""
    if context in _LONG:
        return (_CR0_LONG, 0, PML4, _CR4_PAE, 0, _EFER_LME_LMA)
    return (_CR0_REAL | (_CR0_PE if context is Context.PROT32 else 0), 0, 0, 0, 0, 0)


def regs(rip: int, **named: int) -> bytearray:
    """Return the general registers with which a program starts; those not named are 0.

    rsi holds the address of the shared words, rsp the top of the stack.
    """
    names = ("rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rsp", "rbp", *_HIGH_REGISTERS)
    values = {"rsi": SHARED, "rsp": STACK_TOP} | named
    return packed(REGS, *(values.get(name, 0) for name in names), rip, _RFLAGS)


# One access: rbx holds its address, rax the bytes to store. Eight bytes outside long mode go
# through an MMX register and the shared words, as no general register is that wide.
# A 0x67 prefix makes addresses 32 bits wide in real mode; 0x66 switches the operand's width.
_LOADS = {
    1: "8a 03",  # mov (%rbx), %al
    2: "66 8b 03",  # mov (%rbx), %ax
    4: "8b 03",  # mov (%rbx), %eax
    8: "48 8b 03",  # mov (%rbx), %rax
}
_STORES = {
    1: "88 03",  # mov %al, (%rbx)
    2: "66 89 03",  # mov %ax, (%rbx)
    4: "89 03",  # mov %eax, (%rbx)
    8: "48 89 03",  # mov %rax, (%rbx)
}
_LOADS_32 = _LOADS | {8: "0f 6f 03  0f 7f 06"}  # movq (%ebx), %mm0; movq %mm0, (%esi)
_STORES_32 = _STORES | {8: "0f 6f 06  0f 7f 03"}  # movq (%esi), %mm0; movq %mm0, (%ebx)
_LOADS_16 = {
    1: "67 8a 03",
    2: "67 8b 03",
    4: "67 66 8b 03",
    8: "67 0f 6f 03  67 0f 7f 06",
}
_STORES_16 = {
    1: "67 88 03",
    2: "67 89 03",
    4: "67 66 89 03",
    8: "67 0f 6f 06  67 0f 7f 03",
}
_ACCESSES = {
    Context.REAL16: {"load": _LOADS_16, "store": _STORES_16},
    Context.PROT32: {"load": _LOADS_32, "store": _STORES_32},
    Context.LONG64: {"load": _LOADS, "store": _STORES},
    Context.LONG64_CPL3: {"load": _LOADS, "store": _STORES},
}


@cache
def _access_programs() -> dict[tuple[Context, str, int], tuple[int, bytes]]:
    """Every access program with its place, 16 bytes apart; each ends by leaving the guest."""
    keys = [
        (context, kind, size)
        for context, kinds in _ACCESSES.items()
        for kind, sizes in kinds.items()
        for size in sizes
    ]
    return {
        key: (CODE + 16 * i, bytes.fromhex(_ACCESSES[key[0]][key[1]][key[2]]) + FETCH_STUB)
        for i, key in enumerate(keys)
    }


def program(context: Context, kind: str, size: int) -> int:
    """Return the address of the program that makes this access; ``kind`` is load or store.

    Raises ValueError for a size other than 1, 2, 4 and 8.

    >>> hex(program(Context.REAL16, "load", 1))
    '0xe0001000'
    >>> program(Context.REAL16, "load", 3)
    Traceback (most recent call last):
    ValueError: a guest load takes 1, 2, 4 or 8 bytes, not 3
    """
    try:
        return _access_programs()[context, kind, size][0]
    except KeyError:
        raise ValueError(f"a guest {kind} takes 1, 2, 4 or 8 bytes, not {size}") from None


def wide_through_memory(context: Context, size: int) -> bool:
    """Whether an access of this size passes its bytes through the shared words."""
    return size == 8 and context not in _LONG
