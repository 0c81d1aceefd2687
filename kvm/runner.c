/* The vCPU thread's loop: runs the guest, answers and logs what comes out, until told to stop.
 *
 * Called from Python with the GIL released. To stop it, set `stop`, then kvm_run.immediate_exit,
 * then send the thread a signal: immediate_exit alone does not reach a guest that is running, and
 * a signal alone is lost when it arrives before KVM_RUN is entered. */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "clock.h"
#include "uapi.h"
#include "native.h"

static void log_exit(struct ms_runner *r, uint32_t reason, uint64_t gpa, uint32_t detail)
{
	r->log[r->exits % r->log_capacity] = (struct ms_exit){ now_ns(), gpa, reason, detail };
	/* Last, and released: whoever sees the count sees the entry. */
	__atomic_store_n(&r->exits, r->exits + 1, __ATOMIC_RELEASE);
}

/* A vCPU that fails or dies over and over would keep the updater off its locks. */
static void back_off(const struct ms_runner *r)
{
	struct timespec nap = { 0, (long)r->nap_ns };

	nanosleep(&nap, NULL);
}

/* KVM queues #UD when it cannot emulate, before the exit; left there, the next KVM_RUN would inject
 * it. So "run again" after an INTERNAL_ERROR is this and then KVM_RUN. */
static int drop_exception(const struct ms_runner *r)
{
	struct ms_vcpu_events events;
	int result = ms_ioctl_buffer(r->vcpu_fd, MS_GET_VCPU_EVENTS, &events);

	if (result < 0)
		return result;
	events.exception_injected = 0;
	events.exception_pending = 0;
	return ms_ioctl_buffer(r->vcpu_fd, MS_SET_VCPU_EVENTS, &events);
}

/* Logs an instruction that KVM could not emulate, and lets the guest try it again. */
static int fail_again(struct ms_runner *r, uint32_t suberror)
{
	uint64_t regs[MS_REGS_SIZE / 8];
	int result = ms_ioctl_buffer(r->vcpu_fd, MS_GET_REGS, regs);

	if (result < 0)
		return result;
	log_exit(r, MS_EXIT_INTERNAL_ERROR, regs[MS_REGS_RIP], suberror);
	return drop_exception(r);
}

static int start_over(struct ms_runner *r)
{
	int result = ms_ioctl_buffer(r->vcpu_fd, MS_SET_SREGS, r->sregs);

	if (result == 0)
		result = ms_ioctl_buffer(r->vcpu_fd, MS_SET_REGS, r->regs);
	return result < 0 ? result : drop_exception(r);
}

static int answer_mmio(struct ms_runner *r, struct ms_kvm_run *run)
{
	uint32_t size = run->mmio.len, is_write = run->mmio.is_write;

	if (!is_write)
		memset(run->mmio.data, 0xff, sizeof(run->mmio.data));
	log_exit(r, MS_EXIT_MMIO, run->mmio.phys_addr, size | is_write << 16);
	return 0;
}

/* Returns 0 to run on, a negative errno when an answer failed, 1 when there is no answer. */
static int answer(struct ms_runner *r, struct ms_kvm_run *run)
{
	int result;

	switch (run->exit_reason) {
	case MS_EXIT_MMIO:
		return answer_mmio(r, run);
	case MS_EXIT_INTR:
		return 0;
	case MS_EXIT_INTERNAL_ERROR:
		result = fail_again(r, run->internal.suberror);
		break;
	case MS_EXIT_SHUTDOWN:
		log_exit(r, MS_EXIT_SHUTDOWN, 0, 0);
		result = start_over(r);
		break;
	default:
		r->ended_by = run->exit_reason;
		return 1;
	}
	back_off(r);
	return result;
}

int ms_runner_loop(struct ms_runner *r)
{
	struct ms_kvm_run *run = (struct ms_kvm_run *)(uintptr_t)r->run_address;

	while (!__atomic_load_n(&r->stop, __ATOMIC_ACQUIRE)) {
		int result = ms_ioctl_value(r->vcpu_fd, MS_RUN, 0);

		__atomic_store_n(&r->entries, r->entries + 1, __ATOMIC_RELAXED);
		if (result == -EINTR || result == -EAGAIN)
			continue;
		if (result == 0)
			result = answer(r, run);
		if (result < 0)
			r->error = -result;
		if (result)
			return result;
	}
	return 0;
}
