/*
 * QEMU-FT: disk operations on the secondary, by epoch
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Operations arrive tagged, some of the next epoch before the BEGIN of this
 * one.  They are kept apart until their epoch is committed, so that the
 * image holds nothing the survivor would not know of.
 *
 * Order within an epoch is the order of arrival and matters: see
 * disk-apply.c.
 */
#include "qemu/osdep.h"
#include "qemu/memalign.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "journal.h"

#define ALIGNMENT 4096

void ft_journal_part_init(FtJournalPart *part)
{
    QSIMPLEQ_INIT(&part->ops);
    part->bytes = part->count = 0;
}

void ft_journal_op_end(FtJournalOp *op, bool performed)
{
    if (op->done) {
        op->done(op, performed);
        return;
    }
    qemu_vfree(op->data);
    g_free(op);
}

uint64_t ft_journal_op_bytes(const FtJournalOp *op)
{
    return sizeof(*op) + (op->data ? op->op.length : 0);
}

void ft_journal_part_drop(FtJournalPart *part, uint64_t epoch)
{
    FtJournalOp *op;

    while ((op = QSIMPLEQ_FIRST(&part->ops)) && op->op.epoch <= epoch) {
        QSIMPLEQ_REMOVE_HEAD(&part->ops, next);
        part->bytes -= ft_journal_op_bytes(op);
        part->count--;
        ft_journal_op_end(op, false);
    }
}

void ft_journal_part_free(FtJournalPart *part)
{
    ft_journal_part_drop(part, UINT64_MAX);
}

void ft_journal_part_push(FtJournalPart *part, FtJournalOp *op)
{
    QSIMPLEQ_INSERT_TAIL(&part->ops, op, next);
    part->bytes += ft_journal_op_bytes(op);
    part->count++;
}

void ft_journal_part_append(FtJournalPart *to, FtJournalPart *from)
{
    QSIMPLEQ_CONCAT(&to->ops, &from->ops);
    to->bytes += from->bytes;
    to->count += from->count;
    from->bytes = from->count = 0;
}

void ft_journal_init(FtJournal *j, uint32_t ndisks, const uint64_t *sizes)
{
    *j = (FtJournal) { .ndisks = ndisks };
    memcpy(j->sizes, sizes, ndisks * sizeof(*sizes));
    ft_journal_part_init(&j->open[0]);
    ft_journal_part_init(&j->open[1]);
}

void ft_journal_destroy(FtJournal *j)
{
    ft_journal_part_free(&j->open[0]);
    ft_journal_part_free(&j->open[1]);
}

static bool take_disk(FtJournal *j, const FtRecord *rec, Error **errp)
{
    FtJournalPart *part;
    FtJournalOp *op;
    FtDiskOp d;

    if (!ft_wire_get_disk(rec, j->ndisks, j->sizes, &d, errp)) {
        return false;
    }
    if (d.epoch <= j->committed || d.epoch - j->committed > 2 ||
        (d.epoch == j->committed + 1 && j->begun)) {
        error_setg(errp, "the peer sent a part of disk %u for epoch %" PRIu64
                   " after epoch %" PRIu64, d.disk, d.epoch, j->committed);
        return false;
    }
    part = &j->open[d.epoch - j->committed - 1];
    if (part->bytes + rec->length > FT_WIRE_MAX_DISK_EPOCH) {
        error_setg(errp, "the peer sent more than %" PRIu64 " MiB of disk "
                   "contents for epoch %" PRIu64,
                   (uint64_t)(FT_WIRE_MAX_DISK_EPOCH / MiB), d.epoch);
        return false;
    }
    op = g_new0(FtJournalOp, 1);
    op->op = d;
    op->op.data = NULL;
    if (d.kind == FT_DISK_WRITE) {
        op->data = qemu_memalign(ALIGNMENT, d.length);
        memcpy(op->data, d.data, d.length);
    }
    ft_journal_part_push(part, op);
    return true;
}

static bool take_question(FtJournal *j, const FtRecord *rec, Error **errp)
{
    FtJournalOp *op;
    FtDiskHash h;

    if (!ft_wire_get_disk_hash(rec, j->ndisks, j->sizes, &h, errp)) {
        return false;
    }
    if (j->committed || j->begun) {
        error_setg(errp, "the peer sent DISKHASH out of order");
        return false;
    }
    op = g_new0(FtJournalOp, 1);
    op->question = true;
    op->op.disk = h.disk;
    op->op.offset = h.offset;
    op->op.length = h.length;
    memcpy(op->hash, h.hash, sizeof(op->hash));
    ft_journal_part_push(&j->open[0], op);
    return true;
}

bool ft_journal_record(FtJournal *j, const FtRecord *rec, Error **errp)
{
    return rec->type == FT_REC_DISK ? take_disk(j, rec, errp) :
           take_question(j, rec, errp);
}

void ft_journal_begin(FtJournal *j)
{
    j->begun = true;
}

void ft_journal_take(FtJournal *j, FtJournalPart *part)
{
    ft_journal_part_append(part, &j->open[0]);
}

void ft_journal_commit(FtJournal *j, FtJournalPart *part)
{
    ft_journal_take(j, part);
    ft_journal_part_append(&j->open[0], &j->open[1]);
    j->committed++;
    j->begun = false;
}

void ft_journal_take_all(FtJournal *j, FtJournalPart *part)
{
    ft_journal_part_append(part, &j->open[0]);
    ft_journal_part_append(part, &j->open[1]);
}

uint64_t ft_journal_bytes(const FtJournal *j)
{
    return j->open[0].bytes + j->open[1].bytes;
}
