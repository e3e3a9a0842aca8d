/*
 * QEMU-FT: a guest that writes faster than the link carries
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One epoch is in flight at a time, and what the guest dirties meanwhile is
 * in the next one.  When it dirties more than the link carries in that time,
 * epochs grow until they hold all that it ever writes to: each pause then
 * takes as long as copying all of that, and output waits as long as sending
 * it.  So the guest is slowed down until its epochs are of the size that the
 * pacer wants, or nearly: the vCPUs sleep for part of each 10 ms or so, which
 * is QEMU's own throttle, as of a migration that does not converge.
 *
 * A cut that found more than SLACK times the wanted pages lowers the speed
 * in proportion, by half at most; one that found no more than was wanted
 * raises it by STEP.  So one large epoch, a program that starts, costs little,
 * and a guest that goes on is at the right speed after some three of them.
 * It always keeps the rest of "throttle" of its time.
 *
 * A vCPU that sleeps for this wakes up for a cut, and none falls asleep in a
 * cut (patches/migration-throttle-wakes.patch), so the pause does not grow.
 */
#include "qemu/osdep.h"
#include "system/cpu-throttle.h"
#include "throttle.h"
#include "trace.h"

#define FULL 1000
#define SLACK 2
#define STEP(speed) ((speed) / 4 + 10)

static uint32_t speed = FULL;   /* of the guest, in 1/FULL; with the BQL */

uint32_t ft_throttle_percent(void)
{
    return speed < FULL ? MAX((FULL - speed) * 100 / FULL, 1) : 0;
}

static void apply(uint32_t wanted)
{
    if (wanted == speed) {
        return;
    }
    speed = wanted;
    trace_ft_throttle(ft_throttle_percent());
    if (speed < FULL) {
        cpu_throttle_set(ft_throttle_percent());
    } else {
        cpu_throttle_stop();
    }
}

/* @part: of the speed it has, in 1/FULL; false: it has no more to lose */
static bool slower(uint32_t part, uint32_t most)
{
    uint32_t least = FULL - most * FULL / 100;

    if (speed <= least) {
        return false;
    }
    apply(MAX(least, speed * part / FULL));
    return true;
}

bool ft_throttle_half(uint32_t most)
{
    return slower(FULL / 2, most);
}

void ft_throttle_cut(uint64_t pages, uint64_t limit, uint32_t most)
{
    if (pages > SLACK * limit) {
        slower(MAX(limit * SLACK * FULL / pages, FULL / 2), most);
    } else if (pages <= limit) {
        apply(MIN(FULL, speed + STEP(speed)));
    }
}

void ft_throttle_stop(void)
{
    apply(FULL);
}

