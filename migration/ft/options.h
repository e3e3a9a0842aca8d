/*
 * QEMU-FT: the keys of -ft-peer and -ft-listen
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef MIGRATION_FT_OPTIONS_H
#define MIGRATION_FT_OPTIONS_H

#include "qapi/qapi-types-common.h"
#include "qapi/qapi-types-ft.h"
#include "peers.h"

typedef struct FtOptions {
    bool given;                 /* one of the two options was used */
    bool incoming_given;        /* so was -incoming */
    bool listen;
    FtAddress listen_at;        /* of a secondary, or of a later one */
    uint32_t interval_ms;       /* longest time between two cuts */
    uint32_t output_delay_us;   /* longest wait of output for a cut */
    uint32_t quiet_us;          /* cut when no more output came for so long */
    uint32_t dirty_limit;       /* no more dirty pages without a cut */
    uint32_t in_flight;         /* epochs at most (overlap.c) */
    uint32_t timeout_ms;        /* a peer silent for so long is dead */
    uint32_t throttle;          /* most of its time that a guest loses, % */
    uint32_t self_check;        /* compare every N-th epoch, 0: never */
    uint32_t sync_rate;         /* of the disks' first copy, MiB/s, 0: all */
    FtDurability durability;
    FtDiskSync disk_sync;
    OnOffAuto compress;         /* memory on its way to the peer */
    bool shared;                /* both sides have the same images */
    bool arbiter_force;         /* start whatever its record says */
    bool early;                 /* by the number of packets (burst.c) */
    bool carry;                 /* packets travel with their epoch (carry.c) */
    bool stamp;                 /* frames say the generation (gate-net.c) */
} FtOptions;

/* Set once by ft_option_parse() */
extern FtOptions ft_opts;

/* Range of the key timeout */
#define FT_TIMEOUT_MIN_MS 50
#define FT_TIMEOUT_MAX_MS 60000

#endif
