/*
 * QEMU-FT: packets that came for the guest when this process had died
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef MIGRATION_FT_SALVAGE_H
#define MIGRATION_FT_SALVAGE_H

#include "channel.h"

/**
 * ft_salvage_start: from now on, what is pending when we die, and what is left
 * in the taps, goes to @ch's peer
 *
 * @epoch, @released: where to read what an INPUT record says, when the time
 *     comes; valid until ft_salvage_stop()
 *
 * Main thread, BQL held.  Does nothing where there is no keeper, or there are
 * several links: TCP repeats what is lost.
 */
void ft_salvage_start(FtChannel *ch, const uint64_t *epoch,
                      const uint64_t *released);

/** ft_salvage_on: that would be done */
bool ft_salvage_on(void);

/** ft_salvage_stop: what comes is not for @ch's peer any more; main thread */
void ft_salvage_stop(void);

#endif
