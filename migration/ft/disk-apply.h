/*
 * QEMU-FT: writing committed epochs to images
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef MIGRATION_FT_DISK_APPLY_H
#define MIGRATION_FT_DISK_APPLY_H

#include "journal.h"

typedef struct FtApply FtApply;

/* One disk.  The functions run in coroutines of the main loop. */
typedef struct FtApplyTarget {
    char *name;                 /* as it is to stand in an error; freed */
    void *opaque;
    /* WRITE, ZERO, DISCARD or FLUSH; 0 or -errno */
    int coroutine_fn (*perform)(void *opaque, const FtJournalOp *op);
    /* Only needed where questions come */
    int coroutine_fn (*read)(void *opaque, int64_t offset, int64_t bytes,
                             uint8_t *data);
    void (*release)(void *opaque);      /* may be NULL */
} FtApplyTarget;

/**
 * ft_apply_new: an applier without disks
 *
 * @wake: called in the main loop when answers, an error or a stable epoch
 *     wait to be looked at
 * @held_up: start nothing while this says true; may be NULL
 *
 * Main loop, BQL held.
 */
FtApply *ft_apply_new(void (*wake)(void *opaque), bool (*held_up)(void),
                      void *opaque);

/** ft_apply_add: the next disk; before anything is submitted for it */
void ft_apply_add(FtApply *a, const FtApplyTarget *target);

/**
 * ft_apply_finish: wait until all that was submitted is in the images
 *
 * Main loop, nobody submits any more.  False with @errp set when a disk has
 * failed.
 */
bool ft_apply_finish(FtApply *a, Error **errp);

/** ft_apply_free: let go of the images; waits for requests in flight */
void ft_apply_free(FtApply *a);

/**
 * ft_apply_submit: apply all of @part after what was submitted before
 *
 * @epoch: which it belongs to, not less than that of any call before
 *
 * One thread at a time.  @part is empty afterwards.
 */
void ft_apply_submit(FtApply *a, FtJournalPart *part, uint64_t epoch);

/**
 * ft_apply_stable: the last submitted epoch with no flush to be carried out
 * in it, nor in one before it
 */
uint64_t ft_apply_stable(FtApply *a);

typedef enum FtApplyGoal {
    FT_APPLY_BELOW,             /* less than so many bytes wait */
    FT_APPLY_IDLE,              /* everything is done */
} FtApplyGoal;

/**
 * ft_apply_wait: at most @ms for the goal
 *
 * Any thread but the main loop's.  True: it is reached, or a disk has
 * failed.
 */
bool ft_apply_wait(FtApply *a, FtApplyGoal goal, uint64_t value,
                   uint32_t ms);

/** ft_apply_error: which disk has failed, and how; NULL: none; to be freed */
char *ft_apply_error(FtApply *a);

/** ft_apply_answers: DISKSAME records to be sent, moved to @out */
void ft_apply_answers(FtApply *a, GByteArray *out);

/** ft_apply_attention: wake() was called since this was asked last; cheap */
bool ft_apply_attention(FtApply *a);

/** ft_apply_bytes: memory of operations not yet applied */
uint64_t ft_apply_bytes(FtApply *a);

#endif
