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

/* What a primary says about the session, besides its machine */
typedef struct FtTerms {
    uint64_t generation;
    uint32_t timeout_ms;        /* holds for both sides */
    char *listen;               /* where it would wait; to be freed, or NULL */
} FtTerms;

/** ft_machine_describe: this machine as JSON for the HELLO; BQL held */
char *ft_machine_describe(const FtRam *ram, const FtDisks *disks,
                          uint64_t generation);

/**
 * ft_machine_matches: compare the peer's description with this machine
 *
 * @json: what the peer sent, not trusted
 *
 * False with @errp set to a sentence that names the first difference; also
 * when @json is no description at all.  On success @terms and the used
 * lengths of all blocks, @used, are the peer's; the lengths are not yet
 * checked.  Main loop, BQL held.
 */
bool ft_machine_matches(const char *json, const FtRam *ram,
                        const FtDisks *disks, uint64_t *used,
                        FtTerms *terms, Error **errp);

/**
 * ft_machine_can_protect: refuse what cannot be mirrored
 *
 * False with @errp set to a sentence that names the device or option.
 * Main loop, BQL held; all devices exist.
 */
bool ft_machine_can_protect(Error **errp);

#endif
