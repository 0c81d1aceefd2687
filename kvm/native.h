/* What memslotlib._kvm offers to Python. Read by the C compiler and, as it stands, by cffi: so no
 * preprocessor lines, no _Atomic. Every function returns the ioctl's result or -errno. */

int ms_ioctl_value(int fd, unsigned long request, unsigned long value);
int ms_ioctl_buffer(int fd, unsigned long request, void *buffer);
int ms_set_region(int fd, uint32_t slot, uint32_t flags, uint64_t guest_phys_addr,
		  uint64_t memory_size, uint64_t userspace_addr);
int ms_set_region2(int fd, uint32_t slot, uint32_t flags, uint64_t guest_phys_addr,
		   uint64_t memory_size, uint64_t userspace_addr, uint64_t guest_memfd_offset,
		   uint32_t guest_memfd);

/* One exit that a running guest caused, as the runner logs it. */
struct ms_exit {
	uint64_t time_ns;	/* CLOCK_MONOTONIC, when KVM_RUN had returned */
	uint64_t gpa;		/* MMIO: what was accessed; INTERNAL_ERROR: rip */
	uint32_t reason;	/* KVM_EXIT_* */
	uint32_t detail;	/* MMIO: size | is_write << 16; INTERNAL_ERROR: suberror */
};

/* A vCPU thread's state, shared with the thread that updates slots. The runner writes everything
 * but `stop`; 64-bit fields are stored whole, `exits` last. */
struct ms_runner {
	int vcpu_fd;
	uint64_t run_address;	/* the mapped struct kvm_run */
	uint64_t nap_ns;	/* pause after an INTERNAL_ERROR or SHUTDOWN */
	uint32_t stop;
	uint32_t ended_by;	/* the exit reason that the loop has no answer to, or 0 */
	int error;		/* errno of a KVM_RUN that failed, or 0 */
	uint64_t entries;	/* calls of KVM_RUN */
	uint64_t exits;		/* exits answered: MMIO, INTERNAL_ERROR, SHUTDOWN */
	uint64_t log_capacity;
	struct ms_exit *log;	/* a ring: exit number n is at n % log_capacity */
	uint8_t regs[144];	/* where the guest starts, and starts again after SHUTDOWN */
	uint8_t sregs[312];
};

int ms_runner_loop(struct ms_runner *runner);

/* One update, bracketed for the guest to see: *phase becomes odd, the ioctls run, *phase becomes
 * even. regions holds `count` of them. */
struct ms_update {
	uint32_t slot, flags;
	uint64_t guest_phys_addr, memory_size, userspace_addr;
};
int ms_bracketed(int fd, uint64_t *phase, const struct ms_update *updates, int count);

/* The reference for benchmarks: n times delete and create, each pair's time in pair_ns. */
int ms_pairs(int fd, uint32_t slot, uint64_t guest_phys_addr, uint64_t memory_size,
	     uint64_t userspace_addr, int n, uint64_t *pair_ns);
