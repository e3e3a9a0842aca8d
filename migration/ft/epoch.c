/*
 * QEMU-FT: the life of the epochs on the primary
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "epoch.h"

void ft_epoch_init(FtEpoch *e)
{
    *e = (FtEpoch) { .current = 1 };
}

static bool is_cut(const FtEpoch *e)
{
    return e->current - 1 > e->sent;
}

uint32_t ft_epoch_in_flight(const FtEpoch *e)
{
    return e->sent - e->committed;
}

uint64_t ft_epoch_cut(FtEpoch *e)
{
    assert(!is_cut(e));
    assert(ft_epoch_in_flight(e) < FT_EPOCHS_IN_FLIGHT);
    return e->current++;
}

void ft_epoch_abandon(FtEpoch *e)
{
    assert(is_cut(e));
    e->current--;
}

void ft_epoch_sent(FtEpoch *e)
{
    assert(is_cut(e));
    e->sent++;
}

bool ft_epoch_ack(FtEpoch *e, uint64_t number, uint64_t stable, Error **errp)
{
    if (number != e->committed + 1 || number > e->sent) {
        error_setg(errp, "the peer acknowledged epoch %" PRIu64
                   ", which is not the first in flight", number);
        return false;
    }
    if (stable < e->stable || stable > number) {
        error_setg(errp, "the peer acknowledged epoch %" PRIu64 " with epoch %"
                   PRIu64 " as stable", number, stable);
        return false;
    }
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
