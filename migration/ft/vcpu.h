/*
 * QEMU-FT: which vCPUs sleep
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef MIGRATION_FT_VCPU_H
#define MIGRATION_FT_VCPU_H

/**
 * ft_vcpus_all_idle: every vCPU sleeps in qemu_wait_io_event()
 *
 * With the BQL held.  True means that no vCPU can run until the caller
 * lets go of the BQL.  Never true where vCPUs sleep elsewhere: in the
 * kernel with KVM, all in one thread with single-threaded TCG.
 */
bool ft_vcpus_all_idle(void);

/**
 * ft_vcpus_may_be_left: every vCPU sleeps, and those woken will be there soon
 *
 * The same, but false when one that has something to do has not got up for
 * @patience_ns.
 */
bool ft_vcpus_may_be_left(int64_t patience_ns);

/**
 * ft_vcpus_last_awake: the only vCPU that does not sleep, or NULL
 *
 * With the BQL held, where ft_vcpus_all_idle() can be true.
 */
CPUState *ft_vcpus_last_awake(void);

/**
 * ft_vcpu_rest: call @what as if @cpu slept as all others do
 *
 * In @cpu's thread, between two stretches of the guest's code: from
 * async_run_on_cpu().  With the BQL held, and it must not be let go.
 */
bool ft_vcpu_rest(CPUState *cpu, bool (*what)(void));

/**
 * ft_vcpus_set_idle_cb: call @cb whenever the last vCPU goes to sleep
 *
 * @cb runs in that vCPU's thread with the BQL held, at the bottom of its
 * loop; whether the vCPU may still sleep is looked at again afterwards.
 * NULL removes it.
 */
void ft_vcpus_set_idle_cb(void (*cb)(void));

#endif
