/*
 * QEMU-FT: use the arbiter's store by hand, or from a test
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 *   store-tool WHERE UUID [timeout=MS] [tls=DIR] [user=NAME] [password=TEXT]
 *
 * Commands are lines on standard input; a seat is GENERATION HOLDER CLAIM
 * ENDED, the latter 0 or 1:
 *
 *   read
 *   swap EXPECTED HOLDER CLAIM
 *   update SEAT SEAT
 *
 * Each is answered by one line: microseconds, then "ok" and the seat,
 * "lost" and the seat that is there, or "unreachable" and a sentence.
 */
#include "qemu/osdep.h"
#include "qemu/cutils.h"
#include "qapi/error.h"
#include "migration/ft/arbiter-store.h"

#define SEAT_WORDS 4

static uint32_t timeout_ms = 2000;

static void fail(const char *why)
{
    fprintf(stderr, "store-tool: %s\n", why);
    exit(2);
}

static void option(FtStoreConfig *cfg, const char *word)
{
    const char *value;
    unsigned int ms;

    if (strstart(word, "timeout=", &value)) {
        if (qemu_strtoui(value, NULL, 10, &ms) < 0) {
            fail("timeout= is not a number");
        }
        timeout_ms = ms;
    } else if (strstart(word, "tls=", &value)) {
        cfg->tls_dir = g_strdup(value);
    } else if (strstart(word, "user=", &value)) {
        cfg->user = g_strdup(value);
    } else if (strstart(word, "password=", &value)) {
        cfg->password = g_strdup(value);
    } else {
        fail("unknown option; the source says which there are");
    }
}

/* The strings stay those of @words */
static FtSeat seat_of(char **words)
{
    FtSeat seat = { .holder = words[1], .claim = words[2] };

    if (qemu_strtou64(words[0], NULL, 10, &seat.generation) < 0) {
        fail("a generation is not a number");
    }
    seat.ended = g_str_equal(words[3], "1");
    return seat;
}

static FtStoreResult run(FtStore *s, char **words, FtSeat *seat, Error **errp)
{
    unsigned count = g_strv_length(words);
    uint64_t expected;
    FtSeat next, current;

    if (count == 1 && g_str_equal(words[0], "read")) {
        return ft_store_read(s, seat, timeout_ms, errp);
    }
    if (count == 4 && g_str_equal(words[0], "swap") &&
        qemu_strtou64(words[1], NULL, 10, &expected) == 0) {
        next = (FtSeat) { .generation = expected + 1, .holder = words[2],
                          .claim = words[3] };
        return ft_store_swap(s, expected, &next, seat, timeout_ms, errp);
    }
    if (count == 1 + 2 * SEAT_WORDS && g_str_equal(words[0], "update")) {
        current = seat_of(words + 1);
        next = seat_of(words + 1 + SEAT_WORDS);
        return ft_store_update(s, &current, &next, seat, timeout_ms, errp);
    }
    fail("not a command; the source says which there are");
    abort();
}

static void answer(FtStore *s, const char *line)
{
    g_auto(GStrv) words = g_strsplit(line, " ", -1);
    g_auto(FtSeat) seat = { 0 };
    int64_t start = g_get_monotonic_time();
    Error *err = NULL;
    FtStoreResult result = run(s, words, &seat, &err);

    printf("%" PRId64 " ", g_get_monotonic_time() - start);
    if (result == FT_STORE_UNREACHABLE) {
        printf("unreachable %s\n", error_get_pretty(err));
        error_free(err);
    } else {
        assert(!err);
        printf("%s %" PRIu64 " %s %s %d\n",
               result == FT_STORE_OK ? "ok" : "lost", seat.generation,
               seat.holder ?: "-", seat.claim ?: "-", seat.ended);
    }
    fflush(stdout);
}

int main(int argc, char **argv)
{
    g_autoptr(FtStore) s = NULL;
    FtStoreConfig cfg = { 0 };
    g_autofree char *line = NULL;
    Error *err = NULL;
    size_t size = 0;
    ssize_t len;

    if (argc < 3) {
        fail("usage: store-tool WHERE UUID [KEY=VALUE]...");
    }
    signal(SIGPIPE, SIG_IGN);
    cfg.vm = g_strdup(argv[2]);
    for (int i = 3; i < argc; i++) {
        option(&cfg, argv[i]);
    }
    if (!ft_store_parse(&cfg, argv[1], &err)) {
        fail(error_get_pretty(err));
    }
    if (cfg.kind == FT_STORE_NONE) {
        fail("none is no store");
    }
    s = ft_store_new(&cfg, &err);
    if (!s) {
        fail(error_get_pretty(err));
    }
    ft_store_config_clear(&cfg);
    while ((len = getline(&line, &size, stdin)) > 0) {
        if (line[len - 1] == '\n') {
            line[len - 1] = '\0';
        }
        answer(s, line);
    }
    return 0;
}
