/*
 * QEMU-FT: when to compress
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a record holds is either a small change, which a delta has made
 * small already, or fresh: the first copy, and pages that a program has
 * filled.  Fresh pages shrink to a third or less, at some 2 to 5 ns of a
 * processor for a byte.  A link of 10 Gbit/s takes 0.8 ns for it, one of
 * 1 Gbit/s 8, one of 100 Mbit/s 80.  So it pays when
 *
 *     time on the link  >  time to compress + what is left * time on the link
 *
 * and all three are measured.  The link: in the first copy by how long
 * writing to the socket takes, which waits once its buffer is full; in an
 * epoch, which may fit into that buffer, by how long its acknowledgement
 * takes, less what was spent on encoding.  Compressing: on each record.  What
 * was learnt gets old, so when the link is the slower of the two, one record
 * in PROBE is compressed whatever is known.
 *
 * Only the channel's thread compresses: never the main loop, and never while
 * the guest stands still.  A small epoch is written by the main loop as it is
 * (ship.c), unless the link is slow: then a hop to the thread is cheap beside
 * what it saves.
 */
#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/timer.h"
#include "qemu/units.h"
#include "compress.h"
#include "options.h"

#define COST_GUESS 5000         /* ns a KiB */
#define LEFT_GUESS (KiB / 2)
#define PROBE 64
#define SAMPLE (16 * KiB)       /* less does not tell how fast a link is */
#define RECORD (4 * KiB)        /* nor this what compressing gives */

void ft_compress_start(FtCompress *c, bool able)
{
    *c = (FtCompress) {
        .always = ft_opts.compress == ON_OFF_AUTO_ON,
        .cost = COST_GUESS,
        .left = LEFT_GUESS,
    };
    if (able && ft_opts.compress != ON_OFF_AUTO_OFF) {
        c->zstd = ft_zstd_new();
    }
}

void ft_compress_stop(FtCompress *c)
{
    ft_zstd_free(c->zstd);
    c->zstd = NULL;
}

/* Gets to @value in the end, too */
static void average(uint32_t *of, int64_t value)
{
    int64_t old = qatomic_read(of), by;

    by = MIN(value, UINT32_MAX / 2) - old;
    qatomic_set(of, old + (by / 4 ?: by));
}

bool ft_compress_wanted(const FtCompress *c)
{
    uint64_t link = qatomic_read(&c->link);

    return c->zstd && (c->always || link * (KiB - qatomic_read(&c->left)) >
                       (uint64_t)qatomic_read(&c->cost) * KiB);
}

static bool try_it(FtCompress *c)
{
    if (ft_compress_wanted(c)) {
        return true;
    }
    return c->zstd && qatomic_read(&c->link) > c->cost &&
           ++c->passed >= PROBE;
}

void ft_compress_close(FtCompress *c, GByteArray *wire, size_t start)
{
    size_t len = wire->len - start;
    int64_t begin;

    if (len < RECORD || !try_it(c)) {
        ft_wire_end(wire, start);
        return;
    }
    c->passed = 0;
    begin = get_clock();
    if (ft_zstd_close(c->zstd, wire, start)) {
        stat64_add(&c->before, len);
        stat64_add(&c->after, wire->len - start);
        average(&c->left, (wire->len - start) * KiB / len);
    } else {
        average(&c->left, KiB);
        ft_wire_end(wire, start);
    }
    average(&c->cost, (get_clock() - begin) * KiB / len);
}

void ft_compress_link(FtCompress *c, uint64_t bytes, int64_t ns)
{
    if (bytes >= SAMPLE) {
        average(&c->link, MAX(ns, 0) * KiB / bytes);
    }
}
