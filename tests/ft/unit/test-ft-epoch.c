/*
 * QEMU-FT: tests of the life of an epoch
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "migration/ft/epoch.h"

static void assert_epoch(const FtEpoch *e, uint64_t committed, uint64_t sent,
                         uint64_t current)
{
    g_assert_cmpuint(e->committed, ==, committed);
    g_assert_cmpuint(e->sent, ==, sent);
    g_assert_cmpuint(e->current, ==, current);
    g_assert_cmpuint(ft_epoch_in_flight(e), ==, sent - committed);
}

static void refuse_ack(FtEpoch *e, uint64_t number)
{
    FtEpoch before = *e;
    Error *err = NULL;

    g_assert(!ft_epoch_ack(e, number, 0, &err));
    error_free_or_abort(&err);
    assert_epoch(e, before.committed, before.sent, before.current);
}

static void test_life(void)
{
    FtEpoch e;

    ft_epoch_init(&e);
    assert_epoch(&e, 0, 0, 1);
    for (uint64_t n = 1; n <= 3; n++) {
        g_assert_cmpuint(ft_epoch_cut(&e), ==, n);
        assert_epoch(&e, n - 1, n - 1, n + 1);
        ft_epoch_sent(&e);
        assert_epoch(&e, n - 1, n, n + 1);
        g_assert(ft_epoch_ack(&e, n, n, &error_abort));
        assert_epoch(&e, n, n, n + 1);
    }
}

static void send_one(FtEpoch *e, uint64_t number)
{
    g_assert_cmpuint(ft_epoch_cut(e), ==, number);
    ft_epoch_sent(e);
}

/* Several in flight are acknowledged one after the other, from the oldest */
static void test_several(void)
{
    FtEpoch e;

    ft_epoch_init(&e);
    for (uint64_t n = 1; n <= FT_EPOCHS_IN_FLIGHT; n++) {
        send_one(&e, n);
    }
    assert_epoch(&e, 0, FT_EPOCHS_IN_FLIGHT, FT_EPOCHS_IN_FLIGHT + 1);
    refuse_ack(&e, 2);
    refuse_ack(&e, FT_EPOCHS_IN_FLIGHT);
    g_assert(ft_epoch_ack(&e, 1, 1, &error_abort));
    refuse_ack(&e, 1);
    refuse_ack(&e, 3);
    /* Also while the next is being cut, and when that came to nothing */
    ft_epoch_cut(&e);
    g_assert(ft_epoch_ack(&e, 2, 1, &error_abort));
    ft_epoch_abandon(&e);
    send_one(&e, FT_EPOCHS_IN_FLIGHT + 1);
    assert_epoch(&e, 2, FT_EPOCHS_IN_FLIGHT + 1, FT_EPOCHS_IN_FLIGHT + 2);
    for (uint64_t n = 3; n <= FT_EPOCHS_IN_FLIGHT + 1; n++) {
        g_assert(ft_epoch_ack(&e, n, 1, &error_abort));
    }
    refuse_ack(&e, FT_EPOCHS_IN_FLIGHT + 2);
    g_assert(ft_epoch_stable(&e, FT_EPOCHS_IN_FLIGHT, &error_abort));
}

/* The number of an epoch that was not sent is used again */
static void test_abandon(void)
{
    FtEpoch e;

    ft_epoch_init(&e);
    g_assert_cmpuint(ft_epoch_cut(&e), ==, 1);
    ft_epoch_abandon(&e);
    assert_epoch(&e, 0, 0, 1);
    g_assert_cmpuint(ft_epoch_cut(&e), ==, 1);
    ft_epoch_sent(&e);
    g_assert(ft_epoch_ack(&e, 1, 1, &error_abort));
    g_assert_cmpuint(ft_epoch_cut(&e), ==, 2);
    ft_epoch_abandon(&e);
    assert_epoch(&e, 1, 1, 2);
}

/* No ack counts but that of the epoch in flight, and that one once */
static void test_wrong_ack(void)
{
    FtEpoch e;

    ft_epoch_init(&e);
    refuse_ack(&e, 0);
    refuse_ack(&e, 1);
    ft_epoch_cut(&e);
    refuse_ack(&e, 1);
    ft_epoch_sent(&e);
    refuse_ack(&e, 0);
    refuse_ack(&e, 2);
    refuse_ack(&e, UINT64_MAX);
    g_assert(ft_epoch_ack(&e, 1, 1, &error_abort));
    refuse_ack(&e, 1);
    refuse_ack(&e, 2);
    ft_epoch_cut(&e);
    ft_epoch_sent(&e);
    refuse_ack(&e, 1);
}

static void commit(FtEpoch *e, uint64_t number, uint64_t stable)
{
    send_one(e, number);
    g_assert(ft_epoch_ack(e, number, stable, &error_abort));
    g_assert_cmpuint(e->stable, ==, stable);
}

static void refuse_stable(FtEpoch *e, uint64_t number)
{
    uint64_t before = e->stable;
    Error *err = NULL;

    g_assert(!ft_epoch_stable(e, number, &err));
    error_free_or_abort(&err);
    g_assert_cmpuint(e->stable, ==, before);
}

/* Only what is committed can become stable, and only once */
static void test_stable(void)
{
    Error *err = NULL;
    FtEpoch e;

    ft_epoch_init(&e);
    refuse_stable(&e, 0);
    refuse_stable(&e, 1);
    commit(&e, 1, 1);
    commit(&e, 2, 1);
    refuse_stable(&e, 1);
    refuse_stable(&e, 3);
    commit(&e, 3, 1);
    g_assert(ft_epoch_stable(&e, 2, &error_abort));
    g_assert_cmpuint(e.stable, ==, 2);
    g_assert(ft_epoch_stable(&e, 3, &error_abort));
    refuse_stable(&e, 3);

    ft_epoch_cut(&e);
    ft_epoch_sent(&e);
    refuse_stable(&e, 4);
    g_assert(!ft_epoch_ack(&e, 4, 2, &err));
    error_free_or_abort(&err);
    g_assert(!ft_epoch_ack(&e, 4, 5, &err));
    error_free_or_abort(&err);
    assert_epoch(&e, 3, 4, 5);
    g_assert(ft_epoch_ack(&e, 4, 3, &error_abort));
    g_assert_cmpuint(e.stable, ==, 3);
}

typedef void Step(FtEpoch *e);

static void cut(FtEpoch *e)
{
    ft_epoch_cut(e);
}

static void fill(FtEpoch *e)
{
    while (ft_epoch_in_flight(e) < FT_EPOCHS_IN_FLIGHT) {
        cut(e);
        ft_epoch_sent(e);
    }
}

static const struct {
    const char *name;
    Step *step[3];
} misuses[] = {
    { "cut-cut", { cut, cut } },
    { "cut-full", { fill, cut } },
    { "sent-idle", { ft_epoch_sent } },
    { "sent-inflight", { cut, ft_epoch_sent, ft_epoch_sent } },
    { "abandon-idle", { ft_epoch_abandon } },
    { "abandon-inflight", { cut, ft_epoch_sent, ft_epoch_abandon } },
};

static void test_misuse(const void *opaque)
{
    Step *const *step = opaque;
    FtEpoch e;

    if (g_test_subprocess()) {
        ft_epoch_init(&e);
        for (int i = 0; i < 3 && step[i]; i++) {
            step[i](&e);
        }
        return;
    }
    g_test_trap_subprocess(NULL, 0, 0);
    g_test_trap_assert_failed();
    g_test_trap_assert_stderr("*epoch.c*ssertion*(e)*");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ft/epoch/life", test_life);
    g_test_add_func("/ft/epoch/several", test_several);
    g_test_add_func("/ft/epoch/abandon", test_abandon);
    g_test_add_func("/ft/epoch/stable", test_stable);
    g_test_add_func("/ft/epoch/wrong-ack", test_wrong_ack);
    for (size_t i = 0; i < ARRAY_SIZE(misuses); i++) {
        g_autofree char *path = g_strdup_printf("/ft/epoch/misuse/%s",
                                                misuses[i].name);

        g_test_add_data_func(path, misuses[i].step, test_misuse);
    }
    return g_test_run();
}
