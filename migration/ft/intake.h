/*
 * QEMU-FT: receiving epochs
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef MIGRATION_FT_INTAKE_H
#define MIGRATION_FT_INTAKE_H

#include "arena.h"
#include "ram.h"
#include "wire.h"
#include "wire-zstd.h"

typedef enum FtIntakeResult {
    FT_INTAKE_BROKEN = -1,      /* the peer has broken the protocol */
    FT_INTAKE_MORE,             /* fine; the epoch goes on */
    FT_INTAKE_COMPLETE,         /* a whole valid epoch is staged */
} FtIntakeResult;

typedef enum FtIntakePhase {
    FT_INTAKE_COPY,             /* nothing committed; COPY allowed */
    FT_INTAKE_BETWEEN,          /* no epoch open */
    FT_INTAKE_OPEN,             /* between BEGIN and COMMIT */
    FT_INTAKE_STAGED,           /* complete, not yet applied */
} FtIntakePhase;

/* Belongs to the receiver thread; after its end, to the main loop */
typedef struct FtIntake {
    FtRam *ram;
    bool (*resize)(FtBlock *b, uint64_t used, Error **errp);

    FtIntakePhase phase;
    uint64_t committed;         /* epoch in RAM and @device, 0: none */
    GByteArray *device;         /* device state of @committed */
    FtZstd *zstd;               /* NULL until a COMPRESSED has come */

    /* The open epoch */
    uint64_t epoch;
    uint64_t used[FT_WIRE_MAX_BLOCKS];
    uint64_t npages[FT_WIRE_MAX_BLOCKS];
    FtArena stage;              /* page entries back to back */
    uint64_t entries;
    FtPageId last_page;         /* entries ascend */
    GByteArray *next_device;
    bool device_delta;          /* that is what changes in @device */
    uint64_t device_full;       /* its length, 0: none came yet */
    uint64_t device_have;
    FtCommit commit;

    uint64_t copied;            /* bytes of RAM the first copy covered */
} FtIntake;

/**
 * ft_intake_init: ready for a new connection
 *
 * @resize: make a block @used bytes long; may be NULL in tests
 */
bool ft_intake_init(FtIntake *in, FtRam *ram,
                    bool (*resize)(FtBlock *b, uint64_t used, Error **errp),
                    Error **errp);
void ft_intake_destroy(FtIntake *in);

/**
 * ft_intake_record: take a COPY, BEGIN, PAGES, DEVICE, COMMIT or COMPRESSED
 *
 * Everything is validated here, so that applying cannot fail.  On BROKEN
 * with @errp set, the last committed epoch is still in place.
 */
FtIntakeResult ft_intake_record(FtIntake *in, const FtRecord *rec,
                                Error **errp);

/**
 * ft_intake_apply: make the staged epoch the committed one
 *
 * @progress: called every few MiB, may be NULL
 */
void ft_intake_apply(FtIntake *in, void (*progress)(void *), void *opaque);

/** ft_intake_verify: the committed state has the hashes of its COMMIT */
bool ft_intake_verify(FtIntake *in, void (*progress)(void *), void *opaque);

/** ft_intake_device_verified: that part of it which is device state */
bool ft_intake_device_verified(const FtIntake *in);

#endif
