/*
 * QEMU-FT: the connection to a peer that may have taken over
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Without an arbiter the peer may have taken over behind a cut link, and only
 * the connection that was cut can still tell, when the link is back.  So it is
 * kept, muted, until the next peer is welcome.
 */
#include "qemu/osdep.h"
#include "former.h"
#include "primary-int.h"

static FtChannel *former;

void ft_former_close(void)
{
    if (former) {
        ft_channel_close(former);
        former = NULL;
    }
}

static void former_readable(void *opaque)
{
    FtRecord rec;
    int ret;

    while ((ret = ft_channel_read(former, &rec, NULL)) > 0) {
        if (rec.type == FT_REC_TAKEOVER) {
            uint64_t generation = ft_wire_get_u64(&rec);

            ft_former_close();
            ft_primary_fenced(generation);
            return;
        }
    }
    if (ret < 0) {
        ft_former_close();
    }
}

bool ft_former_keep(FtChannel *ch)
{
    if (!ft_channel_retire(ch)) {
        return false;
    }
    ft_former_close();
    former = ch;
    ft_channel_set_handler(ch, former_readable, NULL);
    return true;
}
