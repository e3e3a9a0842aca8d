/*
 * QEMU-FT: tests of the arbiter's record, its address, and of files
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include <glib/gstdio.h>
#include <sys/wait.h>
#include "qemu/atomic.h"
#include "qapi/error.h"
#include "migration/ft/arbiter-store.h"

#define VM "6e7a9d5e-30f8-4f2c-9a57-2f3d6d1c8f11"
#define OTHER_VM "6e7a9d5e-30f8-4f2c-9a57-2f3d6d1c8f12"
#define CLAIM_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define CLAIM_B "0123456789abcdef0123456789abcdef"
#define TIMEOUT_MS 20000

static FtSeat seat_of(uint64_t generation, const char *holder,
                      const char *claim, bool ended)
{
    return (FtSeat) { .generation = generation, .holder = (char *)holder,
                      .claim = (char *)claim, .ended = ended };
}

/* --- the record as text --- */

static const struct {
    uint64_t generation;
    const char *holder;
    bool ended;
} good_seats[] = {
    { 1, "a", false },
    { 2, "hostB.example.net", true },
    { 17, "fe80::1", false },
    { FT_GENERATION_MAX, "Host_7-x", false },
};

static void test_seat_round_trip(void)
{
    for (int i = 0; i < ARRAY_SIZE(good_seats); i++) {
        FtSeat in = seat_of(good_seats[i].generation, good_seats[i].holder,
                            CLAIM_B, good_seats[i].ended);
        g_autofree char *text = ft_seat_encode(&in, VM);
        g_auto(FtSeat) out = { 0 };

        g_assert_true(ft_seat_valid(&in, &error_abort));
        g_assert_true(ft_seat_decode(&out, VM, text, &error_abort));
        g_assert_true(ft_seat_same(&in, &out));
    }
}

#define SEAT(version, vm, generation, holder, claim, ended) \
    "{\"version\": " version ", \"vm\": \"" vm "\", \"generation\": " \
    generation ", \"holder\": " holder ", \"claim\": " claim \
    ", \"ended\": " ended "}"
#define CLAIM "\"" CLAIM_A "\""

static const char *const bad_seats[] = {
    "", " ", "x", "7", "null", "[]", "{}", "{", "\"text\"", "\xff\xfe",
    "{\"version\": 1}", "{\"version\": 1, \"vm\": \"" VM "\"}",
    SEAT("2", VM, "1", "\"a\"", CLAIM, "false"),
    SEAT("\"1\"", VM, "1", "\"a\"", CLAIM, "false"),
    SEAT("1", OTHER_VM, "1", "\"a\"", CLAIM, "false"),
    SEAT("1", "", "1", "\"a\"", CLAIM, "false"),
    SEAT("1", VM, "0", "\"a\"", CLAIM, "false"),
    SEAT("1", VM, "-1", "\"a\"", CLAIM, "false"),
    SEAT("1", VM, "1.5", "\"a\"", CLAIM, "false"),
    SEAT("1", VM, "1e400", "\"a\"", CLAIM, "false"),
    SEAT("1", VM, "9007199254740992", "\"a\"", CLAIM, "false"),
    SEAT("1", VM, "18446744073709551615", "\"a\"", CLAIM, "false"),
    SEAT("1", VM, "18446744073709551617", "\"a\"", CLAIM, "false"),
    SEAT("1", VM, "\"1\"", "\"a\"", CLAIM, "false"),
    SEAT("1", VM, "true", "\"a\"", CLAIM, "false"),
    SEAT("1", VM, "1", "\"\"", CLAIM, "false"),
    SEAT("1", VM, "1", "null", CLAIM, "false"),
    SEAT("1", VM, "1", "\"a b\"", CLAIM, "false"),
    SEAT("1", VM, "1", "\"a\\n\"", CLAIM, "false"),
    SEAT("1", VM, "1", "\"a\\u0000\"", CLAIM, "false"),
    SEAT("1", VM, "1", "\"\303\244\"", CLAIM, "false"),
    SEAT("1", VM, "1", "[\"a\"]", CLAIM, "false"),
    SEAT("1", VM, "1", "\"a\"", "\"\"", "false"),
    SEAT("1", VM, "1", "\"a\"", "\"" CLAIM_A "a\"", "false"),
    SEAT("1", VM, "1", "\"a\"", "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"",
         "false"),
    SEAT("1", VM, "1", "\"a\"", CLAIM, "0"),
    SEAT("1", VM, "1", "\"a\"", CLAIM, "\"false\""),
    SEAT("1", VM, "1", "\"a\"", CLAIM, "false, \"more\": 1"),
    SEAT("1", VM, "1", "\"a\"", CLAIM, "false, \"ended\": true"),
    SEAT("1", VM, "1", "\"a\"", CLAIM, "false") "{}",
    SEAT("1", VM, "1", "\"a\"", CLAIM, "false") "x",
};

static void test_seat_hostile(void)
{
    FtSeat before = seat_of(5, "keep", CLAIM_B, true);

    for (int i = 0; i < ARRAY_SIZE(bad_seats); i++) {
        FtSeat seat = before;
        Error *err = NULL;

        if (ft_seat_decode(&seat, VM, bad_seats[i], &err)) {
            g_error("taken for a record: %s", bad_seats[i]);
        }
        g_assert_nonnull(err);
        error_free(err);
        g_assert_true(ft_seat_same(&seat, &before));
    }
}

static void test_seat_deep(void)
{
    g_autoptr(GString) text = g_string_new("");
    g_auto(FtSeat) seat = { 0 };
    Error *err = NULL;

    for (int i = 0; i < 4000; i++) {
        g_string_append_c(text, '[');
    }
    g_assert_false(ft_seat_decode(&seat, VM, text->str, &err));
    error_free(err);
}

static void test_seat_host(void)
{
    char name[300];

    memset(name, 'a', sizeof(name));
    name[254] = '\0';
    g_assert_false(ft_seat_host_valid(name));
    name[253] = '\0';
    g_assert_true(ft_seat_host_valid(name));
    g_assert_false(ft_seat_host_valid(""));
    g_assert_false(ft_seat_host_valid("a\"b"));
}

/* --- addresses --- */

static const struct {
    const char *where;
    FtStoreKind kind;
    const char *endpoints;      /* joined by blanks */
    const char *place;          /* prefix or path */
} good_urls[] = {
    { "none", FT_STORE_NONE },
    { "etcd://a:2379/ft", FT_STORE_ETCD, "a:2379", "/ft" },
    { "etcd://a:1,b.c:65535,10.0.0.1:9/x/y-z", FT_STORE_ETCD,
      "a:1 b.c:65535 10.0.0.1:9", "/x/y-z" },
    { "etcd://[fe80::1]:2379/ft/", FT_STORE_ETCD, "[fe80::1]:2379", "/ft" },
    { "file:/x", FT_STORE_FILE, NULL, "/x" },
    { "file:/some dir/", FT_STORE_FILE, NULL, "/some dir/" },
};

static const struct {
    const char *where;
    const char *why;            /* part of the sentence */
} bad_urls[] = {
    { "", "not known" },
    { "etcd", "not known" },
    { "http://a:1/b", "not known" },
    { "None", "not known" },
    { "etcd:/a:1/b", "not known" },
    { "etcd://", "no host" },
    { "etcd:///ft", "no host" },
    { "etcd://:2379/ft", "no host" },
    { "etcd://a:1,/ft", "no host" },
    { "etcd://,a:1/ft", "no host" },
    { "etcd://a:1,,b:1/ft", "no host" },
    { "etcd://a/ft", "no port" },
    { "etcd://a:/ft", "no port" },
    { "etcd://a:0/ft", "no port" },
    { "etcd://a:65536/ft", "no port" },
    { "etcd://a:-1/ft", "no port" },
    { "etcd://a:+1/ft", "no port" },
    { "etcd://a:1x/ft", "no port" },
    { "etcd://a: 1/ft", "no port" },
    { "etcd://a:1,b/ft", "no port" },
    { "etcd://a:99999999999999999999/ft", "no port" },
    { "etcd://user@a:1/ft", "not a host" },
    { "etcd://a b:1/ft", "not a host" },
    { "etcd://a?:1/ft", "not a host" },
    { "etcd://fe80::1:1/ft", "not a host" },
    { "etcd://[]:1/ft", "not a host" },
    { "etcd://[fe80::1%eth0]:1/ft", "not a host" },
    { "etcd://[fe80::1]/ft", "not a host" },
    { "etcd://a:1", "no prefix" },
    { "etcd://a:1/", "no prefix" },
    { "etcd://a:1//", "no prefix" },
    { "etcd://a:1/x//y", "cannot be used" },
    { "etcd://a:1/x y", "cannot be used" },
    { "etcd://a:1/x?y", "cannot be used" },
    { "etcd://a:1/x\"y", "cannot be used" },
    { "etcd://a:1,a:1,a:1,a:1,a:1,a:1,a:1,a:1,a:1,a:1,a:1,a:1,a:1,a:1,a:1,a:1,"
      "a:1/x", "more than 16" },
    { "file:", "not absolute" },
    { "file:x", "not absolute" },
    { "file:/", "not absolute" },
    { "file://host/x", "not absolute" },
};

static void test_url_good(void)
{
    for (int i = 0; i < ARRAY_SIZE(good_urls); i++) {
        FtStoreConfig cfg = { 0 };
        g_autofree char *joined = NULL;

        g_assert_true(ft_store_parse(&cfg, good_urls[i].where,
                                     &error_abort));
        g_assert_cmpint(cfg.kind, ==, good_urls[i].kind);
        joined = cfg.endpoints ? g_strjoinv(" ", cfg.endpoints) : NULL;
        g_assert_cmpstr(joined, ==, good_urls[i].endpoints);
        g_assert_cmpstr(cfg.prefix ?: cfg.path, ==, good_urls[i].place);
        ft_store_config_clear(&cfg);
    }
}

static void test_url_bad(void)
{
    for (int i = 0; i < ARRAY_SIZE(bad_urls); i++) {
        FtStoreConfig cfg = { 0 };
        Error *err = NULL;

        if (ft_store_parse(&cfg, bad_urls[i].where, &err)) {
            g_error("taken for an arbiter: %s", bad_urls[i].where);
        }
        if (!strstr(error_get_pretty(err), bad_urls[i].why)) {
            g_error("%s: %s", bad_urls[i].where, error_get_pretty(err));
        }
        error_free(err);
        g_assert_cmpint(cfg.kind, ==, FT_STORE_NONE);
        g_assert_null(cfg.endpoints);
    }
}

static void test_config(void)
{
    g_autofree char *dir = g_dir_make_tmp("ft-store-XXXXXX", NULL);
    g_autofree char *ca = g_build_filename(dir, "ca-cert.pem", NULL);
    g_autofree char *cert = g_build_filename(dir, "client-cert.pem", NULL);
    FtStoreConfig cfg = { .kind = FT_STORE_ETCD, .tls_dir = dir };

    g_assert_false(ft_store_config_check(&cfg, NULL));
    g_assert_true(g_file_set_contents(ca, "", 0, NULL));
    g_assert_true(ft_store_config_check(&cfg, NULL));
    /* A certificate without its key */
    g_assert_true(g_file_set_contents(cert, "", 0, NULL));
    g_assert_false(ft_store_config_check(&cfg, NULL));
    g_unlink(cert);
    cfg.kind = FT_STORE_FILE;
    g_assert_false(ft_store_config_check(&cfg, NULL));
    cfg.tls_dir = NULL;
    g_assert_true(ft_store_config_check(&cfg, NULL));
    cfg.user = dir;
    g_assert_false(ft_store_config_check(&cfg, NULL));
    g_unlink(ca);
    g_rmdir(dir);
}

/* --- a file --- */

typedef struct Fixture {
    char *dir;
    char *file;                 /* of the record when @dir was given */
    FtStore *a, *b;
} Fixture;

static FtStore *open_store(const char *path, const char *vm)
{
    FtStoreConfig cfg = { .kind = FT_STORE_FILE, .path = (char *)path,
                          .vm = (char *)vm };

    return ft_store_new(&cfg, &error_abort);
}

static void set_up(Fixture *f, gconstpointer opaque)
{
    f->dir = g_dir_make_tmp("ft-store-XXXXXX", NULL);
    f->file = g_build_filename(f->dir, VM ".seat", NULL);
    f->a = open_store(f->dir, VM);
    f->b = open_store(f->dir, VM);
}

static void tear_down(Fixture *f, gconstpointer opaque)
{
    g_autoptr(GDir) dir = g_dir_open(f->dir, 0, NULL);
    const char *name;

    while ((name = g_dir_read_name(dir))) {
        g_autofree char *path = g_build_filename(f->dir, name, NULL);

        g_unlink(path);
    }
    g_rmdir(f->dir);
    g_free(f->dir);
    g_free(f->file);
    ft_store_free(f->a);
    ft_store_free(f->b);
}

static void assert_read(FtStore *s, FtSeat expected)
{
    g_auto(FtSeat) seat = { 0 };

    g_assert_cmpint(ft_store_read(s, &seat, TIMEOUT_MS, &error_abort), ==,
                    FT_STORE_OK);
    g_assert_true(ft_seat_same(&seat, &expected));
}

static void assert_swap(FtStore *s, uint64_t expected, FtSeat next,
                        FtStoreResult result, FtSeat there)
{
    g_auto(FtSeat) found = { 0 };

    g_assert_cmpint(ft_store_swap(s, expected, &next, &found, TIMEOUT_MS,
                                  &error_abort), ==, result);
    if (result == FT_STORE_LOST) {
        g_assert_true(ft_seat_same(&found, &there));
    }
}

static void assert_update(FtStore *s, FtSeat current, FtSeat next,
                          FtStoreResult result, FtSeat there)
{
    g_auto(FtSeat) found = { 0 };

    g_assert_cmpint(ft_store_update(s, &current, &next, &found, TIMEOUT_MS,
                                    &error_abort), ==, result);
    if (result == FT_STORE_LOST) {
        g_assert_true(ft_seat_same(&found, &there));
    }
}

static void test_file_swap(Fixture *f, gconstpointer opaque)
{
    FtSeat none = { 0 };
    FtSeat a1 = seat_of(1, "a", CLAIM_A, false);
    FtSeat b1 = seat_of(1, "b", CLAIM_B, false);
    FtSeat b2 = seat_of(2, "b", CLAIM_B, false);
    FtSeat a3 = seat_of(3, "a", CLAIM_A, false);

    assert_read(f->a, none);
    assert_swap(f->a, 1, b2, FT_STORE_LOST, none);
    assert_swap(f->a, 0, a1, FT_STORE_OK, none);
    assert_read(f->b, a1);
    /* Again, as after a lost answer; and by somebody else */
    assert_swap(f->a, 0, a1, FT_STORE_OK, none);
    assert_swap(f->b, 0, b1, FT_STORE_LOST, a1);
    assert_swap(f->b, 1, b2, FT_STORE_OK, none);
    assert_swap(f->a, 0, a1, FT_STORE_LOST, b2);
    assert_swap(f->a, 2, a3, FT_STORE_OK, none);
    assert_read(f->b, a3);
}

static void test_file_update(Fixture *f, gconstpointer opaque)
{
    FtSeat none = { 0 };
    FtSeat a1 = seat_of(1, "a", CLAIM_A, false);
    FtSeat a1_ended = seat_of(1, "a", CLAIM_A, true);
    FtSeat b1 = seat_of(1, "b", CLAIM_B, false);
    FtSeat b2 = seat_of(2, "b", CLAIM_B, false);

    assert_update(f->a, a1, a1_ended, FT_STORE_LOST, none);
    assert_swap(f->a, 0, a1, FT_STORE_OK, none);
    assert_update(f->b, b1, b1, FT_STORE_LOST, a1);
    assert_update(f->a, a1, a1_ended, FT_STORE_OK, none);
    assert_update(f->a, a1, a1_ended, FT_STORE_OK, none);
    /* Nobody takes over a guest that has ended ... */
    assert_swap(f->b, 1, b2, FT_STORE_LOST, a1_ended);
    assert_update(f->b, a1, b2, FT_STORE_LOST, a1_ended);
    /* ... but it can be started again by whoever has seen that */
    assert_update(f->b, a1_ended, b2, FT_STORE_OK, none);
    assert_read(f->a, b2);
}

static void test_file_itself(Fixture *f, gconstpointer opaque)
{
    g_autofree char *path = g_build_filename(f->dir, "record", NULL);
    g_autoptr(FtStore) s = open_store(path, VM);
    FtSeat a1 = seat_of(1, "a", CLAIM_A, false);

    assert_swap(s, 0, a1, FT_STORE_OK, a1);
    g_assert_true(g_file_test(path, G_FILE_TEST_IS_REGULAR));
    assert_read(f->a, (FtSeat) { 0 });
}

/* Result FT_STORE_UNREACHABLE, a sentence with @why, the file as before */
static void assert_unusable(FtStore *s, const char *why, uint32_t timeout_ms)
{
    FtSeat next = seat_of(1, "a", CLAIM_A, false);
    g_auto(FtSeat) seat = { 0 };
    Error *err = NULL;

    g_assert_cmpint(ft_store_read(s, &seat, timeout_ms, &err), ==,
                    FT_STORE_UNREACHABLE);
    if (!strstr(error_get_pretty(err), why)) {
        g_error("not '%s': %s", why, error_get_pretty(err));
    }
    error_free(err);
    err = NULL;
    g_assert_cmpint(ft_store_swap(s, 0, &next, &seat, timeout_ms, &err), ==,
                    FT_STORE_UNREACHABLE);
    error_free(err);
}

static void test_file_garbage(Fixture *f, gconstpointer opaque)
{
    static const char huge[5000] = { [0 ... 4998] = ' ' };
    static const struct {
        const char *text;
        gssize len;
    } garbage[] = {
        { "", 0 },
        { "{\"generation\": 1}", -1 },
        { "\0", 1 },
        { SEAT("1", OTHER_VM, "1", "\"a\"", CLAIM, "false"), -1 },
        { SEAT("1", VM, "1", "\"a\"", CLAIM, "false") "\0",
          sizeof(SEAT("1", VM, "1", "\"a\"", CLAIM, "false") "\0") - 1 },
        { huge, -1 },
    };

    for (int i = 0; i < ARRAY_SIZE(garbage); i++) {
        g_autofree char *text = NULL;
        gssize len = garbage[i].len;
        gsize there;

        len = len < 0 ? strlen(garbage[i].text) : len;
        g_assert_true(g_file_set_contents(f->file, garbage[i].text, len,
                                          NULL));
        assert_unusable(f->a, f->file, TIMEOUT_MS);
        g_assert_true(g_file_get_contents(f->file, &text, &there, NULL));
        g_assert_cmpmem(text, there, garbage[i].text, len);
    }
}

static void test_file_missing(Fixture *f, gconstpointer opaque)
{
    g_autofree char *sub = g_build_filename(f->dir, "sub", NULL);
    g_autofree char *away = g_build_filename(f->dir, "away", NULL);
    g_autofree char *slash = g_strconcat(sub, "/", NULL);
    g_autofree char *record = g_strconcat(slash, VM ".seat", NULL);
    g_autofree char *lock = g_strconcat(record, ".lock", NULL);
    g_autofree char *path = g_build_filename(sub, "record", NULL);
    g_autoptr(FtStore) in = open_store(slash, VM);
    g_autoptr(FtStore) below = open_store(path, VM);
    FtSeat a1 = seat_of(1, "a", CLAIM_A, false);

    assert_unusable(in, "there is no directory", TIMEOUT_MS);
    assert_unusable(below, "there is no directory", TIMEOUT_MS);
    /* It is made, or mounted, later; goes away; and comes back */
    g_assert_cmpint(g_mkdir(sub, 0700), ==, 0);
    assert_swap(in, 0, a1, FT_STORE_OK, a1);
    g_assert_cmpint(g_rename(sub, away), ==, 0);
    assert_unusable(in, "there is no directory", TIMEOUT_MS);
    g_assert_cmpint(g_rename(away, sub), ==, 0);
    assert_read(in, a1);
    g_assert_cmpint(g_unlink(record), ==, 0);
    g_assert_cmpint(g_unlink(lock), ==, 0);
    g_assert_cmpint(g_rmdir(sub), ==, 0);
}

static void test_file_locked(Fixture *f, gconstpointer opaque)
{
    g_autofree char *name = g_strconcat(f->file, ".lock", NULL);
    int64_t start;
    int fd;

    assert_read(f->a, (FtSeat) { 0 });
    fd = open(name, O_RDWR);
    g_assert_cmpint(qemu_lock_fd(fd, 0, 0, true), ==, 0);
    start = g_get_monotonic_time();
    assert_unusable(f->a, "cannot lock", 50);
    g_assert_cmpint(g_get_monotonic_time() - start, >=, 2 * 50 * 1000);
    close(fd);
    assert_read(f->a, (FtSeat) { 0 });
}

/* A process that died between writing and renaming */
static void test_file_left_over(Fixture *f, gconstpointer opaque)
{
    g_autofree char *name = g_strconcat(f->file, ".new", NULL);
    FtSeat a1 = seat_of(1, "a", CLAIM_A, false);

    g_assert_true(g_file_set_contents(name, "{\"version", -1, NULL));
    assert_read(f->a, (FtSeat) { 0 });
    assert_swap(f->a, 0, a1, FT_STORE_OK, a1);
    assert_read(f->b, a1);
}

#define RACERS 4
#define RACES 25

static void race(const char *dir, int *wins)
{
    g_autoptr(FtStore) s = open_store(dir, VM);
    g_autofree char *claim = g_strdup_printf("%032x", (unsigned)getpid());
    g_auto(FtSeat) found = { 0 };

    for (uint64_t g = 0; g < RACES; g++) {
        FtSeat next = seat_of(g + 1, "racer", claim, false);
        FtStoreResult result = ft_store_swap(s, g, &next, &found, TIMEOUT_MS,
                                             &error_abort);

        g_assert_cmpint(result, !=, FT_STORE_UNREACHABLE);
        if (result == FT_STORE_OK) {
            qatomic_inc(&wins[g]);
        } else {
            g_assert_cmpuint(found.generation, >, g);
        }
    }
}

static void test_file_race(Fixture *f, gconstpointer opaque)
{
    int *wins = mmap(NULL, RACES * sizeof(int), PROT_READ | PROT_WRITE,
                     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int status;

    g_assert_true(wins != MAP_FAILED);
    for (int i = 0; i < RACERS; i++) {
        if (!fork()) {
            race(f->dir, wins);
            _exit(0);
        }
    }
    for (int i = 0; i < RACERS; i++) {
        g_assert_cmpint(wait(&status), >, 0);
        g_assert_cmpint(status, ==, 0);
    }
    for (int g = 0; g < RACES; g++) {
        g_assert_cmpint(wins[g], ==, 1);
    }
    munmap(wins, RACES * sizeof(int));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ft/store/seat/round-trip", test_seat_round_trip);
    g_test_add_func("/ft/store/seat/hostile", test_seat_hostile);
    g_test_add_func("/ft/store/seat/deep", test_seat_deep);
    g_test_add_func("/ft/store/seat/host", test_seat_host);
    g_test_add_func("/ft/store/url/good", test_url_good);
    g_test_add_func("/ft/store/url/bad", test_url_bad);
    g_test_add_func("/ft/store/config", test_config);
#define FILE_TEST(name, f) \
    g_test_add("/ft/store/file/" name, Fixture, NULL, set_up, f, tear_down)
    FILE_TEST("swap", test_file_swap);
    FILE_TEST("update", test_file_update);
    FILE_TEST("itself", test_file_itself);
    FILE_TEST("garbage", test_file_garbage);
    FILE_TEST("missing", test_file_missing);
    FILE_TEST("locked", test_file_locked);
    FILE_TEST("left-over", test_file_left_over);
    FILE_TEST("race", test_file_race);
    return g_test_run();
}
