from struct import unpack_from

import pytest

from memslotlib.host import guest
from memslotlib.host.ioctls import CONTROL, REGS, SEGMENT, SREGS_SIZE_BYTES, TABLE
from memslotlib.interface import FETCH_STUB, Context
from memslotlib.uapi import USER_MEM_SLOTS


def image():
    memory = bytearray(guest.SIZE_BYTES)
    for at, content in guest.image():
        memory[at - guest.BASE : at - guest.BASE + len(content)] = content
    return memory


def translate(memory, address):
    """Walk the guest's page tables as a CPU does."""

    def entry(table, index):
        (value,) = unpack_from("<Q", memory, table - guest.BASE + 8 * index)
        assert value & 0x27 == 0x27, "present, writable, user, accessed"
        return value & ~0xFFF

    directory = entry(
        entry(guest.PML4, address >> 39),
        address >> 30 & 0x1FF,
    )
    (value,) = unpack_from("<Q", memory, directory - guest.BASE + 8 * (address >> 21 & 0x1FF))
    assert value & 0x80, "a 2 MiB page"
    assert not value & guest.ENTRY_DIRTY
    return (value & ~0x1FFFFF) | address & 0x1FFFFF


def test_the_guest_lies_where_no_experiment_does():
    assert guest.SLOT == USER_MEM_SLOTS - 1 == 32763
    assert (guest.BASE, guest.SIZE_BYTES) == (0xE000_0000, 0x10_0000)
    ends = [at + len(content) for at, content in guest.image()]
    assert max(ends) <= guest.BASE + guest.SIZE_BYTES


def test_nothing_of_the_guest_overlaps():
    pieces = sorted((at, at + len(content)) for at, content in guest.image())
    pieces += [(guest.LOOP, guest.LOOP + 0x80), (guest.SHARED, guest.SHARED + 64)]
    pieces += [(guest.STACK_TOP - 64, guest.STACK_TOP)]

    for (_, end), (start, _) in zip(sorted(pieces), sorted(pieces)[1:], strict=False):
        assert end <= start


@pytest.mark.parametrize(
    "address", [0, 0x1000, 0x1FFFFF, 0x200000, 0xE000_1000, 0xFFFF_FFFF, (64 << 30) - 1]
)
def test_every_address_maps_onto_itself(address):
    assert translate(image(), address) == address


@pytest.mark.parametrize("context", Context)
def test_each_context_sets_the_bits_that_define_it(context):
    sregs = guest.sregs(context, bytes(SREGS_SIZE_BYTES))
    code = SEGMENT.unpack_from(sregs, 0)
    cr0, _, cr3, cr4, _, efer, _ = CONTROL.unpack_from(sregs, 8 * SEGMENT.size + 2 * TABLE.size)
    long = context in (Context.LONG64, Context.LONG64_CPL3)

    assert len(sregs) == SREGS_SIZE_BYTES
    assert code[5] == (3 if context is Context.LONG64_CPL3 else 0)
    assert cr0 & 1 == (context is not Context.REAL16)
    assert bool(cr0 >> 31) == long
    assert code[8] == long
    assert (cr3, cr4, efer) == ((guest.PML4, 0x20, 0x500) if long else (0, 0, 0))


def test_the_apic_base_is_kept():
    initial = bytearray(SREGS_SIZE_BYTES)
    at = 8 * SEGMENT.size + 2 * TABLE.size
    CONTROL.pack_into(initial, at, 0, 0, 0, 0, 0, 0, 0xFEE0_0900)

    sregs = guest.sregs(Context.LONG64, initial)

    assert CONTROL.unpack_from(sregs, at)[-1] == 0xFEE0_0900


def test_every_port_of_the_stub_is_permitted_to_cpl3():
    memory, tss = image(), guest.TSS - guest.BASE
    (bitmap,) = unpack_from("<H", memory, tss + 102)
    port = FETCH_STUB[1]

    assert memory[tss + bitmap + port // 8] >> port % 8 & 1 == 0


@pytest.mark.parametrize("context", Context)
@pytest.mark.parametrize("kind", ["load", "store"])
@pytest.mark.parametrize("size", [1, 2, 4, 8])
def test_every_access_program_ends_by_leaving_the_guest(context, kind, size):
    at = guest.program(context, kind, size) - guest.BASE

    assert FETCH_STUB in image()[at : at + 16]


def test_registers_are_named():
    regs = REGS.unpack(guest.regs(0x1234, rax=1, rbx=2, r8=3, r15=4))

    assert regs[:2] == (1, 2)
    assert (regs[4], regs[6]) == (guest.SHARED, guest.STACK_TOP)
    assert (regs[8], regs[15], regs[16], regs[17]) == (3, 4, 0x1234, 2)
