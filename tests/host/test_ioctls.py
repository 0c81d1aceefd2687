import subprocess
from pathlib import Path

import pytest

from memslotlib.host import ioctls
from memslotlib.host.ioctls import Ioctl, packed

KVM = Path(__file__).resolve().parents[2] / "kvm"

#: As the kernel's headers have had them for years; written out by hand, not computed.
PUBLISHED = {
    "GET_API_VERSION": 0xAE00,
    "CREATE_VM": 0xAE01,
    "CHECK_EXTENSION": 0xAE03,
    "GET_VCPU_MMAP_SIZE": 0xAE04,
    "GET_SUPPORTED_CPUID": 0xC008AE05,
    "CREATE_VCPU": 0xAE41,
    "GET_DIRTY_LOG": 0x4010AE42,
    "SET_USER_MEMORY_REGION": 0x4020AE46,
    "SET_USER_MEMORY_REGION2": 0x40A0AE49,
    "RUN": 0xAE80,
    "GET_REGS": 0x8090AE81,
    "SET_REGS": 0x4090AE82,
    "GET_SREGS": 0x8138AE83,
    "SET_SREGS": 0x4138AE84,
    "SET_CPUID2": 0x4008AE90,
    "GET_VCPU_EVENTS": 0x8040AE9F,
    "SET_VCPU_EVENTS": 0x4040AEA0,
    "ENABLE_CAP": 0x4068AEA3,
    "CLEAR_DIRTY_LOG": 0xC018AEC0,
    "RESET_DIRTY_RINGS": 0xAEC7,
    "GET_STATS_FD": 0xAECE,
    "CREATE_GUEST_MEMFD": 0xC040AED4,
}

#: Prints the C side's packing of distinct values, then its ioctl numbers.
PROGRAM = r"""
#include <stdio.h>
#include "uapi.h"
static void dump(const void *at, size_t size)
{
    for (size_t i = 0; i < size; i++)
        printf("%02x", ((const unsigned char *)at)[i]);
    printf("\n");
}
int main(void)
{
    struct ms_region one = { 1, 2, 3, 4, 5 };
    struct ms_region2 two = { .slot = 1, .flags = 2, .guest_phys_addr = 3, .memory_size = 4,
        .userspace_addr = 5, .guest_memfd_offset = 6, .guest_memfd = 7 };
    struct ms_kvm_run run = { .exit_reason = 1 };

    run.mmio.phys_addr = 2;
    run.mmio.data[0] = 3;
    run.mmio.len = 4;
    run.mmio.is_write = 5;
    dump(&one, sizeof(one));
    dump(&two, sizeof(two));
    dump(&run, sizeof(run));
    printf("%x %x %x %x %x %x %x\n", (unsigned)MS_SET_USER_MEMORY_REGION,
           (unsigned)MS_SET_USER_MEMORY_REGION2, (unsigned)MS_RUN, (unsigned)MS_SET_REGS,
           (unsigned)MS_SET_SREGS, (unsigned)MS_GET_VCPU_EVENTS, (unsigned)MS_SET_VCPU_EVENTS);
    return 0;
}
"""


def test_every_number_is_the_published_one():
    assert {ioctl.name: ioctl.value for ioctl in Ioctl} == PUBLISHED


@pytest.mark.parametrize(
    ("layout", "size_bytes"),
    [
        (ioctls.REGION, 32),
        (ioctls.REGION2, 160),
        (ioctls.CREATE_GUEST_MEMFD, 64),
        (ioctls.DIRTY_LOG, 16),
        (ioctls.CLEAR_DIRTY_LOG, 24),
        (ioctls.ENABLE_CAP, 104),
        (ioctls.DIRTY_GFN, 16),
        (ioctls.REGS, 144),
        (ioctls.SEGMENT, 24),
        (ioctls.TABLE, 16),
        (ioctls.CONTROL, 88),
    ],
)
def test_every_struct_has_the_kernel_s_size(layout, size_bytes):
    assert layout.size == size_bytes


def test_special_registers_have_the_kernel_s_size():
    assert ioctls.SREGS_SIZE_BYTES == 312


@pytest.mark.needs_tool("gcc")
def test_both_backends_pack_the_same_bytes(tmp_path):
    source, program = tmp_path / "pack.c", tmp_path / "pack"
    source.write_text(PROGRAM)
    subprocess.run(["gcc", "-I", KVM, "-o", program, source], check=True)

    lines = subprocess.run([program], check=True, capture_output=True, text=True).stdout.split("\n")

    assert lines[0] == packed(ioctls.REGION, 1, 2, 3, 4, 5).hex()
    assert lines[1] == packed(ioctls.REGION2, 1, 2, 3, 4, 5, 6, 7).hex()
    run = bytes.fromhex(lines[2])
    assert run[ioctls.RUN_EXIT_REASON] == 1
    assert ioctls.MMIO.unpack_from(run, ioctls.RUN_DETAIL) == (2, b"\x03" + bytes(7), 4, 5)
    names = "SET_USER_MEMORY_REGION SET_USER_MEMORY_REGION2 RUN SET_REGS SET_SREGS"
    names += " GET_VCPU_EVENTS SET_VCPU_EVENTS"
    assert [int(word, 16) for word in lines[3].split()] == [Ioctl[n] for n in names.split()]


@pytest.mark.parametrize("value", [-1, 1 << 32])
def test_a_value_too_large_for_its_field_is_refused(value):
    with pytest.raises(OverflowError):
        packed(ioctls.REGION, value, 0, 0, 0, 0)
