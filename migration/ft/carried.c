/*
 * QEMU-FT: packets of an epoch, on the side that holds the copy
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a takeover needs so that nobody has to wait for a retransmission
 * (docs/protocol.rst, Packets of an epoch).  With n the committed epoch:
 *
 *     output   epoch <= released   gone: the primary has let it go
 *              epoch <= n          due: sent at a takeover
 *              epoch == n + 1      open: never sent, unless n + 1 commits
 *     input    epoch <= n          gone: it is in the state
 *              epoch > n           given to the guest at a takeover
 *
 * So a packet is judged by its number alone, each time, and nothing has to
 * be moved when an epoch commits.  Packets come in the order of their epochs,
 * hence dropping is taking from the front; a peer that mixes them gets
 * fewer dropped, never more sent: give_output() looks at each.
 *
 * A full queue drops what comes: these packets are a help, and the network's
 * own repetition is always there.
 */
#include "qemu/osdep.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "carried.h"

struct FtCarriedPacket {
    QSIMPLEQ_ENTRY(FtCarriedPacket) next;
    uint64_t epoch;
    FtPacket p;                 /* @p.data is @data */
    uint8_t data[];
};
typedef struct FtCarriedPacket FtCarriedPacket;

static size_t cost(const FtPacket *p)
{
    return sizeof(FtCarriedPacket) + strlen(p->nic) + p->length;
}

/* Takes @p->nic */
static void keep(FtCarriedQueue *q, uint64_t epoch, const FtPacket *p)
{
    FtCarriedPacket *k;

    if (q->bytes + cost(p) > FT_WIRE_MAX_CARRIED) {
        g_free(p->nic);
        return;
    }
    k = g_malloc(sizeof(*k) + p->length);
    k->epoch = epoch;
    k->p = *p;
    k->p.data = k->data;
    memcpy(k->data, p->data, p->length);
    QSIMPLEQ_INSERT_TAIL(&q->list, k, next);
    q->bytes += cost(p);
}

static void drop_first(FtCarriedQueue *q)
{
    FtCarriedPacket *k = QSIMPLEQ_FIRST(&q->list);

    QSIMPLEQ_REMOVE_HEAD(&q->list, next);
    q->bytes -= cost(&k->p);
    g_free(k->p.nic);
    g_free(k);
}

static void drop_up_to(FtCarriedQueue *q, uint64_t epoch)
{
    while (!QSIMPLEQ_EMPTY(&q->list) &&
           QSIMPLEQ_FIRST(&q->list)->epoch <= epoch) {
        drop_first(q);
    }
}

void ft_carried_init(FtCarried *c)
{
    *c = (FtCarried) { 0 };
    QSIMPLEQ_INIT(&c->output.list);
    QSIMPLEQ_INIT(&c->input.list);
}

void ft_carried_clear(FtCarried *c)
{
    drop_up_to(&c->output, UINT64_MAX);
    drop_up_to(&c->input, UINT64_MAX);
}

/* Everything that the head of a record says is checked here */
static bool head_valid(const FtCarried *c, FtRecType type, uint64_t open,
                       uint64_t epoch, uint64_t released, Error **errp)
{
    if (released > c->committed) {
        error_setg(errp, "the peer has let go output of epoch %" PRIu64
                   ", the last committed one is %" PRIu64, released,
                   c->committed);
        return false;
    }
    if (type == FT_REC_OUTPUT ? !open || epoch != open :
        epoch > c->committed && epoch - c->committed > 2) {
        error_setg(errp, "the peer sent %s of epoch %" PRIu64 " after epoch %"
                   PRIu64, ft_rec_name(type), epoch, c->committed);
        return false;
    }
    return true;
}

bool ft_carried_record(FtCarried *c, const FtRecord *rec, uint64_t open,
                       Error **errp)
{
    FtCarriedQueue *q = rec->type == FT_REC_OUTPUT ? &c->output : &c->input;
    const uint8_t *pos, *end;
    uint64_t epoch, released;
    FtPacket p;

    if (!ft_wire_get_carried(rec, &epoch, &released, &pos, &end, errp) ||
        !head_valid(c, rec->type, open, epoch, released, errp)) {
        return false;
    }
    drop_up_to(&c->output, released);
    if (epoch <= c->committed) {
        /* Input that is in the state already */
        return true;
    }
    while (ft_wire_next_carried(&pos, end, &p)) {
        keep(q, epoch, &p);
    }
    return true;
}

void ft_carried_commit(FtCarried *c, uint64_t epoch)
{
    c->committed = epoch;
    drop_up_to(&c->input, epoch);
}

uint64_t ft_carried_give_output(FtCarried *c, void (*give)(const FtPacket *))
{
    FtCarriedPacket *k;
    uint64_t n = 0;

    while ((k = QSIMPLEQ_FIRST(&c->output.list))) {
        /* Output commit: what is of an open epoch never leaves */
        if (k->epoch <= c->committed) {
            give(&k->p);
            n++;
        }
        drop_first(&c->output);
    }
    return n;
}

uint64_t ft_carried_give_input(FtCarried *c, void (*give)(const FtPacket *))
{
    FtCarriedPacket *k;
    uint64_t n = 0;

    while ((k = QSIMPLEQ_FIRST(&c->input.list))) {
        give(&k->p);
        n++;
        drop_first(&c->input);
    }
    return n;
}
