/*
 * QEMU-FT: what a kind of store has to provide
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * For arbiter-store.c and the stores only.  A store moves text; what the
 * text means, and who wins, is decided in arbiter-store.c alone.
 */
#ifndef MIGRATION_FT_ARBITER_BACKEND_H
#define MIGRATION_FT_ARBITER_BACKEND_H

#include "arbiter-store.h"

/* A record is some 200 bytes */
#define FT_RECORD_MAX 4096

/* What a store holds for this VM */
typedef struct FtRecord {
    char *text;                 /* NULL: there is none */
    int64_t revision;           /* the store's own, of this text */
} FtRecord;

/* Deadlines: microseconds of g_get_monotonic_time() */
typedef struct FtStoreOps {
    /*
     * Keep others out until end(); for stores that cannot compare and
     * replace in one step.  Both NULL otherwise.
     */
    bool (*begin)(FtStore *s, int64_t deadline, Error **errp);
    void (*end)(FtStore *s);
    /* What is there now.  False with @errp set: unknown. */
    bool (*load)(FtStore *s, FtRecord *record, int64_t deadline,
                 Error **errp);
    /*
     * Replace @record, as loaded or saved last, by @text; @record is the new
     * one then.  FT_STORE_LOST: somebody was faster, @record is what is there.
     */
    FtStoreResult (*save)(FtStore *s, FtRecord *record, const char *text,
                          int64_t deadline, Error **errp);
    void (*free)(FtStore *s);
} FtStoreOps;

/* First member of each store's own struct */
struct FtStore {
    const FtStoreOps *ops;
    char *vm;
    char *name;                 /* for messages, set by the store */
    bool known;                 /* @record and @seat were true once */
    FtRecord record;
    FtSeat seat;                /* what @record says */
};

/** ft_record_set: takes @text over, or copies nothing when NULL */
void ft_record_set(FtRecord *record, char *text, int64_t revision);

FtStore *ft_etcd_new(const FtStoreConfig *cfg, Error **errp);
FtStore *ft_file_new(const FtStoreConfig *cfg, Error **errp);

/** ft_etcd_check_tls: are the files that TLS needs in @dir? */
bool ft_etcd_check_tls(const char *dir, Error **errp);

#endif
