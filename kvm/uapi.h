/* KVM's ABI as far as this project speaks it, declared here rather than taken from linux/kvm.h:
 * the headers of Debian 12 lack KVM_SET_USER_MEMORY_REGION2 and guest_memfd, and a machine that
 * only builds the book may have none at all. The assertions hold the sizes that the ioctl numbers
 * encode; tests/host/test_ioctls.py holds the offsets against memslotlib/host/ioctls.py. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>

struct ms_region {
	uint32_t slot, flags;
	uint64_t guest_phys_addr, memory_size, userspace_addr;
};

struct ms_region2 {
	uint32_t slot, flags;
	uint64_t guest_phys_addr, memory_size, userspace_addr;
	uint64_t guest_memfd_offset;
	uint32_t guest_memfd, pad1;
	uint64_t pad2[14];
};

struct ms_vcpu_events {
	uint8_t exception_injected, exception_nr, exception_has_error_code, exception_pending;
	uint32_t exception_error_code;
	uint8_t rest[56];
};

struct ms_kvm_run {
	uint8_t request_interrupt_window, immediate_exit, padding[6];
	uint32_t exit_reason;
	uint8_t ready_for_interrupt_injection, if_flag;
	uint16_t flags;
	uint64_t cr8, apic_base;
	union {
		struct {
			uint64_t phys_addr;
			uint8_t data[8];
			uint32_t len;
			uint8_t is_write;
		} mmio;
		struct {
			uint32_t suberror, ndata;
		} internal;
	};
};

_Static_assert(sizeof(struct ms_region) == 32, "KVM_SET_USER_MEMORY_REGION");
_Static_assert(sizeof(struct ms_region2) == 160, "KVM_SET_USER_MEMORY_REGION2");
_Static_assert(sizeof(struct ms_vcpu_events) == 64, "KVM_GET_VCPU_EVENTS");
_Static_assert(offsetof(struct ms_kvm_run, exit_reason) == 8, "kvm_run.exit_reason");
_Static_assert(offsetof(struct ms_kvm_run, mmio) == 32, "kvm_run.mmio");
_Static_assert(offsetof(struct ms_kvm_run, mmio.len) == 48, "kvm_run.mmio.len");

#define MS_SET_USER_MEMORY_REGION  _IOW(0xAE, 0x46, struct ms_region)
#define MS_SET_USER_MEMORY_REGION2 _IOW(0xAE, 0x49, struct ms_region2)
#define MS_RUN                     _IO(0xAE, 0x80)
#define MS_GET_REGS                _IOC(_IOC_READ, 0xAE, 0x81, MS_REGS_SIZE)
#define MS_SET_REGS                _IOC(_IOC_WRITE, 0xAE, 0x82, MS_REGS_SIZE)
#define MS_SET_SREGS               _IOC(_IOC_WRITE, 0xAE, 0x84, MS_SREGS_SIZE)
#define MS_GET_VCPU_EVENTS         _IOR(0xAE, 0x9f, struct ms_vcpu_events)
#define MS_SET_VCPU_EVENTS         _IOW(0xAE, 0xa0, struct ms_vcpu_events)

/* rip is the 17th of the 64-bit registers. */
enum { MS_REGS_SIZE = 144, MS_REGS_RIP = 16, MS_SREGS_SIZE = 312 };

enum {
	MS_EXIT_MMIO = 6,
	MS_EXIT_SHUTDOWN = 8,
	MS_EXIT_INTR = 10,
	MS_EXIT_INTERNAL_ERROR = 17,
};
