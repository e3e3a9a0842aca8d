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
 */
#include "qemu/osdep.h"
#include "hw/core/cpu.h"
#include "ft.h"
#include "vcpu.h"

#define MAX_VCPUS 4096

/* Under the BQL */
static bool vcpu_idle[MAX_VCPUS];
static int n_idle;
static void (*idle_cb)(void);

void ft_vcpu_idle(CPUState *cpu, bool idle)
{
    if (cpu->cpu_index < 0 || cpu->cpu_index >= MAX_VCPUS ||
        vcpu_idle[cpu->cpu_index] == idle) {
        return;
    }
    vcpu_idle[cpu->cpu_index] = idle;
    n_idle += idle ? 1 : -1;
    if (idle && unlikely(idle_cb) && ft_vcpus_all_idle()) {
        idle_cb();
    }
}

bool ft_vcpus_all_idle(void)
{
    CPUState *cpu;

    if (!n_idle) {
        return false;
    }
    CPU_FOREACH(cpu) {
        if (cpu->cpu_index < 0 || cpu->cpu_index >= MAX_VCPUS ||
            !vcpu_idle[cpu->cpu_index]) {
            return false;
        }
    }
    return true;
}

void ft_vcpus_set_idle_cb(void (*cb)(void))
{
    idle_cb = cb;
}
