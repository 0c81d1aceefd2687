/* Thin calls: one ioctl each, the result or -errno. */
#include <errno.h>

#include "clock.h"
#include "uapi.h"
#include "native.h"

int ms_ioctl_value(int fd, unsigned long request, unsigned long value)
{
	int result = ioctl(fd, request, value);

	return result < 0 ? -errno : result;
}

int ms_ioctl_buffer(int fd, unsigned long request, void *buffer)
{
	int result = ioctl(fd, request, buffer);

	return result < 0 ? -errno : result;
}

int ms_set_region(int fd, uint32_t slot, uint32_t flags, uint64_t guest_phys_addr,
		  uint64_t memory_size, uint64_t userspace_addr)
{
	struct ms_region region = { slot, flags, guest_phys_addr, memory_size, userspace_addr };

	return ms_ioctl_buffer(fd, MS_SET_USER_MEMORY_REGION, &region);
}

int ms_set_region2(int fd, uint32_t slot, uint32_t flags, uint64_t guest_phys_addr,
		   uint64_t memory_size, uint64_t userspace_addr, uint64_t guest_memfd_offset,
		   uint32_t guest_memfd)
{
	struct ms_region2 region = {
		.slot = slot,
		.flags = flags,
		.guest_phys_addr = guest_phys_addr,
		.memory_size = memory_size,
		.userspace_addr = userspace_addr,
		.guest_memfd_offset = guest_memfd_offset,
		.guest_memfd = guest_memfd,
	};

	return ms_ioctl_buffer(fd, MS_SET_USER_MEMORY_REGION2, &region);
}

int ms_bracketed(int fd, uint64_t *phase, const struct ms_update *updates, int count)
{
	int result = 0;

	__atomic_add_fetch(phase, 1, __ATOMIC_SEQ_CST);
	for (int i = 0; i < count && result == 0; i++)
		result = ms_set_region(fd, updates[i].slot, updates[i].flags,
				       updates[i].guest_phys_addr, updates[i].memory_size,
				       updates[i].userspace_addr);
	__atomic_add_fetch(phase, 1, __ATOMIC_SEQ_CST);
	return result;
}

int ms_pairs(int fd, uint32_t slot, uint64_t guest_phys_addr, uint64_t memory_size,
	     uint64_t userspace_addr, int n, uint64_t *pair_ns)
{
	for (int i = 0; i < n; i++) {
		uint64_t begin = now_ns();
		int result = ms_set_region(fd, slot, 0, guest_phys_addr, 0, userspace_addr);

		if (result == 0)
			result = ms_set_region(fd, slot, 0, guest_phys_addr, memory_size,
					       userspace_addr);
		if (result < 0)
			return result;
		pair_ns[i] = now_ns() - begin;
	}
	return 0;
}
