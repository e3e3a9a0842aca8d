/*
 * QEMU-FT: who may act
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Without an arbiter both claims are granted: the rules of the protocol
 * (END, TAKEOVER, a secondary that was itself silent) keep two copies from
 * acting as long as one of the two processes is dead or the connection
 * still carries data.  When both live and the link between them is cut in
 * both directions, both act.  docs/failure-modes.rst says so too.
 */
#include "qemu/osdep.h"
#include "arbiter.h"

bool ft_may_act(FtClaim claim, uint64_t generation, Error **errp)
{
    return true;
}
