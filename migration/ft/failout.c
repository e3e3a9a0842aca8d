/*
 * QEMU-FT: going on with the peer's disks when one of ours fails
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The guest must not see the error.  It does not have to be kept from it:
 * the epoch in which it happened is not committed and never will be, so it
 * is enough that this copy of the guest goes no further.  Its requests end
 * with the error they got, its vCPUs are stopped, its output is dropped, and
 * the peer goes on from the last commit, where the request has not been
 * made yet.  On the peer's disk it succeeds.
 *
 * The alternative, to read from the peer, would keep the guest on a host
 * that has just shown to be broken, and needs a read path through what the
 * peer has not applied yet.
 *
 * Without a committed epoch the error is the guest's, as it always was.
 *
 * The note is taken in the request's thread, before the guest's device
 * hears of the error.  A cut that is under way has drained the devices, so
 * the note is there when it looks.
 */
#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/error-report.h"
#include "qemu/event_notifier.h"
#include "qemu/lockable.h"
#include "qemu/main-loop.h"
#include "qemu/thread.h"
#include "failout.h"
#include "primary.h"

static QemuMutex lock;
static EventNotifier event;
static bool ready;
static bool pending;            /* atomic */
static char *why;               /* under @lock */

static void failed(EventNotifier *e)
{
    g_autofree char *text = NULL;

    if (!event_notifier_test_and_clear(e)) {
        return;
    }
    qemu_mutex_lock(&lock);
    text = g_steal_pointer(&why);
    qemu_mutex_unlock(&lock);
    if (text && !ft_primary_hand_over(text)) {
        ft_failout_over();
    }
}

void ft_failout_init(void)
{
    if (ready) {
        return;
    }
    qemu_mutex_init(&lock);
    event_notifier_init(&event, false);
    event_notifier_set_handler(&event, failed);
    ready = true;
}

void ft_failout_note(const char *disk, const char *what, int ret)
{
    QEMU_LOCK_GUARD(&lock);
    if (!why) {
        why = g_strdup_printf("%s drive %s failed: %s", what, disk,
                              strerror(-ret));
    }
    qatomic_set(&pending, true);
    event_notifier_set(&event);
}

void ft_failout_over(void)
{
    qatomic_set(&pending, false);
}

bool ft_failout_pending(void)
{
    return qatomic_read(&pending);
}
