/*
 * QEMU-FT: the life of an epoch on the primary
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "epoch.h"

void ft_epoch_init(FtEpoch *e)
{
    *e = (FtEpoch) { .phase = FT_EPOCH_IDLE, .current = 1 };
}

uint64_t ft_epoch_cut(FtEpoch *e)
{
    assert(e->phase == FT_EPOCH_IDLE);
    e->phase = FT_EPOCH_CUT;
    return e->current++;
}

void ft_epoch_abandon(FtEpoch *e)
{
    assert(e->phase == FT_EPOCH_CUT);
    e->phase = FT_EPOCH_IDLE;
    e->current--;
}

void ft_epoch_sent(FtEpoch *e)
{
    assert(e->phase == FT_EPOCH_CUT);
    e->phase = FT_EPOCH_INFLIGHT;
}

bool ft_epoch_ack(FtEpoch *e, uint64_t number, uint64_t stable, Error **errp)
{
    if (e->phase != FT_EPOCH_INFLIGHT || number != e->current - 1) {
        error_setg(errp, "the peer acknowledged epoch %" PRIu64
                   ", which is not in flight", number);
        return false;
    }
    if (stable < e->stable || stable > number) {
        error_setg(errp, "the peer acknowledged epoch %" PRIu64 " with epoch %"
                   PRIu64 " as stable", number, stable);
        return false;
    }
    e->phase = FT_EPOCH_IDLE;
    e->committed = number;
    e->stable = stable;
    return true;
}

bool ft_epoch_stable(FtEpoch *e, uint64_t number, Error **errp)
{
    if (number <= e->stable || number > e->committed) {
        error_setg(errp, "the peer said that epoch %" PRIu64 " is stable, "
                   "after epoch %" PRIu64 " of %" PRIu64, number, e->stable,
                   e->committed);
        return false;
    }
    e->stable = number;
    return true;
}
