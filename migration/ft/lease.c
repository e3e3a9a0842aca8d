/*
 * QEMU-FT: how long a primary may be sure that it is still the one
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A primary that was stopped, or starved, and moves again finds ACKs in its
 * socket and output to let go, while the secondary may run the guest since
 * long.  TAKEOVER tells it so if the link lets it through.  A clock tells it
 * in any case:
 *
 *     primary    beat 7 at t -----.               output may go until
 *                                  \              t + timeout - margin
 *     secondary                     reads it at t', t' >= t: will not call
 *                                   the primary silent before t' + timeout
 *     primary         <------------ beat with echo 7
 *
 * Both clocks are monotonic and only have to run equally fast for the length
 * of a time-out, give or take the margin, an eighth of it.  An ACK proves as
 * much as an echo: the secondary has read the COMMIT.
 *
 * The secondary also takes over from a primary whose main loop has not turned
 * for FT_HUNG_FACTOR time-outs, which it learns from the age in the beats.  A
 * proof is therefore worth no more than that, counted from the last turn.
 *
 * The end of the connection is not covered: it ends this lease at once where
 * it is seen, and the secondary acts on it at once where that sees it.  Both
 * read until nothing is left before they act.  See failure-modes.rst for what
 * remains.
 *
 * The idea is the lease of Gray and Cheriton (1989).
 */
#include "qemu/osdep.h"
#include "qemu/lockable.h"
#include "lease.h"
#include "wire.h"

#define MARGIN(timeout) ((timeout) / 8)

int64_t ft_lease_now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_BOOTTIME, &ts);
    return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

void ft_lease_init(FtLease *l, uint32_t timeout_ms)
{
    memset(l, 0, sizeof(*l));
    qemu_mutex_init(&l->lock);
    l->timeout_ns = timeout_ms * 1000000LL;
}

void ft_lease_destroy(FtLease *l)
{
    qemu_mutex_destroy(&l->lock);
}

static int64_t worth(const FtLease *l, int64_t sent, int64_t age)
{
    return MIN(sent + l->timeout_ns,
               sent - age + FT_HUNG_FACTOR * l->timeout_ns) -
           MARGIN(l->timeout_ns);
}

void ft_lease_sent(FtLease *l, uint64_t counter, int64_t now, int64_t age)
{
    uint32_t i = counter % FT_LEASE_BEATS;

    QEMU_LOCK_GUARD(&l->lock);
    l->beat[i].counter = counter;
    l->beat[i].until = worth(l, now, age);
}

void ft_lease_echo(FtLease *l, uint64_t counter)
{
    uint32_t i = counter % FT_LEASE_BEATS;

    QEMU_LOCK_GUARD(&l->lock);
    if (counter && l->beat[i].counter == counter) {
        l->until = MAX(l->until, l->beat[i].until);
    }
}

void ft_lease_proof(FtLease *l, int64_t sent, int64_t age)
{
    QEMU_LOCK_GUARD(&l->lock);
    l->until = MAX(l->until, worth(l, sent, age));
}

bool ft_lease_valid(FtLease *l, int64_t now)
{
    QEMU_LOCK_GUARD(&l->lock);
    return now < l->until;
}
