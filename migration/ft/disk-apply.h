/*
 * QEMU-FT: writing committed epochs to the secondary's images
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef MIGRATION_FT_DISK_APPLY_H
#define MIGRATION_FT_DISK_APPLY_H

#include "disk.h"
#include "journal.h"

typedef struct FtApply FtApply;

/**
 * ft_apply_new: get ready to write to the images of @disks
 *
 * @wake: called in the main loop when answers or an error wait for the
 *     receiver
 *
 * Main loop, BQL held.  Activates the images, which takes their locks.
 * NULL with @errp set, naming the drive.
 */
FtApply *ft_apply_new(const FtDisks *disks, void (*wake)(void *),
                      void *opaque, Error **errp);

/**
 * ft_apply_finish: wait until all that was submitted is in the images
 *
 * Main loop, the receiver thread has ended.  False with @errp set when a
 * disk has failed.
 */
bool ft_apply_finish(FtApply *a, Error **errp);

/** ft_apply_free: let go of the images; waits for requests in flight */
void ft_apply_free(FtApply *a);

/**
 * ft_apply_submit: apply all of @part after what was submitted before
 *
 * Receiver thread.  @part is empty afterwards.  Returns the position of the
 * last flush in it, 0 when there is none.
 */
uint64_t ft_apply_submit(FtApply *a, FtJournalPart *part);

typedef enum FtApplyGoal {
    FT_APPLY_FLUSHED,           /* up to a position that submit() returned */
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

/** ft_apply_attention: an answer or an error waits; cheap */
bool ft_apply_attention(FtApply *a);

/** ft_apply_bytes: memory of operations not yet applied */
uint64_t ft_apply_bytes(FtApply *a);

#endif
