/*
 * QEMU-FT: receiving what the guest does to its disks
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef MIGRATION_FT_DISK_INTAKE_H
#define MIGRATION_FT_DISK_INTAKE_H

#include "channel.h"
#include "disk.h"
#include "disk-apply.h"

typedef struct FtDiskIntake {
    FtDisks disks;
    bool shared;                /* the primary's images are ours, too */
    FtJournal journal;          /* what is not committed */
    FtApply *apply;             /* what is; NULL: not open */
    FtChannel *ch;
    int64_t timeout_ns;

    /* The receiver thread's */
    FtJournalPart kept;         /* shared: what the images may lack */
    uint64_t acked;             /* the primary is about to know of it */
    uint64_t stable;            /* and of this */
    bool locked;                /* shared images are ours now */
    bool finished;              /* the images have all that is committed */
    bool durable;               /* of the last commit */
    uint64_t last_bytes;        /* to see whether the disks get on */
    int64_t moved_ns;           /* when they last did */

    uint64_t kept_bytes;        /* atomic */
} FtDiskIntake;

/*
 * Main loop, BQL held.
 *
 * ft_disk_intake_find: list this machine's disks, to be compared
 * ft_disk_intake_open: be ready for records from @ch
 * ft_disk_intake_finish: the receiver has ended: have everything that is
 *     committed in the images, and all images ready for the guest; first
 *     the locks of shared ones, waiting at most @lock_ms; once it has
 *     succeeded it does nothing.  False with @errp set: this copy must not
 *     be used; of shared images, once @locked, nothing is lost by that, and it
 *     may be called again
 * ft_disk_intake_bytes: memory of what is committed and not in the images
 */
bool ft_disk_intake_find(FtDiskIntake *in, Error **errp);
bool ft_disk_intake_open(FtDiskIntake *in, FtChannel *ch, uint32_t timeout_ms,
                         Error **errp);
bool ft_disk_intake_finish(FtDiskIntake *in, uint32_t lock_ms, Error **errp);
uint64_t ft_disk_intake_bytes(const FtDiskIntake *in);
void ft_disk_intake_destroy(FtDiskIntake *in);

/*
 * Receiver thread.
 *
 * ft_disk_intake_record: take a DISK, DISKHASH or APPLIED; false with @errp
 *     set: the peer has broken the protocol
 * ft_disk_intake_begin: the BEGIN of the next epoch has come
 *
 * What follows returns NULL, or one sentence, to be freed: a disk of ours
 * has failed, and with it this copy.
 *
 * ft_disk_intake_turn: to be called often: tell the peer what is to be told
 * ft_disk_intake_room: wait until the disks have caught up far enough
 * ft_disk_intake_settle: wait until they have done all they were given
 * ft_disk_intake_commit: the open epoch is committed: have it applied, and
 *     wait for what has to be true before it is acknowledged; the ACK's
 *     stable is put into @stable
 * ft_disk_intake_idle: wait until all that is committed is in the images
 * ft_disk_intake_end: have everything applied, no epoch will follow
 */
bool ft_disk_intake_record(FtDiskIntake *in, const FtRecord *rec,
                           Error **errp);
void ft_disk_intake_begin(FtDiskIntake *in);
char *ft_disk_intake_turn(FtDiskIntake *in);
char *ft_disk_intake_room(FtDiskIntake *in);
char *ft_disk_intake_idle(FtDiskIntake *in);
char *ft_disk_intake_settle(FtDiskIntake *in);
char *ft_disk_intake_commit(FtDiskIntake *in, bool durable,
                            uint64_t *stable);
char *ft_disk_intake_end(FtDiskIntake *in);

#endif
