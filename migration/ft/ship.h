/*
 * QEMU-FT: sending an epoch
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef MIGRATION_FT_SHIP_H
#define MIGRATION_FT_SHIP_H

#include "channel.h"
#include "compress.h"
#include "cut.h"
#include "hot.h"
#include "ram.h"

/* What the peer holds of one block: only pages that were sent in an epoch */
typedef struct FtShadow {
    uint8_t *pages;
    size_t size;
    unsigned long *valid;
} FtShadow;

struct FtShip {
    const FtRam *ram;
    FtCompress *compress;
    FtCut *cut;                 /* the epoch being sent */
    bool in_thread;             /* which may take its time */
    int64_t waited;             /* for the socket, ns */
    FtShadow shadow[FT_WIRE_MAX_BLOCKS];
    FtHot hot;
    GByteArray *device;         /* as the peer holds it */
    uint64_t device_epoch;      /* epoch @device belongs to, 0: none */
    GByteArray *carried;        /* packets that go with the epoch (carry.c) */
    GByteArray *wire;           /* being encoded */
    uint8_t delta[4096];        /* on the stack it would be cleared each time */
    size_t record;              /* where its open PAGES record starts */
    bool record_open;
    uint64_t entries;           /* page entries of this epoch */
    /* Settled before its last byte leaves */
    uint64_t bytes;             /* on the wire */
    int64_t busy;               /* time spent on it, but for waiting, ns */
};

bool ft_ship_init(FtShip *s, const FtRam *ram, FtCompress *compress,
                  Error **errp);

/** ft_ship_destroy: after the channel was closed */
void ft_ship_destroy(FtShip *s);

/**
 * ft_ship_in_place: encode the pages of @cut where they are, if that is best
 *
 * From within the cut, the guest standing still, @cut->list complete, the
 * epoch before handed over.  True: @cut->in_place, the pages need not be
 * copied, and ft_ship() has to follow.
 */
bool ft_ship_in_place(FtShip *s, FtCut *cut);

/**
 * ft_ship: encode @cut against what the peer holds, and send it
 *
 * With the BQL.  Small epochs are encoded and handed to the connection here and
 * now: true, nothing of @cut or @s is needed any more for it.  Large ones in the
 * channel's thread: false, they belong to it until the epoch is acknowledged.
 */
bool ft_ship(FtShip *s, FtCut *cut, FtChannel *ch);

#endif
