/*
 * QEMU-FT: disk operations on the secondary, by epoch
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef MIGRATION_FT_JOURNAL_H
#define MIGRATION_FT_JOURNAL_H

#include "qemu/queue.h"
#include "wire.h"

typedef struct FtJournalOp FtJournalOp;

/* One operation with its data, or a question of the first copy */
struct FtJournalOp {
    QSIMPLEQ_ENTRY(FtJournalOp) next;
    FtDiskOp op;
    bool question;
    uint8_t hash[FT_WIRE_DISK_HASH];
    uint8_t *data;              /* of a WRITE, aligned for direct I/O */
    /* Instead of freeing it, once it has been @performed or given up */
    void (*done)(FtJournalOp *op, bool performed);
};

typedef QSIMPLEQ_HEAD(FtJournalQueue, FtJournalOp) FtJournalQueue;

typedef struct FtJournalPart {
    FtJournalQueue ops;
    uint64_t bytes, count;
} FtJournalPart;

/*
 * What has arrived for epochs that are not committed.  Belongs to the
 * receiver thread; after its end, to the main loop.
 */
typedef struct FtJournal {
    uint32_t ndisks;
    uint64_t sizes[FT_WIRE_MAX_DISKS];
    uint64_t committed;
    bool begun;                 /* BEGIN of @committed + 1 has come */
    FtJournalPart open[2];      /* @committed + 1, @committed + 2 */
} FtJournal;

void ft_journal_init(FtJournal *j, uint32_t ndisks, const uint64_t *sizes);
void ft_journal_destroy(FtJournal *j);

/**
 * ft_journal_record: take a DISK or a DISKHASH
 *
 * False with @errp set when the peer has broken the protocol.  Before the
 * first commit, what belongs to epoch 1 can be had by ft_journal_take() at
 * any time.
 */
bool ft_journal_record(FtJournal *j, const FtRecord *rec, Error **errp);

/** ft_journal_begin: the BEGIN of the next epoch has come */
void ft_journal_begin(FtJournal *j);

/** ft_journal_take: move the operations of the next epoch into @part */
void ft_journal_take(FtJournal *j, FtJournalPart *part);

/** ft_journal_commit: as ft_journal_take(), and that epoch is committed */
void ft_journal_commit(FtJournal *j, FtJournalPart *part);

/**
 * ft_journal_take_all: everything that has arrived
 *
 * For an END: the guest has done all of it, nothing of it will be undone.
 */
void ft_journal_take_all(FtJournal *j, FtJournalPart *part);

/** ft_journal_bytes: memory in use */
uint64_t ft_journal_bytes(const FtJournal *j);

void ft_journal_part_init(FtJournalPart *part);
void ft_journal_part_free(FtJournalPart *part);
void ft_journal_part_push(FtJournalPart *part, FtJournalOp *op);
void ft_journal_part_append(FtJournalPart *to, FtJournalPart *from);

/** ft_journal_part_drop: free what belongs to epochs up to @epoch */
void ft_journal_part_drop(FtJournalPart *part, uint64_t epoch);

/** ft_journal_op_end: nothing more is done with @op */
void ft_journal_op_end(FtJournalOp *op, bool performed);
uint64_t ft_journal_op_bytes(const FtJournalOp *op);

#endif
