/*
 * QEMU-FT: what has to be the same on both sides
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef MIGRATION_FT_MACHINE_H
#define MIGRATION_FT_MACHINE_H

#include "qapi/qapi-types-ft.h"
#include "disk.h"
#include "ram.h"

/** ft_machine_describe: this machine as JSON for the HELLO; BQL held */
char *ft_machine_describe(const FtRam *ram, const FtDisks *disks,
                          uint64_t generation);

/**
 * ft_machine_matches: compare the peer's description with this machine
 *
 * @json: what the peer sent, not trusted
 *
 * False with @errp set to a sentence that names the first difference; also
 * when @json is no description at all.  On success @generation, @listen (to
 * be freed, may be NULL) and the used lengths of all blocks, @used, are the
 * peer's; the lengths and @listen are not yet checked.  Main loop, BQL held.
 */
bool ft_machine_matches(const char *json, const FtRam *ram,
                        const FtDisks *disks, uint64_t *used,
                        uint64_t *generation, char **listen, Error **errp);

/**
 * ft_machine_can_protect: refuse what cannot be mirrored
 *
 * False with @errp set to a sentence that names the device or option.
 * Main loop, BQL held; all devices exist.
 */
bool ft_machine_can_protect(Error **errp);

#endif
