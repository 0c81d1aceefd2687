import errno

import pytest

from memslotlib.errors import KvmError
from memslotlib.host.fds import Kvm, VcpuFd, VmFd, address_of
from memslotlib.host.ioctls import REGS, SREGS_SIZE_BYTES

#: Every wrapper, called as its users call it.
CALLS = [
    (Kvm, "get_api_version", (), "KVM_GET_API_VERSION"),
    (Kvm, "check_extension", (3,), "KVM_CHECK_EXTENSION"),
    (Kvm, "get_vcpu_mmap_size", (), "KVM_GET_VCPU_MMAP_SIZE"),
    (Kvm, "get_supported_cpuid", (), "KVM_GET_SUPPORTED_CPUID"),
    (Kvm, "create_vm", (0,), "KVM_CREATE_VM"),
    (VmFd, "set_user_memory_region", (1, 0, 0, 0, 0), "KVM_SET_USER_MEMORY_REGION"),
    (VmFd, "set_user_memory_region2", (1, 0, 0, 0, 0, 0, 0), "KVM_SET_USER_MEMORY_REGION2"),
    (VmFd, "create_guest_memfd", (4096, 0), "KVM_CREATE_GUEST_MEMFD"),
    (VmFd, "get_dirty_log", (1, bytearray(8)), "KVM_GET_DIRTY_LOG"),
    (VmFd, "clear_dirty_log", (1, 0, 64, bytes(8)), "KVM_CLEAR_DIRTY_LOG"),
    (VmFd, "enable_cap", (168, 1), "KVM_ENABLE_CAP"),
    (VmFd, "check_extension", (3,), "KVM_CHECK_EXTENSION"),
    (VmFd, "reset_dirty_rings", (), "KVM_RESET_DIRTY_RINGS"),
    (VmFd, "create_vcpu", (0, 4096), "KVM_CREATE_VCPU"),
    (VcpuFd, "run", (), "KVM_RUN"),
    (VcpuFd, "get_regs", (), "KVM_GET_REGS"),
    (VcpuFd, "set_regs", (bytearray(REGS.size),), "KVM_SET_REGS"),
    (VcpuFd, "get_sregs", (), "KVM_GET_SREGS"),
    (VcpuFd, "set_sregs", (bytearray(SREGS_SIZE_BYTES),), "KVM_SET_SREGS"),
    (VcpuFd, "set_cpuid", (bytes(8),), "KVM_SET_CPUID2"),
    (VcpuFd, "drop_exception", (), "KVM_GET_VCPU_EVENTS"),
]


def names(cls):
    return {name for name in vars(cls) if not name.startswith("_")}


def test_every_wrapper_is_called_here():
    apart = {"close", "kvm_run"}
    for cls in (Kvm, VmFd, VcpuFd):
        assert names(cls) - apart == {name for owner, name, *_ in CALLS if owner is cls}


@pytest.mark.parametrize(("cls", "name", "args", "ioctl"), CALLS, ids=[f"{c[1]}" for c in CALLS])
def test_a_bad_descriptor_is_named_with_its_ioctl(backend, cls, name, args, ioctl):
    with pytest.raises(KvmError) as refused:
        getattr(cls(-2, backend), name)(*args)

    assert refused.value.errno == errno.EBADF
    assert refused.value.ioctl == ioctl


def test_a_refusal_names_every_field(backend):
    with pytest.raises(KvmError) as refused:
        VmFd(-2, backend).set_user_memory_region2(1, 2, 3, 4, 5, 6, 7)

    assert str(refused.value) == (
        "[Errno 9] KVM_SET_USER_MEMORY_REGION2: EBADF (Bad file descriptor)"
        " slot=0x1 flags=0x2 guest_phys_addr=0x3 memory_size=0x4 userspace_addr=0x5"
        " guest_memfd_offset=0x6 guest_memfd=0x7"
    )


def test_a_vcpu_without_its_mapping_says_so(backend):
    with pytest.raises(KvmError) as refused:
        _ = VcpuFd(-2, backend).kvm_run

    assert refused.value.errno == errno.EBADF


def test_closing_twice_closes_once(backend, tmp_path):
    import os

    fd = os.open(tmp_path, os.O_RDONLY)
    kvm = Kvm(fd, backend)
    kvm.close()
    again = os.open(tmp_path, os.O_RDONLY)

    kvm.close()

    assert again == fd
    os.close(again)


def test_the_address_of_a_buffer_is_where_its_bytes_are():
    import ctypes

    buffer = bytearray(b"here")

    assert ctypes.string_at(address_of(buffer), 4) == b"here"
