/*
 * QEMU-FT: how many packets the guest says before it waits for an answer
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a guest says is held until its epoch is committed, so clients that
 * wait for it say nothing either, and the guest comes to a rest.  It takes a
 * while to: before a processor sleeps, its kernel looks for other work and
 * sets timers, and all of it again backwards when it wakes.  A cut that waits
 * for the sleep makes the reply wait for that.
 *
 * As long as the same clients ask, each such burst has the same number of
 * packets.  So these are counted: when the last bursts had as many as have
 * been said now, the cut is made at once, and the guest goes to sleep while
 * the epoch is under way.
 *
 * A burst that ended by itself is evidence for its number, or against the
 * usual one.  So is a cut that relied on it: right when the guest said nothing
 * more until the commit, for what it says later may be an answer to an answer.
 * The counter of a branch predictor is the pattern: it saturates, and being
 * wrong weighs more than being right.
 */
#include "qemu/osdep.h"
#include "burst.h"

#define TRUST_ENOUGH 8
#define TRUST_MOST 16
#define TRUST_LOST 4            /* each time it was wrong */

void ft_burst_packet(FtBurst *b)
{
    b->said++;
}

bool ft_burst_complete(const FtBurst *b)
{
    return b->trust >= TRUST_ENOUGH && b->said == b->usual;
}

static void learn(FtBurst *b, bool right)
{
    if (right) {
        b->trust = MIN(b->trust + 1, TRUST_MOST);
    } else {
        b->trust -= MIN(b->trust, TRUST_LOST);
    }
}

void ft_burst_cut(FtBurst *b, bool ended, bool early)
{
    b->early = early;
    if (ended && !early && b->said) {
        if (!b->trust) {
            b->usual = b->said;
        }
        learn(b, b->said == b->usual);
    }
    b->said = 0;
}

void ft_burst_committed(FtBurst *b)
{
    if (b->early) {
        learn(b, !b->said);
        b->early = false;
    }
}
