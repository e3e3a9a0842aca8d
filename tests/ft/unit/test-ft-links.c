/*
 * QEMU-FT: tests of a session with several connections
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Both ends in one process.  Between them, for each link, a relay that may be
 * cut in one direction or in both: what was said before then stands still in
 * it, and comes out when the cut is over, as in a network.
 */
#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/module.h"
#include "qemu/timer.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "migration/ft/links.h"

#define TIMEOUT_MS 100
#define LINKS 3
#define RX (256 * KiB)

enum { P, S };

typedef struct Relay {
    int fd[2];                  /* the far ends; -1: none */
    GByteArray *held[2];        /* from P, from S */
    bool cut[2];
} Relay;

typedef struct End {
    FtLinks *ls;
    FtTraffic traffic;
    uint8_t rx[RX];
    size_t start, end;
    uint64_t taken, said, heard;
    GByteArray *wait;           /* what the stream did not take yet */
    uint32_t word;              /* type of a last word */
    bool gone, deaf;
    char *why;
    int64_t beat;
} End;

typedef struct Pair {
    End end[2];
    Relay relay[LINKS];
    uint8_t session[FT_WIRE_SESSION];
} Pair;

static void nonblock(int fd)
{
    g_assert_cmpint(fcntl(fd, F_SETFL, O_NONBLOCK), ==, 0);
}

/* One socket for a side, the other for the relay */
static QIOChannelSocket *plug(Relay *r, int side)
{
    QIOChannelSocket *sioc;
    int sv[2];

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), ==, 0);
    nonblock(sv[1]);
    r->fd[side] = sv[1];
    sioc = qio_channel_socket_new_fd(sv[0], &error_abort);
    return sioc;
}

static void relay_open(Relay *r)
{
    for (int side = P; side <= S; side++) {
        r->held[side] = g_byte_array_new();
        r->cut[side] = false;
    }
}

static void relay_close(Relay *r)
{
    for (int side = P; side <= S; side++) {
        if (r->fd[side] >= 0) {
            close(r->fd[side]);
        }
        r->fd[side] = -1;
        if (r->held[side]) {
            g_byte_array_free(r->held[side], true);
        }
        r->held[side] = NULL;
    }
}

/* What @from has said goes on to the other; its end too, when not cut */
static void relay_move(Relay *r, int from)
{
    uint8_t buf[8192];
    ssize_t n;

    if (r->fd[from] < 0 || r->fd[!from] < 0 || r->cut[from]) {
        return;
    }
    while (r->held[from]->len < 64 * KiB &&
           (n = read(r->fd[from], buf, sizeof(buf))) > 0) {
        g_byte_array_append(r->held[from], buf, n);
    }
    if (r->held[from]->len) {
        n = send(r->fd[!from], r->held[from]->data, r->held[from]->len,
                 MSG_NOSIGNAL);
        if (n > 0) {
            g_byte_array_remove_range(r->held[from], 0, n);
        }
    } else if (recv(r->fd[from], buf, 1, MSG_PEEK) == 0) {
        relay_close(r);
    }
}

static void connect_link(Pair *p, uint32_t n)
{
    QIOChannelSocket *ps, *ss;
    Relay *r = &p->relay[n];

    relay_close(r);
    relay_open(r);
    ps = plug(r, P);
    ss = plug(r, S);
    g_assert_true(ft_links_offer(p->end[S].ls, ss, p->session, n, "s",
                                 &error_abort));
    ft_links_add(p->end[P].ls, ps, n, "p");
    /* The door reads the ATTACH */
    g_assert_cmpint(recv(r->fd[P], (char[40]) { 0 }, 40, 0), ==, 40);
    object_unref(OBJECT(ps));
    object_unref(OBJECT(ss));
}

static void open_pair(Pair *p)
{
    memset(p, 0, sizeof(*p));
    memset(p->session, 7, sizeof(p->session));
    for (int i = 0; i < LINKS; i++) {
        p->relay[i].fd[P] = p->relay[i].fd[S] = -1;
    }
    relay_open(&p->relay[0]);
    for (int side = P; side <= S; side++) {
        End *e = &p->end[side];
        FtLinksSetup setup = {
            .dials = side == P,
            .first = plug(&p->relay[0], side),
            .text = "first",
            .timeout_ns = TIMEOUT_MS * 1000000LL,
            .traffic = &e->traffic,
        };

        memcpy(setup.session, p->session, sizeof(p->session));
        e->traffic.last_rx = e->traffic.last_tx = get_clock();
        e->wait = g_byte_array_new();
        e->ls = ft_links_new(&setup);
        object_unref(OBJECT(setup.first));
    }
}

static void close_pair(Pair *p)
{
    for (int side = P; side <= S; side++) {
        ft_links_free(p->end[side].ls);
        g_byte_array_free(p->end[side].wait, true);
        g_free(p->end[side].why);
    }
    for (int i = 0; i < LINKS; i++) {
        relay_close(&p->relay[i]);
    }
}

/* Records that count, each of another length */
static void say(End *e)
{
    uint8_t payload[512] = { 0 };

    stq_be_p(payload, ++e->said);
    ft_wire_put(e->wait, FT_REC_PAGES, payload, 8 + e->said % 500);
}

static void push(End *e)
{
    size_t n = ft_links_write(e->ls, e->wait->data, e->wait->len, true);

    g_byte_array_remove_range(e->wait, 0, n);
    if (get_clock() > e->beat) {
        e->beat = get_clock() + TIMEOUT_MS * 1000000LL / 5;
        ft_links_beat(e->ls, e->taken, 0);
        ft_wire_put_received(e->wait, e->taken, 0);
    }
}

static void take(End *e, const FtRecord *rec)
{
    Error *err = NULL;

    e->taken += rec->total;
    if (rec->type == FT_REC_END || rec->type == FT_REC_TAKEOVER) {
        e->word = rec->type;
        return;
    }
    if (rec->type != FT_REC_PAGES) {
        if (!ft_links_record(e->ls, rec, &err)) {
            e->gone = true;
            e->why = g_strdup(error_get_pretty(err));
            error_free(err);
        }
        return;
    }
    g_assert_cmpuint(ldq_be_p(rec->payload), ==, ++e->heard);
    g_assert_cmpuint(rec->length, ==, 8 + e->heard % 500);
}

static void pull(End *e)
{
    Error *err = NULL;
    FtRecord rec;
    size_t n = 0;

    while (ft_wire_next(e->rx + e->start, e->end - e->start, &rec,
                        &error_abort)) {
        e->start += rec.total;
        take(e, &rec);
    }
    memmove(e->rx, e->rx + e->start, e->end - e->start);
    e->end -= e->start;
    e->start = 0;
    switch (ft_links_receive(e->ls, e->taken, e->rx + e->end, RX - e->end,
                             &n, &rec, &err)) {
    case FT_LINKS_BYTES:
        e->end += n;
        break;
    case FT_LINKS_RESTART:
        e->end = 0;
        break;
    case FT_LINKS_WORD:
        e->word = rec.type;
        break;
    case FT_LINKS_GONE:
        e->gone = true;
        e->why = g_strdup(error_get_pretty(err));
        error_free(err);
        break;
    case FT_LINKS_DRY:
        break;
    }
}

static void turn(Pair *p)
{
    for (int side = P; side <= S; side++) {
        if (!p->end[side].gone) {
            push(&p->end[side]);
        }
        if (!p->end[side].gone && !p->end[side].deaf) {
            pull(&p->end[side]);
        }
    }
    for (int i = 0; i < LINKS; i++) {
        relay_move(&p->relay[i], P);
        relay_move(&p->relay[i], S);
    }
    g_usleep(100);
}

static FtLinkHealth health(End *e, int n)
{
    FtLinkView view[FT_WIRE_MAX_LINKS];
    FtLinkHealth found;

    ft_links_view(e->ls, view);
    found = view[n].health;
    for (int i = 0; i < FT_WIRE_MAX_LINKS; i++) {
        g_free(view[i].text);
    }
    return found;
}

static bool both(Pair *p, int n, FtLinkHealth wanted)
{
    return health(&p->end[P], n) == wanted && health(&p->end[S], n) == wanted;
}

#define TURN_UNTIL(p, condition) do {                           \
        int64_t until = get_clock() + 10000000000LL;            \
        while (!(condition)) {                                  \
            g_assert_cmpint(get_clock(), <, until);             \
            turn(p);                                            \
        }                                                       \
    } while (0)

/* Both have heard all; then some more in both directions */
static void talk(Pair *p, int records)
{
    for (int i = 0; i < records; i++) {
        say(&p->end[P]);
        if (i % 7 == 0) {
            say(&p->end[S]);
        }
        if (i % 20 == 0) {
            turn(p);
        }
    }
}

static bool all_heard(Pair *p)
{
    g_assert_cmpstr(p->end[P].why, ==, NULL);
    g_assert_cmpstr(p->end[S].why, ==, NULL);
    return p->end[P].heard == p->end[S].said &&
           p->end[S].heard == p->end[P].said;
}

static void open_two(Pair *p)
{
    open_pair(p);
    connect_link(p, 1);
    TURN_UNTIL(p, both(p, 1, FT_LINK_IS_STANDBY));
    talk(p, 100);
    TURN_UNTIL(p, all_heard(p));
}

static void test_one(void)
{
    g_autofree Pair *p = g_new(Pair, 1);

    open_pair(p);
    talk(p, 5000);
    TURN_UNTIL(p, all_heard(p));
    close_pair(p);
}

/* The active link's connection ends while much is under way */
static void test_end(void)
{
    g_autofree Pair *p = g_new(Pair, 1);

    open_two(p);
    talk(p, 3000);
    relay_close(&p->relay[0]);
    talk(p, 1000);
    TURN_UNTIL(p, all_heard(p));
    g_assert_true(both(p, 1, FT_LINK_IS_ACTIVE));
    g_assert_true(both(p, 0, FT_LINK_IS_DOWN));
    connect_link(p, 0);
    TURN_UNTIL(p, both(p, 0, FT_LINK_IS_STANDBY));
    talk(p, 1000);
    relay_close(&p->relay[1]);
    talk(p, 1000);
    TURN_UNTIL(p, all_heard(p));
    g_assert_true(both(p, 0, FT_LINK_IS_ACTIVE));
    close_pair(p);
}

/* Cut without an end: first from P, then from S, then both */
static void test_cut(gconstpointer opaque)
{
    int which = GPOINTER_TO_INT(opaque);
    g_autofree Pair *p = g_new(Pair, 1);
    int64_t before;

    open_two(p);
    talk(p, 1000);
    before = get_clock();
    p->relay[0].cut[P] = which & 1;
    p->relay[0].cut[S] = which & 2;
    talk(p, 1000);
    TURN_UNTIL(p, both(p, 1, FT_LINK_IS_ACTIVE));
    TURN_UNTIL(p, all_heard(p));
    g_test_message("%" PRId64 " ms", (get_clock() - before) / 1000000);
    /* Now the stale bytes come out, to nobody */
    p->relay[0].cut[P] = p->relay[0].cut[S] = false;
    talk(p, 500);
    TURN_UNTIL(p, all_heard(p));
    close_pair(p);
}

/* A standby that is cut harms nobody; it is down, and may come back */
static void test_standby(void)
{
    g_autofree Pair *p = g_new(Pair, 1);

    open_two(p);
    p->relay[1].cut[P] = p->relay[1].cut[S] = true;
    talk(p, 1000);
    TURN_UNTIL(p, both(p, 1, FT_LINK_IS_DOWN));
    TURN_UNTIL(p, all_heard(p));
    g_assert_true(both(p, 0, FT_LINK_IS_ACTIVE));
    connect_link(p, 1);
    TURN_UNTIL(p, both(p, 1, FT_LINK_IS_STANDBY));
    /* And once more before either has noticed: the new one replaces it */
    g_assert_true(ft_links_wants(p->end[P].ls, 2));
    close_pair(p);
}

/* Nobody is left: at once when all end */
static void test_gone(void)
{
    g_autofree Pair *p = g_new(Pair, 1);
    int64_t before;

    open_two(p);
    before = get_clock();
    relay_close(&p->relay[0]);
    relay_close(&p->relay[1]);
    TURN_UNTIL(p, p->end[P].gone && p->end[S].gone);
    g_assert_cmpint(get_clock() - before, <, TIMEOUT_MS * 1000000LL / 2);
    g_assert_nonnull(p->end[S].why);
    close_pair(p);
}

/* The primary dies, and one of its links is in a cut, so does not end */
static void test_primary_mute(void)
{
    g_autofree Pair *p = g_new(Pair, 1);
    int64_t before;

    open_two(p);
    p->end[P].gone = true;
    before = get_clock();
    relay_close(&p->relay[0]);
    TURN_UNTIL(p, p->end[S].gone);
    g_assert_cmpint(get_clock() - before, <, 2 * TIMEOUT_MS * 1000000LL);
    close_pair(p);
}

/* Who waits for a disk beats, but reads nothing meanwhile */
static void test_busy_secondary(void)
{
    g_autofree Pair *p = g_new(Pair, 1);
    int64_t over;

    open_two(p);
    relay_close(&p->relay[0]);
    over = get_clock() + 2 * TIMEOUT_MS * 1000000LL;
    p->end[S].deaf = true;
    talk(p, 300);
    while (get_clock() < over) {
        turn(p);
    }
    p->end[S].deaf = false;
    TURN_UNTIL(p, all_heard(p));
    g_assert_true(both(p, 1, FT_LINK_IS_ACTIVE));
    close_pair(p);
}

/* All silent: no switch, so that whoever stood still finds things as before */
static void test_stall(void)
{
    g_autofree Pair *p = g_new(Pair, 1);

    open_two(p);
    g_usleep(TIMEOUT_MS * 700);
    TURN_UNTIL(p, all_heard(p));
    talk(p, 300);
    TURN_UNTIL(p, all_heard(p));
    g_assert_true(both(p, 0, FT_LINK_IS_ACTIVE));
    g_assert_true(both(p, 1, FT_LINK_IS_STANDBY));
    close_pair(p);
}

/* It is the one over which the peer stood still that speaks last */
static void test_stall_between(void)
{
    g_autofree Pair *p = g_new(Pair, 1);
    End *e = &p->end[S];

    open_two(p);
    p->relay[0].cut[S] = true;
    ft_links_beat(e->ls, e->taken, 0);
    relay_move(&p->relay[1], S);
    pull(&p->end[P]);
    g_usleep(TIMEOUT_MS * 700);
    ft_links_beat(e->ls, e->taken, 0);
    relay_move(&p->relay[1], S);
    pull(&p->end[P]);
    p->relay[0].cut[S] = false;
    talk(p, 300);
    TURN_UNTIL(p, all_heard(p));
    g_assert_true(both(p, 0, FT_LINK_IS_ACTIVE));
    g_assert_true(both(p, 1, FT_LINK_IS_STANDBY));
    close_pair(p);
}

/* The primary gives up a peer that is only slow, and can tell it so */
static void test_given_up(void)
{
    g_autoptr(GByteArray) end = g_byte_array_new();
    g_autofree Pair *p = g_new(Pair, 1);

    open_two(p);
    relay_close(&p->relay[0]);
    p->end[S].deaf = true;
    TURN_UNTIL(p, p->end[P].gone);
    g_assert_false(ft_links_ended(p->end[P].ls));
    ft_wire_put_end(end, FT_END_GIVEN_UP, "given up");
    ft_links_shout(p->end[P].ls, end->data, end->len);
    p->end[S].deaf = false;
    TURN_UNTIL(p, p->end[S].word == FT_REC_END);
    close_pair(p);
}

/* One link after the other is cut; what was said last arrives in the end */
static void test_staggered(void)
{
    g_autoptr(GByteArray) over = g_byte_array_new();
    g_autofree Pair *p = g_new(Pair, 1);
    End *e = &p->end[S];
    int64_t later;

    open_two(p);
    p->relay[0].cut[P] = p->relay[0].cut[S] = true;
    TURN_UNTIL(p, health(&p->end[P], 0) == FT_LINK_IS_DOWN);
    p->relay[1].cut[P] = p->relay[1].cut[S] = true;
    TURN_UNTIL(p, p->end[P].gone);
    g_assert_false(ft_links_ended(p->end[P].ls));
    ft_wire_put_u64(over, FT_REC_TAKEOVER, 2);
    ft_links_shout(e->ls, over->data, over->len);
    g_byte_array_append(e->wait, over->data, over->len);
    push(e);
    for (int side = P; side <= S; side++) {
        ft_links_retire(p->end[side].ls);
        p->end[side].gone = false;
        g_clear_pointer(&p->end[side].why, g_free);
    }
    later = get_clock() + TIMEOUT_MS * 2000000LL;
    TURN_UNTIL(p, get_clock() > later);
    p->relay[1].cut[P] = p->relay[1].cut[S] = false;
    TURN_UNTIL(p, p->end[P].word == FT_REC_TAKEOVER);
    relay_close(&p->relay[0]);
    relay_close(&p->relay[1]);
    TURN_UNTIL(p, p->end[P].gone && p->end[S].gone);
    close_pair(p);
}

static void test_words(void)
{
    g_autoptr(GByteArray) end = g_byte_array_new();
    g_autoptr(GByteArray) over = g_byte_array_new();
    g_autofree Pair *p = g_new(Pair, 1);

    open_two(p);
    p->relay[0].cut[P] = p->relay[0].cut[S] = true;
    ft_wire_put_end(end, FT_END_GIVEN_UP, "given up");
    ft_links_shout(p->end[P].ls, end->data, end->len);
    TURN_UNTIL(p, p->end[S].word == FT_REC_END);
    ft_wire_put_u64(over, FT_REC_TAKEOVER, 2);
    ft_links_shout(p->end[S].ls, over->data, over->len);
    TURN_UNTIL(p, p->end[P].word == FT_REC_TAKEOVER);
    close_pair(p);
}

static void test_offer(void)
{
    g_autofree Pair *p = g_new(Pair, 1);
    uint8_t wrong[FT_WIRE_SESSION] = { 7 };
    QIOChannelSocket *sioc;
    Relay r;

    open_two(p);
    relay_open(&r);
    sioc = plug(&r, P);
    g_assert_false(ft_links_offer(p->end[S].ls, sioc, wrong, 1, "x", NULL));
    g_assert_false(ft_links_offer(p->end[S].ls, sioc, p->session, 0, "x",
                                  NULL));
    /* As often as one likes: only the last is kept */
    for (int i = 0; i < 100; i++) {
        object_unref(OBJECT(sioc));
        close(r.fd[P]);
        sioc = plug(&r, P);
        g_assert_true(ft_links_offer(p->end[S].ls, sioc, p->session, 2, "x",
                                     &error_abort));
    }
    g_assert_cmpuint(OBJECT(sioc)->ref, ==, 2);
    talk(p, 100);
    TURN_UNTIL(p, all_heard(p));
    close(r.fd[P]);
    r.fd[P] = r.fd[S] = -1;
    relay_close(&r);
    object_unref(OBJECT(sioc));
    close_pair(p);
}

static void raw(Pair *p, int n, int to, const GByteArray *rec)
{
    g_assert_cmpint(send(p->relay[n].fd[to], rec->data, rec->len,
                         MSG_NOSIGNAL), ==, rec->len);
}

/* Counts that cannot be end the session; other records only that link */
static void test_hostile(void)
{
    static const FtRecType wrong[] = {
        FT_REC_SWITCHED, FT_REC_ATTACHED, FT_REC_COPY, FT_REC_TAKEOVER,
        FT_REC_ACK, FT_REC_BEAT, FT_REC_HELLO,
    };
    g_autofree Pair *p = g_new(Pair, 1);
    g_autoptr(GByteArray) rec = g_byte_array_new();

    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        uint8_t payload[18] = { 0 };

        open_two(p);
        g_byte_array_set_size(rec, 0);
        ft_wire_put(rec, wrong[i], payload,
                    wrong[i] == FT_REC_HELLO ? 18 :
                    wrong[i] == FT_REC_ATTACHED ? 0 :
                    wrong[i] == FT_REC_ACK || wrong[i] == FT_REC_BEAT ? 16 :
                    8);
        raw(p, 1, S, rec);
        TURN_UNTIL(p, both(p, 1, FT_LINK_IS_DOWN));
        talk(p, 100);
        TURN_UNTIL(p, all_heard(p));
        close_pair(p);
    }
}

static void test_hostile_counts(void)
{
    g_autofree Pair *p = g_new(Pair, 1);

    for (int i = 0; i < 3; i++) {
        g_autoptr(GByteArray) rec = g_byte_array_new();

        open_two(p);
        if (i == 0) {
            ft_wire_put_received(rec, UINT64_MAX, 0);
        } else {
            ft_wire_put_u64(rec, FT_REC_SWITCH, i == 1 ? 0 : UINT64_MAX);
        }
        /* The secondary's words so far are confirmed by then */
        TURN_UNTIL(p, all_heard(p));
        for (int k = 0; k < 600; k++) {
            turn(p);
        }
        raw(p, 1, S, rec);
        TURN_UNTIL(p, p->end[S].gone);
        g_assert_nonnull(p->end[S].why);
        g_test_message("%s", p->end[S].why);
        close_pair(p);
    }
}

/* Long, random, and always one link that works */
static void test_random(void)
{
    g_autofree Pair *p = g_new(Pair, 1);
    GRand *r = g_rand_new_with_seed(3);
    int good = 0;

    open_pair(p);
    for (int round = 0; round < 30; round++) {
        int next = (good + 1 + g_rand_int_range(r, 0, LINKS - 1)) % LINKS;
        Relay *lost = &p->relay[good];

        talk(p, g_rand_int_range(r, 0, 3000));
        if (!both(p, next, FT_LINK_IS_STANDBY)) {
            connect_link(p, next);
            TURN_UNTIL(p, both(p, next, FT_LINK_IS_STANDBY));
        }
        talk(p, g_rand_int_range(r, 0, 3000));
        switch (g_rand_int_range(r, 0, 4)) {
        case 0:
            relay_close(lost);
            break;
        default:
            lost->cut[P] = g_rand_boolean(r);
            lost->cut[S] = !lost->cut[P] || g_rand_boolean(r);
        }
        talk(p, g_rand_int_range(r, 0, 1000));
        TURN_UNTIL(p, !both(p, good, FT_LINK_IS_ACTIVE));
        TURN_UNTIL(p, all_heard(p));
        if (lost->held[P]) {
            lost->cut[P] = lost->cut[S] = false;
        }
        for (good = 0; !both(p, good, FT_LINK_IS_ACTIVE); good++) {
            g_assert_cmpint(good, <, LINKS - 1);
        }
    }
    g_test_message("%" PRIu64 " records", p->end[S].heard);
    close_pair(p);
    g_rand_free(r);
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    module_call_init(MODULE_INIT_QOM);
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ft/links/one", test_one);
    g_test_add_func("/ft/links/end", test_end);
    g_test_add_data_func("/ft/links/cut/from-primary", GINT_TO_POINTER(1),
                         test_cut);
    g_test_add_data_func("/ft/links/cut/from-secondary", GINT_TO_POINTER(2),
                         test_cut);
    g_test_add_data_func("/ft/links/cut/both-ways", GINT_TO_POINTER(3),
                         test_cut);
    g_test_add_func("/ft/links/standby", test_standby);
    g_test_add_func("/ft/links/gone", test_gone);
    g_test_add_func("/ft/links/primary-mute", test_primary_mute);
    g_test_add_func("/ft/links/busy-secondary", test_busy_secondary);
    g_test_add_func("/ft/links/stall", test_stall);
    g_test_add_func("/ft/links/stall-between", test_stall_between);
    g_test_add_func("/ft/links/given-up", test_given_up);
    g_test_add_func("/ft/links/staggered", test_staggered);
    g_test_add_func("/ft/links/words", test_words);
    g_test_add_func("/ft/links/offer", test_offer);
    g_test_add_func("/ft/links/hostile", test_hostile);
    g_test_add_func("/ft/links/hostile-counts", test_hostile_counts);
    g_test_add_func("/ft/links/random", test_random);
    return g_test_run();
}
