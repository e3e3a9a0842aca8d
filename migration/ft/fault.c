/*
 * QEMU-FT: fault points
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/cutils.h"
#include "qapi/error.h"
#include "fault.h"

static const char *const names[] = {
    [FT_FAULT_NONE] = "none",
    [FT_FAULT_FIRST_COPY] = "first-copy",
    [FT_FAULT_CUT_PAUSED] = "cut-paused",
    [FT_FAULT_CUT_RESUMED] = "cut-resumed",
    [FT_FAULT_SEND_HALF] = "send-half",
    [FT_FAULT_SENT] = "sent",
    [FT_FAULT_ACK_RECEIVED] = "ack-received",
    [FT_FAULT_RELEASE_HALF] = "release-half",
    [FT_FAULT_DISK_SYNC] = "disk-sync",
    [FT_FAULT_DISK_WRITE] = "disk-write",
    [FT_FAULT_SWITCH_CUT] = "switch-cut",
    [FT_FAULT_SWITCH_READY] = "switch-ready",
    [FT_FAULT_SWITCH_SAID] = "switch-said",
    [FT_FAULT_INPUT_PASSED] = "input-passed",
    [FT_FAULT_RECV_HALF] = "recv-half",
    [FT_FAULT_STAGED] = "staged",
    [FT_FAULT_ACKED] = "acked",
    [FT_FAULT_APPLY_HALF] = "apply-half",
    [FT_FAULT_DISK_APPLIED] = "disk-applied",
    [FT_FAULT_SWITCH_HEARD] = "switch-heard",
    [FT_FAULT_SWITCH_LOADED] = "switch-loaded",
};
QEMU_BUILD_BUG_ON(ARRAY_SIZE(names) != FT_FAULT__MAX);

FtFaultPoint ft_fault_armed;
static unsigned int countdown = 1;
static bool hang;

void ft_fault_hit(FtFaultPoint point)
{
    if (qatomic_fetch_dec(&countdown) == 1) {
        if (!hang) {
            kill(getpid(), SIGKILL);
        }
        /* Nothing after the point may happen before the signal arrives */
        for (;;) {
            pause();
        }
    }
}

bool ft_fault_last_count(void)
{
    return qatomic_read(&countdown) == 1;
}

bool ft_fault_init(Error **errp)
{
    const char *env = getenv("QEMU_FT_FAULT");
    g_autofree char *point = NULL;
    char *colon;

    if (!env || !*env) {
        return true;
    }
    point = g_strdup(env);
    hang = g_str_has_suffix(point, ",hang");
    if (hang) {
        point[strlen(point) - strlen(",hang")] = 0;
    }
    colon = strchr(point, ':');
    if (colon) {
        *colon++ = 0;
    }
    if (colon && (qemu_strtoui(colon, NULL, 10, &countdown) < 0 ||
                  !countdown)) {
        error_setg(errp, "QEMU_FT_FAULT=%s: the count has to be a positive "
                   "number", env);
        return false;
    }
    for (int i = 0; i < FT_FAULT__MAX; i++) {
        if (g_str_equal(names[i], point)) {
            ft_fault_armed = i;
            return true;
        }
    }
    error_setg(errp, "QEMU_FT_FAULT=%s does not name a fault point", env);
    return false;
}
