/*
 * QEMU-FT: where primaries knock
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * All functions: main loop, BQL held.
 */
#ifndef MIGRATION_FT_DOOR_H
#define MIGRATION_FT_DOOR_H

#include "channel.h"

/*
 * Decide on a caller that has said HELLO.  True: @ch belongs to the callee
 * from now on.  False with @errp set to what the caller is to be told.
 */
typedef bool FtDoorAdmit(FtChannel *ch, const char *json, Error **errp);

/*
 * The same for a caller that has said ATTACH, which is @rec.  True: @ch is
 * gone.
 */
typedef bool FtDoorAttach(FtChannel *ch, const FtRecord *rec, Error **errp);

/** ft_door_open: listen on ft_opts.addr */
bool ft_door_open(FtDoorAdmit *admit, FtDoorAttach *attach, Error **errp);

/** ft_door_close: no callers any more; those that wait are sent away */
void ft_door_close(void);

#endif
