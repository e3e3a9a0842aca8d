/*
 * QEMU-FT: tests of the record in etcd, against servers that misbehave
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The real etcd is in tests/ft/pair/test_arbiter_store.py; here are the
 * answers it would never give, or not when a test wants them.
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "migration/ft/arbiter-store.h"
#include "fake-http.h"

#define VM "6e7a9d5e-30f8-4f2c-9a57-2f3d6d1c8f11"
#define KEY "/ft/" VM
#define CLAIM_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define CLAIM_B "0123456789abcdef0123456789abcdef"
#define TIMEOUT_MS 3000

#define HEADER "\"header\":{\"cluster_id\":\"77\",\"revision\":\"9\"}"
#define NONE "{" HEADER "}"
#define WON "{" HEADER ",\"succeeded\":true,\"responses\":" \
    "[{\"response_put\":{\"header\":{\"revision\":\"9\"}}}]}"

static const FtSeat none;
static const FtSeat a1 = { 1, (char *)"a", (char *)CLAIM_A, false };
static const FtSeat a2 = { 2, (char *)"a", (char *)CLAIM_A, false };
static const FtSeat b1 = { 1, (char *)"b", (char *)CLAIM_B, false };
static const FtSeat b2 = { 2, (char *)"b", (char *)CLAIM_B, false };
static const FtSeat b2_ended = { 2, (char *)"b", (char *)CLAIM_B, true };

/* --- what etcd would say --- */

static char *kv_of(const char *key, const char *value, const char *more)
{
    g_autofree char *key64 = g_base64_encode((guchar *)key, strlen(key));
    g_autofree char *value64 = g_base64_encode((guchar *)value,
                                               strlen(value));

    return g_strdup_printf("{\"key\":\"%s\",\"value\":\"%s\"%s}", key64,
                           value64, more);
}

static char *kvs_of(const FtSeat *seat, int revision)
{
    g_autofree char *value = ft_seat_encode(seat, VM);
    g_autofree char *more = g_strdup_printf(",\"mod_revision\":\"%d\"",
                                            revision);
    g_autofree char *kv = kv_of(KEY, value, more);

    return g_strdup_printf("\"kvs\":[%s],\"count\":\"1\"", kv);
}

static char *range_of(const FtSeat *seat, int revision)
{
    g_autofree char *kvs = kvs_of(seat, revision);

    return g_strdup_printf("{" HEADER ",%s}", kvs);
}

/* A transaction that failed; @seat NULL: there is no record */
static char *lost_to(const FtSeat *seat, int revision)
{
    g_autofree char *kvs = seat ? kvs_of(seat, revision) : g_strdup("");

    return g_strdup_printf("{" HEADER ",\"responses\":"
                           "[{\"response_range\":{%s}}]}", kvs);
}

/* --- calls --- */

static FtStore *open_at(const char *endpoints, const char *user)
{
    g_autofree char *where = g_strdup_printf("etcd://%s/ft", endpoints);
    FtStoreConfig cfg = { .vm = g_strdup(VM), .user = g_strdup(user),
                          .password = g_strdup(user) };
    FtStore *s;

    g_assert_true(ft_store_parse(&cfg, where, &error_abort));
    s = ft_store_new(&cfg, &error_abort);
    ft_store_config_clear(&cfg);
    return s;
}

static FtStore *open_store(FakeHttp *f)
{
    return open_at(fake_http_endpoint(f), NULL);
}

static void assert_says(Error *err, const char *why)
{
    if (!strstr(error_get_pretty(err), why)) {
        g_error("not '%s': %s", why, error_get_pretty(err));
    }
    error_free(err);
}

static void assert_read(FtStore *s, const FtSeat *expected)
{
    g_auto(FtSeat) seat = { 0 };

    g_assert_cmpint(ft_store_read(s, &seat, TIMEOUT_MS, &error_abort), ==,
                    FT_STORE_OK);
    g_assert_true(ft_seat_same(&seat, expected));
}

static void assert_read_fails(FtStore *s, const char *why)
{
    g_auto(FtSeat) seat = { 0 };
    Error *err = NULL;

    g_assert_cmpint(ft_store_read(s, &seat, TIMEOUT_MS, &err), ==,
                    FT_STORE_UNREACHABLE);
    assert_says(err, why);
}

/* @there NULL: it succeeds */
static void assert_swap(FtStore *s, const FtSeat *next, const FtSeat *there)
{
    g_auto(FtSeat) found = { 0 };
    FtStoreResult result = ft_store_swap(s, next->generation - 1, next,
                                         &found, TIMEOUT_MS, &error_abort);

    g_assert_cmpint(result, ==, there ? FT_STORE_LOST : FT_STORE_OK);
    g_assert_true(!there || ft_seat_same(&found, there));
}

static void assert_swap_fails(FtStore *s, const FtSeat *next, const char *why)
{
    g_auto(FtSeat) found = { 0 };
    Error *err = NULL;

    g_assert_cmpint(ft_store_swap(s, next->generation - 1, next, &found,
                                  TIMEOUT_MS, &err), ==,
                    FT_STORE_UNREACHABLE);
    assert_says(err, why);
}

/* Request @n is for @path, and says @what somewhere */
static void assert_request(FakeHttp *f, unsigned n, const char *path,
                           const char *what)
{
    g_autofree char *text = fake_http_request(f, n);
    g_autofree char *line = g_strdup_printf("POST %s HTTP/1.1\r\n", path);

    g_assert_true(g_str_has_prefix(text, line));
    g_assert_true(!what || strstr(text, what));
}

/* --- hostile answers --- */

#define KV(more) "\"kvs\":[" more "],\"count\":\"1\""
#define B64_KEY "L2Z0LzZlN2E5ZDVlLTMwZjgtNGYyYy05YTU3LTJmM2Q2ZDFjOGYxMQ=="

static const struct {
    const char *name;
    FakeAnswer answer;
    const char *why;
} hostile[] = {
    { "empty", { 200, "" }, "not that of an etcd" },
    { "not-json", { 200, "<html>hello</html>" }, "not that of an etcd" },
    { "half", { 200, "{" HEADER }, "not that of an etcd" },
    { "array", { 200, "[]" }, "not that of an etcd" },
    { "deep", { 200, "[", 30000 }, "not that of an etcd" },
    { "huge", { 200, "0123456789", 10000 }, "longer than 65536" },
    { "no-header", { 200, "{}" }, "not that of an etcd" },
    { "odd-header", { 200, "{\"header\":[]}" }, "not that of an etcd" },
    { "no-cluster", { 200, "{\"header\":{}}" }, "not that of an etcd" },
    { "number-cluster", { 200, "{\"header\":{\"cluster_id\":7}}" },
      "not that of an etcd" },
    { "huge-cluster",
      { 200, "{\"header\":{\"cluster_id\":\"99999999999999999999\"}}" },
      "not that of an etcd" },
    { "count-only", { 200, "{" HEADER ",\"count\":\"1\"}" },
      "that etcd would not" },
    { "kvs-object", { 200, "{" HEADER ",\"kvs\":{}}" },
      "that etcd would not" },
    { "kvs-numbers", { 200, "{" HEADER ",\"kvs\":[1]}" },
      "that etcd would not" },
    { "two-kvs", { 200, "{" HEADER "," KV("{},{}") "}" },
      "that etcd would not" },
    { "no-key", { 200, "{" HEADER "," KV("{\"value\":\"eA==\","
      "\"mod_revision\":\"3\"}") "}" }, "that etcd would not" },
    { "other-key", { 200, "{" HEADER "," KV("{\"key\":\"eA==\","
      "\"value\":\"eA==\",\"mod_revision\":\"3\"}") "}" },
      "that etcd would not" },
    { "no-revision", { 200, "{" HEADER "," KV("{\"key\":\"" B64_KEY "\","
      "\"value\":\"eA==\"}") "}" }, "that etcd would not" },
    { "bad-revision", { 200, "{" HEADER "," KV("{\"key\":\"" B64_KEY "\","
      "\"value\":\"eA==\",\"mod_revision\":\"-3\"}") "}" },
      "that etcd would not" },
    { "not-base64", { 200, "{" HEADER "," KV("{\"key\":\"" B64_KEY "\","
      "\"value\":\"!\",\"mod_revision\":\"3\"}") "}" }, KEY },
    { "nul", { 200, "{" HEADER "," KV("{\"key\":\"" B64_KEY "\","
      "\"value\":\"AAAA\",\"mod_revision\":\"3\"}") "}" }, KEY },
    { "no-value", { 200, "{" HEADER "," KV("{\"key\":\"" B64_KEY "\","
      "\"mod_revision\":\"3\"}") "}" }, KEY " holds something else" },
    { "not-a-record", { 200, "{" HEADER "," KV("{\"key\":\"" B64_KEY "\","
      "\"value\":\"eA==\",\"mod_revision\":\"3\"}") "}" },
      KEY " holds something else" },
    { "500", { 500, "{\"error\":\"etcdserver: \\u001b[1mno\"}" },
      "HTTP 500, etcdserver: ?[1mno" },
    { "503", { 503, "" }, "HTTP 503" },
    { "403", { 403, "{\"error\":\"permission denied\",\"code\":7}" },
      "HTTP 403, permission denied" },
    { "redirect", { 301, "" }, "HTTP 301" },
    { "cut", { .cut = true }, "127.0.0.1" },
};

static void test_hostile(gconstpointer opaque)
{
    int i = GPOINTER_TO_INT(opaque);
    g_autoptr(FakeHttp) f = fake_http_new(&hostile[i].answer, 1);
    g_autoptr(FtStore) s = open_store(f);

    assert_read_fails(s, hostile[i].why);
    /* Nothing of it is ever taken for a reason to write */
    assert_swap_fails(s, &a1, hostile[i].why);
    for (unsigned n = 0; n < fake_http_count(f); n++) {
        assert_request(f, n, "/v3/kv/range", B64_KEY);
    }
}

static const FakeAnswer hostile_txn[] = {
    { 200, "{" HEADER "}" },
    { 200, "{" HEADER ",\"responses\":[]}" },
    { 200, "{" HEADER ",\"responses\":[{}]}" },
    { 200, "{" HEADER ",\"responses\":{}}" },
    { 200, "{" HEADER ",\"succeeded\":true}" },
    { 200, "{" HEADER ",\"succeeded\":1}" },
    { 200, "{" HEADER ",\"succeeded\":true,"
           "\"responses\":[{\"response_range\":{}}]}" },
    { 200, "{\"header\":{\"cluster_id\":\"77\"},\"succeeded\":true,"
           "\"responses\":[{\"response_put\":{}}]}" },
    { 200, "{" HEADER ",\"responses\":[{\"response_range\":{"
           KV("{\"key\":\"" B64_KEY "\",\"value\":\"eA==\","
              "\"mod_revision\":\"3\"}") "}}]}" },
};

static void test_hostile_txn(void)
{
    for (int i = 0; i < ARRAY_SIZE(hostile_txn); i++) {
        FakeAnswer script[] = { { 200, NONE }, hostile_txn[i] };
        g_autoptr(FakeHttp) f = fake_http_new(script, ARRAY_SIZE(script));
        g_autoptr(FtStore) s = open_store(f);

        assert_swap_fails(s, &a1, KEY);
        g_assert_cmpuint(fake_http_count(f), ==, 2);
    }
}

/* --- claims --- */

static void test_swap(void)
{
    g_autofree char *is_b2 = range_of(&b2, 11);
    FakeAnswer script[] = { { 200, NONE }, { 200, WON }, { 200, WON },
                            { 200, is_b2 } };
    g_autoptr(FakeHttp) f = fake_http_new(script, ARRAY_SIZE(script));
    g_autoptr(FtStore) s = open_store(f);

    assert_swap(s, &a1, NULL);
    assert_request(f, 1, "/v3/kv/txn", "\"create_revision\":\"0\"");
    /* What was written is known: one request is enough */
    assert_swap(s, &a2, NULL);
    g_assert_cmpuint(fake_http_count(f), ==, 3);
    assert_request(f, 2, "/v3/kv/txn", "\"mod_revision\":\"9\"");
    /* What does not fit is looked at before it counts as lost */
    assert_swap(s, &a1, &b2);
    assert_request(f, 3, "/v3/kv/range", NULL);
}

static void test_stale(void)
{
    g_autofree char *is_a1 = range_of(&a1, 5);
    g_autofree char *still_a1 = lost_to(&a1, 6);
    g_autofree char *now_b2 = lost_to(&b2, 7);
    g_autofree char *gone = lost_to(NULL, 0);
    FakeAnswer script[] = { { 200, is_a1 }, { 200, now_b2 } };
    FakeAnswer again[] = { { 200, is_a1 }, { 200, still_a1 }, { 200, WON } };
    FakeAnswer no_more[] = { { 200, is_a1 }, { 200, gone } };
    FakeAnswer forever[] = { { 200, is_a1 }, { 200, still_a1 } };
    g_autoptr(FakeHttp) f = fake_http_new(script, ARRAY_SIZE(script));
    g_autoptr(FtStore) s = open_store(f);

    assert_read(s, &a1);
    assert_swap(s, &a2, &b2);
    /* Rewritten within its generation: tried once more, as of revision 6 */
    fake_http_script(f, again, ARRAY_SIZE(again));
    assert_read(s, &a1);
    assert_swap(s, &a2, NULL);
    assert_request(f, fake_http_count(f) - 1, "/v3/kv/txn",
                   "\"mod_revision\":\"6\"");
    fake_http_script(f, no_more, ARRAY_SIZE(no_more));
    assert_read(s, &a1);
    assert_swap(s, &a2, &none);
    fake_http_script(f, forever, ARRAY_SIZE(forever));
    assert_read(s, &a1);
    assert_swap_fails(s, &a2, "all the time");
}

static void test_ended(void)
{
    g_autofree char *is_b2 = range_of(&b2, 5);
    g_autofree char *has_ended = lost_to(&b2_ended, 6);
    FakeAnswer script[] = { { 200, is_b2 }, { 200, has_ended } };
    g_autoptr(FakeHttp) f = fake_http_new(script, ARRAY_SIZE(script));
    g_autoptr(FtStore) s = open_store(f);
    FtSeat next = { 3, (char *)"a", (char *)CLAIM_A, false };

    assert_read(s, &b2);
    assert_swap(s, &next, &b2_ended);
    g_assert_cmpuint(fake_http_count(f), ==, 2);
}

/* The answer is lost, and then all further ones: in doubt until asked again */
static void test_lost_answer(void)
{
    g_autofree char *is_a1 = range_of(&a1, 9);
    FakeAnswer cut[] = { { 200, NONE }, { .cut = true } };
    FakeAnswer ours[] = { { 200, is_a1 } };
    g_autoptr(FakeHttp) f = fake_http_new(cut, ARRAY_SIZE(cut));
    g_autoptr(FtStore) s = open_store(f);

    assert_swap_fails(s, &a1, KEY);
    fake_http_script(f, ours, ARRAY_SIZE(ours));
    assert_swap(s, &a1, NULL);
    assert_swap(s, &b1, &a1);
}

/* The answer is lost, the repeated transaction finds its own work */
static void test_lost_answer_once(void)
{
    g_autofree char *lost_to_us = lost_to(&a1, 9);
    FakeAnswer once[] = { { 200, NONE }, { .cut = true }, { .cut = true },
                          { 200, lost_to_us } };
    g_autoptr(FakeHttp) f = fake_http_new(once, ARRAY_SIZE(once));
    g_autoptr(FtStore) s = open_store(f);

    assert_swap(s, &a1, NULL);
    g_assert_cmpuint(fake_http_count(f), ==, 4);
}

/* --- endpoints --- */

static FtStore *open_both(FakeHttp *first, FakeHttp *second)
{
    g_autofree char *both = g_strdup_printf("%s,%s",
                                            fake_http_endpoint(first),
                                            fake_http_endpoint(second));

    return open_at(both, NULL);
}

static void second_is_used(FakeAnswer bad)
{
    g_autofree char *is_a1 = range_of(&a1, 5);
    FakeAnswer good[] = { { 200, is_a1 } };
    g_autoptr(FakeHttp) first = fake_http_new(&bad, 1);
    g_autoptr(FakeHttp) second = fake_http_new(good, 1);
    g_autoptr(FtStore) s = open_both(first, second);
    int64_t start = g_get_monotonic_time();

    assert_read(s, &a1);
    g_assert_cmpint(g_get_monotonic_time() - start, <, TIMEOUT_MS * 1000);
    /* And stays in use */
    assert_read(s, &a1);
    g_assert_cmpuint(fake_http_count(first), ==, 1);
    g_assert_cmpuint(fake_http_count(second), ==, 2);
}

static void test_second_after_error(void)
{
    second_is_used((FakeAnswer) { 500, "" });
}

static void test_second_after_cut(void)
{
    second_is_used((FakeAnswer) { .cut = true });
}

static void test_second_after_silence(void)
{
    second_is_used((FakeAnswer) { 0 });
}

static void test_second_when_closed(void)
{
    g_autofree char *is_a1 = range_of(&a1, 5);
    FakeAnswer good[] = { { 200, is_a1 } };
    g_autoptr(FakeHttp) second = fake_http_new(good, 1);
    g_autofree char *both = g_strdup_printf("127.0.0.1:1,%s",
                                            fake_http_endpoint(second));
    g_autoptr(FtStore) s = open_at(both, NULL);

    assert_read(s, &a1);
}

/* A refusal is the whole cluster's: nobody else is asked */
static void test_refusal(void)
{
    FakeAnswer no[] = { { 403, "{\"error\":\"permission denied\"}" } };
    g_autoptr(FakeHttp) first = fake_http_new(no, 1);
    g_autoptr(FakeHttp) second = fake_http_new(no, 1);
    g_autoptr(FtStore) s = open_both(first, second);

    assert_read_fails(s, "HTTP 403, permission denied");
    g_assert_cmpuint(fake_http_count(second), ==, 0);
}

static void test_other_cluster(void)
{
    FakeAnswer once[] = { { 200, NONE }, { 500, "" } };
    FakeAnswer other[] = { { 200, "{\"header\":{\"cluster_id\":\"78\"}}" } };
    g_autoptr(FakeHttp) first = fake_http_new(once, ARRAY_SIZE(once));
    g_autoptr(FakeHttp) second = fake_http_new(other, 1);
    g_autoptr(FtStore) s = open_both(first, second);

    assert_read(s, &none);
    assert_read_fails(s, "another cluster");
}

static void test_deadline(void)
{
    static const FakeAnswer silence = { 0 };
    g_autoptr(FakeHttp) f = fake_http_new(&silence, 1);
    g_autoptr(FtStore) s = open_store(f);
    g_auto(FtSeat) seat = { 0 };
    int64_t start = g_get_monotonic_time();
    Error *err = NULL;

    g_assert_cmpint(ft_store_read(s, &seat, 200, &err), ==,
                    FT_STORE_UNREACHABLE);
    error_free(err);
    g_assert_cmpint(g_get_monotonic_time() - start, <, 1500 * 1000);
    g_assert_cmpuint(fake_http_count(f), ==, 2);
}

/* --- users --- */

#define TOKEN(t) "{" HEADER ",\"token\":\"" t "\"}"
#define AUTHENTICATE "/v3/auth/authenticate"

static void test_token(void)
{
    FakeAnswer script[] = { { 200, TOKEN("one.1") }, { 200, NONE },
                            { 401, "" }, { 200, TOKEN("two.2") },
                            { 200, NONE } };
    g_autoptr(FakeHttp) f = fake_http_new(script, ARRAY_SIZE(script));
    g_autoptr(FtStore) s = open_at(fake_http_endpoint(f), "me\"");

    assert_read(s, &none);
    assert_request(f, 0, AUTHENTICATE, "\"name\": \"me\\\"\"");
    assert_request(f, 1, "/v3/kv/range", "\r\nAuthorization: one.1\r\n");
    /* It has been forgotten */
    assert_read(s, &none);
    assert_request(f, 2, "/v3/kv/range", "\r\nAuthorization: one.1\r\n");
    assert_request(f, 3, AUTHENTICATE, NULL);
    assert_request(f, 4, "/v3/kv/range", "\r\nAuthorization: two.2\r\n");
    g_assert_cmpuint(fake_http_count(f), ==, 5);
}

static void test_token_refused(void)
{
    FakeAnswer script[] = { { 200, TOKEN("one") }, { 401, "" }, { 401, "" },
                            { 200, TOKEN("two") },
                            { 401, "{\"error\":\"invalid auth token\"}" } };
    g_autoptr(FakeHttp) f = fake_http_new(script, ARRAY_SIZE(script));
    g_autoptr(FtStore) s = open_at(fake_http_endpoint(f), "me");

    assert_read_fails(s, "HTTP 401");
    g_assert_cmpuint(fake_http_count(f), ==, 2);
    assert_read_fails(s, "invalid auth token");
    g_assert_cmpuint(fake_http_count(f), ==, 5);
}

static void test_token_hostile(void)
{
    static const FakeAnswer bad[] = {
        { 200, "{" HEADER "}" },
        { 200, TOKEN("") },
        { 200, TOKEN("a\\r\\nX-More: b") },
        { 200, TOKEN("a b") },
        { 200, "{" HEADER ",\"token\":7}" },
        { 200, NONE },
        { 400, "{\"error\":\"invalid user ID or password\"}" },
    };

    for (int i = 0; i < ARRAY_SIZE(bad); i++) {
        g_autoptr(FakeHttp) f = fake_http_new(&bad[i], 1);
        g_autoptr(FtStore) s = open_at(fake_http_endpoint(f), "me");

        assert_read_fails(s, "user me");
        for (unsigned n = 0; n < fake_http_count(f); n++) {
            assert_request(f, n, AUTHENTICATE, NULL);
        }
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    /* The environment has no say */
    g_setenv("http_proxy", "http://127.0.0.1:1", true);
    g_setenv("ALL_PROXY", "http://127.0.0.1:1", true);
    for (int i = 0; i < ARRAY_SIZE(hostile); i++) {
        g_autofree char *name = g_strdup_printf("/ft/store/etcd/hostile/%s",
                                                hostile[i].name);

        g_test_add_data_func(name, GINT_TO_POINTER(i), test_hostile);
    }
#define ETCD_TEST(name, f) g_test_add_func("/ft/store/etcd/" name, f)
    ETCD_TEST("hostile-txn", test_hostile_txn);
    ETCD_TEST("swap", test_swap);
    ETCD_TEST("stale", test_stale);
    ETCD_TEST("ended", test_ended);
    ETCD_TEST("lost-answer", test_lost_answer);
    ETCD_TEST("lost-answer-once", test_lost_answer_once);
    ETCD_TEST("second/error", test_second_after_error);
    ETCD_TEST("second/cut", test_second_after_cut);
    ETCD_TEST("second/silence", test_second_after_silence);
    ETCD_TEST("second/closed", test_second_when_closed);
    ETCD_TEST("refusal", test_refusal);
    ETCD_TEST("other-cluster", test_other_cluster);
    ETCD_TEST("deadline", test_deadline);
    ETCD_TEST("token/forgotten", test_token);
    ETCD_TEST("token/refused", test_token_refused);
    ETCD_TEST("token/hostile", test_token_hostile);
    return g_test_run();
}
