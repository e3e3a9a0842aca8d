/*
 * QEMU-FT: records about disks, and the journal they go into
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "../../../migration/ft/journal.h"

static const uint64_t sizes[] = { 1 * MiB, 4096, 10 * MiB };

static FtRecord decode(GByteArray *buf)
{
    FtRecord rec;

    g_assert_cmpint(ft_wire_next(buf->data, buf->len, &rec, &error_abort),
                    ==, 1);
    return rec;
}

/* One DISK record into the journal; NULL when it was taken */
static char *give(FtJournal *j, uint64_t epoch, FtDiskKind kind,
                  uint16_t disk, uint64_t offset, uint64_t length)
{
    g_autoptr(GByteArray) buf = g_byte_array_new();
    g_autofree uint8_t *data = g_malloc0(length + 1);
    FtDiskOp op = {
        .epoch = epoch, .kind = kind, .disk = disk, .offset = offset,
        .length = length, .data = data,
    };
    Error *err = NULL;
    char *why = NULL;
    FtRecord rec;

    memset(data, epoch, length);
    ft_wire_put_disk(buf, &op);
    rec = decode(buf);
    if (!ft_journal_record(j, &rec, &err)) {
        why = g_strdup(error_get_pretty(err));
        error_free(err);
    }
    return why;
}

static void taken(char *why)
{
    g_assert_null(why);
}

static void refused(char *why, const char *part)
{
    g_assert_nonnull(why);
    g_assert_nonnull(strstr(why, part));
    g_free(why);
}

static void start(FtJournal *j, uint64_t committed)
{
    FtJournalPart part;

    ft_journal_init(j, ARRAY_SIZE(sizes), sizes);
    ft_journal_part_init(&part);
    for (uint64_t i = 0; i < committed; i++) {
        ft_journal_begin(j);
        ft_journal_commit(j, &part);
    }
    ft_journal_part_free(&part);
}

/* What comes out: "epoch:offset" of each, in order */
static char *list(FtJournalPart *part)
{
    GString *s = g_string_new("");
    FtJournalOp *op;

    QSIMPLEQ_FOREACH(op, &part->ops, next) {
        g_string_append_printf(s, "%" PRIu64 ":%" PRIu64 " ", op->op.epoch,
                               op->op.offset);
        if (op->data) {
            g_assert_cmpint(op->data[0], ==, op->op.epoch);
            g_assert_cmpint(op->data[op->op.length - 1], ==, op->op.epoch);
        }
    }
    return g_string_free(s, false);
}

static void test_epochs(void)
{
    FtJournal j;
    FtJournalPart part;
    g_autofree char *first = NULL, *second = NULL, *third = NULL;

    start(&j, 6);
    ft_journal_part_init(&part);
    taken(give(&j, 7, FT_DISK_WRITE, 0, 0, 512));
    taken(give(&j, 7, FT_DISK_FLUSH, 1, 0, 0));
    /* The next epoch begins to arrive before the BEGIN of this one */
    taken(give(&j, 8, FT_DISK_WRITE, 2, 4096, 512));
    taken(give(&j, 7, FT_DISK_ZERO, 0, 512, 512));
    refused(give(&j, 9, FT_DISK_WRITE, 0, 0, 512), "epoch 9 after epoch 6");
    refused(give(&j, 6, FT_DISK_WRITE, 0, 0, 512), "epoch 6 after epoch 6");
    refused(give(&j, 0, FT_DISK_WRITE, 0, 0, 512), "epoch 0");
    refused(give(&j, UINT64_MAX, FT_DISK_WRITE, 0, 0, 512), "after epoch 6");
    ft_journal_begin(&j);
    refused(give(&j, 7, FT_DISK_WRITE, 0, 0, 512), "epoch 7 after epoch 6");
    taken(give(&j, 8, FT_DISK_WRITE, 2, 8192, 512));

    ft_journal_commit(&j, &part);
    first = list(&part);
    g_assert_cmpstr(first, ==, "7:0 7:0 7:512 ");
    g_assert_cmpuint(part.count, ==, 3);
    ft_journal_part_free(&part);

    taken(give(&j, 8, FT_DISK_WRITE, 2, 0, 512));
    taken(give(&j, 9, FT_DISK_WRITE, 2, 1, 512));
    ft_journal_begin(&j);
    ft_journal_commit(&j, &part);
    second = list(&part);
    g_assert_cmpstr(second, ==, "8:4096 8:8192 8:0 ");
    ft_journal_part_free(&part);

    ft_journal_take_all(&j, &part);
    third = list(&part);
    g_assert_cmpstr(third, ==, "9:1 ");
    ft_journal_part_free(&part);
    g_assert_cmpuint(ft_journal_bytes(&j), ==, 0);
    ft_journal_destroy(&j);
}

static void test_ranges(void)
{
    FtJournal j;

    start(&j, 1);
    taken(give(&j, 2, FT_DISK_WRITE, 1, 4095, 1));
    refused(give(&j, 2, FT_DISK_WRITE, 1, 4095, 2), "does not exist");
    refused(give(&j, 2, FT_DISK_WRITE, 1, 4096, 1), "does not exist");
    refused(give(&j, 2, FT_DISK_WRITE, 3, 0, 1), "disk 3");
    refused(give(&j, 2, FT_DISK_WRITE, 0, 0, 0), "does not exist");
    refused(give(&j, 2, FT_DISK_WRITE, 0, UINT64_MAX, 2), "does not exist");
    refused(give(&j, 2, FT_DISK_FLUSH, 3, 0, 0), "flush");
    taken(give(&j, 2, FT_DISK_ZERO, 2, 0, 10 * MiB));
    taken(give(&j, 2, FT_DISK_DISCARD, 2, 5, 10 * MiB - 5));
    refused(give(&j, 2, FT_DISK_DISCARD, 2, 5, 10 * MiB), "does not exist");
    ft_journal_destroy(&j);
}

/* Fields that no encoder of ours would produce */
static void test_forged(void)
{
    static const struct {
        uint8_t kind;
        uint64_t length;
        uint32_t data;
    } bad[] = {
        { FT_DISK_WRITE, 513, 512 }, { FT_DISK_WRITE, 511, 512 },
        { FT_DISK_WRITE, UINT64_MAX, 512 }, { FT_DISK_ZERO, 512, 1 },
        { FT_DISK_FLUSH, 0, 1 }, { FT_DISK_FLUSH, 1, 0 },
        { FT_DISK_DISCARD, 512, 512 }, { FT_DISK__MAX, 512, 0 },
        { 255, 512, 512 },
    };

    for (int i = 0; i < ARRAY_SIZE(bad); i++) {
        g_autoptr(GByteArray) buf = g_byte_array_new();
        FtDiskWire w = {
            .epoch = cpu_to_be64(2),
            .length = cpu_to_be64(bad[i].length),
            .kind = bad[i].kind,
        };
        uint8_t data[512] = { 0 };
        size_t rec = ft_wire_begin(buf, FT_REC_DISK);
        Error *err = NULL;
        FtJournal j;
        FtRecord r;

        g_byte_array_append(buf, (guint8 *)&w, sizeof(w));
        g_byte_array_append(buf, data, bad[i].data);
        ft_wire_end(buf, rec);
        start(&j, 1);
        r = decode(buf);
        g_assert_false(ft_journal_record(&j, &r, &err));
        g_assert_nonnull(err);
        error_free(err);
        g_assert_cmpuint(ft_journal_bytes(&j), ==, 0);
        ft_journal_destroy(&j);
    }
}

static bool question(FtJournal *j, uint64_t offset, uint32_t length,
                     Error **errp)
{
    g_autoptr(GByteArray) buf = g_byte_array_new();
    FtDiskHash h = { .offset = offset, .length = length, .disk = 2 };
    FtRecord rec;

    memset(h.hash, 0xa5, sizeof(h.hash));
    ft_wire_put_disk_hash(buf, &h);
    rec = decode(buf);
    return ft_journal_record(j, &rec, errp);
}

static void test_questions(void)
{
    FtJournal j;
    FtJournalPart part;
    FtJournalOp *op;

    start(&j, 0);
    ft_journal_part_init(&part);
    g_assert_true(question(&j, 4096, 512 * KiB, &error_abort));
    g_assert_false(question(&j, 4096, 512 * KiB + 1, NULL));
    g_assert_false(question(&j, 10 * MiB, 1, NULL));
    taken(give(&j, 1, FT_DISK_WRITE, 0, 0, 512));
    ft_journal_take(&j, &part);
    op = QSIMPLEQ_FIRST(&part.ops);
    g_assert_true(op->question);
    g_assert_cmpint(op->hash[31], ==, 0xa5);
    g_assert_false(QSIMPLEQ_NEXT(op, next)->question);
    ft_journal_part_free(&part);

    ft_journal_begin(&j);
    g_assert_false(question(&j, 0, 512, NULL));
    ft_journal_commit(&j, &part);
    g_assert_false(question(&j, 0, 512, NULL));
    ft_journal_destroy(&j);
}

static void test_answer(void)
{
    g_autoptr(GByteArray) buf = g_byte_array_new();
    FtDiskSame in = { .offset = 77, .disk = 1, .same = true }, out;
    FtRecord rec;

    ft_wire_put_disk_same(buf, &in);
    rec = decode(buf);
    g_assert_true(ft_wire_get_disk_same(&rec, 2, &out, &error_abort));
    g_assert_cmpuint(out.offset, ==, 77);
    g_assert_cmpuint(out.disk, ==, 1);
    g_assert_true(out.same);
    g_assert_false(ft_wire_get_disk_same(&rec, 1, &out, NULL));
}

/* The journal counts what it holds, and refuses more than the limit */
static void test_memory(void)
{
    FtJournal j;
    uint64_t before;
    char *why = NULL;
    int n = 0;

    start(&j, 1);
    taken(give(&j, 2, FT_DISK_WRITE, 2, 0, 512 * KiB));
    before = ft_journal_bytes(&j);
    g_assert_cmpuint(before, >=, 512 * KiB);
    g_assert_cmpuint(before, <, 513 * KiB);
    while (!why && n++ < 4096) {
        why = give(&j, 2, FT_DISK_WRITE, 2, 0, 512 * KiB);
    }
    refused(why, "1024 MiB");
    g_assert_cmpuint(ft_journal_bytes(&j), <=, 1 * GiB);
    ft_journal_destroy(&j);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ft/journal/epochs", test_epochs);
    g_test_add_func("/ft/journal/ranges", test_ranges);
    g_test_add_func("/ft/journal/forged", test_forged);
    g_test_add_func("/ft/journal/questions", test_questions);
    g_test_add_func("/ft/journal/answer", test_answer);
    g_test_add_func("/ft/journal/memory", test_memory);
    return g_test_run();
}
