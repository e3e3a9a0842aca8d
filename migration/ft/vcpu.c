/*
 * QEMU-FT: which vCPUs sleep
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A vCPU thread sets and clears its own flag under the BQL, and sleeps
 * giving up that same BQL: whoever holds the BQL and finds all flags set
 * knows that none of them can run before the BQL is free again, whether or
 * not an interrupt is pending for it.  A sleeping vCPU's state is
 * complete; there is nothing to wait for.
 *
 * A vCPU that is between two stretches of the guest's code, where work that was
 * queued for it is done, is in the same place as one that stops: for as long as
 * its thread is busy with something else under the BQL, it may pass for asleep
 * (ft_vcpu_rest()).
 *
 * A vCPU that has something to do and does not wake up, however long it is
 * given, is broken, and so is this copy of the guest.  Cuts that need nothing
 * from it would hide that: so they wait for it after a while.
 */
#include "qemu/osdep.h"
#include "qemu/timer.h"
#include "hw/core/cpu.h"
#include "system/cpus.h"
#include "ft.h"
#include "vcpu.h"

#define MAX_VCPUS 4096

/* Under the BQL */
static bool vcpu_idle[MAX_VCPUS];
static int n_idle;
static int64_t late_since;      /* all sleep, one of them should not; or 0 */
static void (*idle_cb)(void);

void ft_vcpu_idle(CPUState *cpu, bool idle)
{
    if (cpu->cpu_index < 0 || cpu->cpu_index >= MAX_VCPUS ||
        vcpu_idle[cpu->cpu_index] == idle) {
        return;
    }
    vcpu_idle[cpu->cpu_index] = idle;
    n_idle += idle ? 1 : -1;
    late_since = 0;
    if (idle && unlikely(idle_cb) && ft_vcpus_all_idle()) {
        idle_cb();
    }
}

static bool is_idle(const CPUState *cpu)
{
    return cpu->cpu_index >= 0 && cpu->cpu_index < MAX_VCPUS &&
           vcpu_idle[cpu->cpu_index];
}

bool ft_vcpus_all_idle(void)
{
    CPUState *cpu;

    if (!n_idle) {
        return false;
    }
    CPU_FOREACH(cpu) {
        if (!is_idle(cpu)) {
            return false;
        }
    }
    return true;
}

CPUState *ft_vcpus_last_awake(void)
{
    CPUState *cpu, *awake = NULL;

    CPU_FOREACH(cpu) {
        if (!is_idle(cpu)) {
            if (awake || cpu->cpu_index >= MAX_VCPUS) {
                return NULL;
            }
            awake = cpu;
        }
    }
    return awake;
}

bool ft_vcpu_rest(CPUState *cpu, bool (*what)(void))
{
    int64_t late = late_since;
    bool ok;

    vcpu_idle[cpu->cpu_index] = true;
    n_idle++;
    ok = what();
    vcpu_idle[cpu->cpu_index] = false;
    n_idle--;
    /* It was awake, and not late */
    late_since = late;
    return ok;
}

bool ft_vcpus_may_be_left(int64_t patience_ns)
{
    CPUState *cpu;

    if (!ft_vcpus_all_idle()) {
        return false;
    }
    CPU_FOREACH(cpu) {
        if (!cpu_thread_is_idle(cpu)) {
            late_since = late_since ?: get_clock();
            return get_clock() - late_since < patience_ns;
        }
    }
    late_since = 0;
    return true;
}

void ft_vcpus_set_idle_cb(void (*cb)(void))
{
    idle_cb = cb;
}
