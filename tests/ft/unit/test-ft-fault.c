/*
 * QEMU-FT: tests of the fault points
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "migration/ft/fault.h"

static const struct {
    const char *env;
    bool ok;
    FtFaultPoint armed;
} parse_cases[] = {
    { NULL, true, FT_FAULT_NONE },
    { "", true, FT_FAULT_NONE },
    { "none", true, FT_FAULT_NONE },
    { "first-copy", true, FT_FAULT_FIRST_COPY },
    { "sent", true, FT_FAULT_SENT },
    { "send-half", true, FT_FAULT_SEND_HALF },
    { "apply-half", true, FT_FAULT_APPLY_HALF },
    { "acked:7", true, FT_FAULT_ACKED },
    { "acked:0", false, FT_FAULT_NONE },
    { "acked:", false, FT_FAULT_NONE },
    { "acked:x", false, FT_FAULT_NONE },
    { "acked:1x", false, FT_FAULT_NONE },
    { "acked:99999999999", false, FT_FAULT_NONE },
    { "acked,hang", true, FT_FAULT_ACKED },
    { "acked:7,hang", true, FT_FAULT_ACKED },
    { "acked,hangs", false, FT_FAULT_NONE },
    { "acked,hang:7", false, FT_FAULT_NONE },
    { ",hang", false, FT_FAULT_NONE },
    { "acke", false, FT_FAULT_NONE },
    { "ackedx", false, FT_FAULT_NONE },
    { "Acked", false, FT_FAULT_NONE },
    { ":1", false, FT_FAULT_NONE },
};

static void set_env(const char *value)
{
    if (value) {
        g_setenv("QEMU_FT_FAULT", value, true);
    } else {
        g_unsetenv("QEMU_FT_FAULT");
    }
}

static void test_parse(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(parse_cases); i++) {
        Error *err = NULL;
        bool ok;

        g_test_message("QEMU_FT_FAULT=%s", parse_cases[i].env ?: "(unset)");
        set_env(parse_cases[i].env);
        ft_fault_armed = FT_FAULT_NONE;
        ok = ft_fault_init(&err);
        g_assert_cmpint(ok, ==, parse_cases[i].ok);
        g_assert_cmpint(ok, ==, !err);
        g_assert_cmpint(ft_fault_armed, ==, parse_cases[i].armed);
        if (err) {
            g_assert_nonnull(strstr(error_get_pretty(err),
                                    parse_cases[i].env));
        }
        error_free(err);
    }
    ft_fault_armed = FT_FAULT_NONE;
}

/* Passes @armed three times in a child; how often it came through */
static int survived(const char *env, FtFaultPoint armed, int *status)
{
    int fds[2], n = 0;
    pid_t child;
    char c;

    g_assert_cmpint(pipe(fds), ==, 0);
    set_env(env);
    child = fork();
    g_assert_cmpint(child, >=, 0);
    if (!child) {
        ft_fault_init(&error_abort);
        for (int i = 0; i < 3; i++) {
            ft_fault(FT_FAULT_SENT);
            ft_fault(armed);
            if (write(fds[1], "x", 1) != 1) {
                break;
            }
        }
        _exit(0);
    }
    close(fds[1]);
    while (read(fds[0], &c, 1) == 1) {
        n++;
    }
    close(fds[0]);
    g_assert_cmpint(waitpid(child, status, 0), ==, child);
    return n;
}

static void test_dies(void)
{
    static const struct {
        const char *env;
        int survived;
    } cases[] = {
        { "acked", 0 }, { "acked:1", 0 }, { "acked:2", 1 },
        { "acked:3", 2 },
    };
    int status;

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        g_assert_cmpint(survived(cases[i].env, FT_FAULT_ACKED, &status), ==,
                        cases[i].survived);
        g_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    }
    g_assert_cmpint(survived("acked:4", FT_FAULT_ACKED, &status), ==, 3);
    g_assert(WIFEXITED(status));
    g_assert_cmpint(survived("acked", FT_FAULT_STAGED, &status), ==, 3);
    g_assert(WIFEXITED(status));
    g_assert_cmpint(survived(NULL, FT_FAULT_ACKED, &status), ==, 3);
    g_assert(WIFEXITED(status));
}

static void test_next(void)
{
    set_env("acked:2");
    ft_fault_init(&error_abort);
    g_assert_false(ft_fault_next(FT_FAULT_ACKED));
    g_assert_false(ft_fault_next(FT_FAULT_STAGED));
    ft_fault(FT_FAULT_ACKED);
    g_assert_true(ft_fault_next(FT_FAULT_ACKED));
    g_assert_false(ft_fault_next(FT_FAULT_STAGED));
    ft_fault_armed = FT_FAULT_NONE;
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    /* First: reading a count leaves it behind */
    g_test_add_func("/ft/fault/dies", test_dies);
    g_test_add_func("/ft/fault/next", test_next);
    g_test_add_func("/ft/fault/parse", test_parse);
    return g_test_run();
}
