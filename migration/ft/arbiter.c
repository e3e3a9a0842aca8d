/*
 * QEMU-FT: who may act
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * When one side loses the other, one of them may go on, and each must know
 * which.  Both ask a third: a record at a place both can reach, that has the
 * number of the generation and the name of the host that acts.
 *
 *     primary has lost its secondary    \   swap generation g -> g + 1
 *     secondary has lost its primary    /   one of them succeeds
 *
 * Who succeeds acts, as generation g + 1; who does not will never act.  Until
 * the answer is there neither acts: the primary holds its output, the
 * secondary its copy.  Nothing is asked while the two have each other, so an
 * arbiter that is away costs nothing but a warning, and nothing is ever slower
 * by it than the one question after a death.
 *
 * No lease at the arbiter: who has won acts until it says otherwise, because
 * nobody else has a copy that could.  A new secondary gets one from it, and
 * the number with it.  The leases are between the two (lease.h).
 *
 * A request whose answer got lost may have succeeded.  So a claim has a random
 * name, is repeated until there is an answer, and finds itself.
 *
 * Starting afresh is a claim too: a host that was away must not start the
 * guest from the disk it had then.  It may if the record names this host, or
 * the guest was switched off properly, or the user insists.  In the first case
 * a secondary may be about to go on with the guest as it was, which is better
 * than a reboot: it gets the time to do so.
 *
 * The store blocks, so one thread does all calls, without the BQL.  The main
 * loop hands it jobs and gets them back through an event notifier: at top
 * level, outside of aio_poll().
 */
#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/error-report.h"
#include "qemu/event_notifier.h"
#include "qemu/lockable.h"
#include "qemu/main-loop.h"
#include "qemu/thread.h"
#include "qemu/timer.h"
#include "qapi/error.h"
#include "crypto/random.h"
#include "arbiter.h"
#include "arbiter-options.h"
#include "options.h"
#include "state.h"
#include "trace.h"
#include "wire.h"

/* All derive from timeout, within what a network and a disk need */
#define CALL_MS CLAMP(2 * ft_opts.timeout_ms, 500, 5000)
#define RETRY_MS CLAMP(ft_opts.timeout_ms / 5, 20, 1000)
#define LOOK_MS CLAMP(4 * ft_opts.timeout_ms, 500, 30000)
#define START_MS 10000
/* Long enough for a secondary to find its primary hung */
#define HEIR_MS ((FT_HUNG_FACTOR + 1) * ft_opts.timeout_ms)

typedef enum FtJobKind {
    JOB_LOOK,
    JOB_CLAIM,
    JOB_LEAVE,
} FtJobKind;

typedef struct Job {
    FtJobKind kind;
    uint64_t expected;          /* CLAIM: the generation to be replaced */
    uint64_t least;             /* the record is known to have had this one */
    FtSeat current;             /* LEAVE: what has to be there */
    FtSeat next;                /* CLAIM, LEAVE: what is to be there */
    /* The answer */
    FtStoreResult result;
    FtSeat found;
    int64_t took_ns;
    int64_t begun_ns;           /* CLAIM */
    Error *err;
    bool done;                  /* under @lock; who waits frees it */
    bool awaited;
} Job;

static struct {
    FtStore *store;             /* NULL: no arbiter */
    char *name;
    FtClaimDone *done;          /* the claim under way; NULL: none */
    void (*seen)(const FtSeat *seat);
    QEMUTimer *look;
    FtSeat seat;                /* as last seen */
    bool reachable;
    int64_t took_ns;            /* the last answer */
    int64_t claim_ns;           /* the last claim, from the call to the end */

    QemuThread thread;
    bool have_thread;
    EventNotifier event;
    QemuMutex lock;
    QemuCond todo_cond, done_cond;
    GQueue todo, answered;      /* Job */
} arb;

bool ft_arbiter_on(void)
{
    return arb.store;
}

const char *ft_arbiter_name(void)
{
    return arb.name ?: "";
}

static void free_job(Job *job)
{
    ft_seat_clear(&job->current);
    ft_seat_clear(&job->next);
    ft_seat_clear(&job->found);
    error_free(job->err);
    g_free(job);
}

/* Worker thread */

static void answer(Job *job)
{
    QEMU_LOCK_GUARD(&arb.lock);
    job->done = true;
    if (job->awaited) {
        qemu_cond_broadcast(&arb.done_cond);
    } else {
        g_queue_push_tail(&arb.answered, job);
        event_notifier_set(&arb.event);
    }
}

/* A share that is not mounted, or a store set up anew, decides nothing */
static void distrust(Job *job)
{
    bool found = job->kind == JOB_CLAIM ? job->result == FT_STORE_LOST :
                 job->kind == JOB_LOOK && job->result == FT_STORE_OK;

    if (found && job->found.generation < job->least) {
        error_setg(&job->err, "its record is gone or of generation %" PRIu64
                   ", after %" PRIu64, job->found.generation, job->least);
        job->result = FT_STORE_UNREACHABLE;
    }
}

/*
 * With a question before it.  While the way there works and the way back does
 * not, or when this process stops or dies while it asks in vain, a claim that
 * arrives would be granted to somebody who cannot act, and nobody would.
 */
static FtStoreResult claim(Job *job)
{
    g_auto(FtSeat) seat = { 0 };
    FtStoreResult ret = ft_store_read(arb.store, &seat, CALL_MS, &job->err);

    return ret != FT_STORE_OK ? ret :
           ft_store_swap(arb.store, job->expected, &job->next, &job->found,
                         CALL_MS, &job->err);
}

static void perform(Job *job)
{
    int64_t start = get_clock();

    error_free(job->err);
    job->err = NULL;
    ft_seat_clear(&job->found);
    switch (job->kind) {
    case JOB_LOOK:
        job->result = ft_store_read(arb.store, &job->found, CALL_MS,
                                    &job->err);
        break;
    case JOB_CLAIM:
        job->result = claim(job);
        break;
    case JOB_LEAVE:
        job->result = ft_store_update(arb.store, &job->current, &job->next,
                                      &job->found, CALL_MS, &job->err);
        break;
    }
    job->took_ns = get_clock() - start;
    distrust(job);
}

/* The main loop hears of the trouble while the claim is tried again */
static void tell_trouble(const Job *claim)
{
    Job *note = g_new0(Job, 1);

    note->kind = JOB_LOOK;
    note->result = FT_STORE_UNREACHABLE;
    note->err = error_copy(claim->err);
    answer(note);
}

static void *worker(void *opaque)
{
    Job *job;

    qemu_mutex_lock(&arb.lock);
    for (;;) {
        job = g_queue_pop_head(&arb.todo);
        if (!job) {
            qemu_cond_wait(&arb.todo_cond, &arb.lock);
            continue;
        }
        qemu_mutex_unlock(&arb.lock);
        perform(job);
        if (job->kind == JOB_CLAIM && job->result == FT_STORE_UNREACHABLE) {
            tell_trouble(job);
            g_usleep(RETRY_MS * 1000);
            qemu_mutex_lock(&arb.lock);
            g_queue_push_head(&arb.todo, job);
            continue;
        }
        answer(job);
        qemu_mutex_lock(&arb.lock);
    }
    return NULL;
}

/* Main loop */

static void submit(Job *job)
{
    QEMU_LOCK_GUARD(&arb.lock);
    /* Claims first: what is to be looked at can wait */
    if (job->kind == JOB_CLAIM) {
        g_queue_push_head(&arb.todo, job);
    } else {
        g_queue_push_tail(&arb.todo, job);
    }
    qemu_cond_signal(&arb.todo_cond);
}

static void note_reachable(const Job *job)
{
    bool now = job->result != FT_STORE_UNREACHABLE;

    if (now) {
        arb.took_ns = job->took_ns;
        ft_state_lack(FT_LACK_ARBITER, NULL);
    } else {
        g_autofree char *text = g_strdup_printf(
            "the arbiter cannot be asked: %s", error_get_pretty(job->err));

        if (arb.reachable) {
            warn_report("fault tolerance: %s", text);
        }
        ft_state_lack(FT_LACK_ARBITER, text);
    }
    arb.reachable = now;
}

static void note_seat(const FtSeat *seat)
{
    ft_seat_clear(&arb.seat);
    ft_seat_copy(&arb.seat, seat);
}

static void claim_answered(Job *job)
{
    FtClaimDone *done = arb.done;
    int64_t took = get_clock() - job->begun_ns;
    bool won = job->result == FT_STORE_OK;
    g_autofree char *why = NULL;

    arb.done = NULL;
    note_seat(won ? &job->next : &job->found);
    arb.claim_ns = took;
    trace_ft_claim(job->next.generation, won, took);
    if (!won) {
        why = job->found.ended ?
              g_strdup("the guest has been switched off") :
              g_strdup_printf("the arbiter says that %s acts, as generation %"
                              PRIu64, job->found.holder ?: "nobody",
                              job->found.generation);
    }
    done(won, why, job->found.ended);
}

static void answered(EventNotifier *e)
{
    if (!event_notifier_test_and_clear(e)) {
        return;
    }
    for (;;) {
        Job *job;

        WITH_QEMU_LOCK_GUARD(&arb.lock) {
            job = g_queue_pop_head(&arb.answered);
        }
        if (!job) {
            return;
        }
        note_reachable(job);
        if (job->kind == JOB_CLAIM) {
            claim_answered(job);
        } else if (job->result == FT_STORE_OK && !arb.done) {
            note_seat(&job->found);
            if (arb.seen) {
                arb.seen(&job->found);
            }
        }
        free_job(job);
    }
}

static void look(void *opaque)
{
    Job *job = g_new0(Job, 1);

    job->kind = JOB_LOOK;
    job->least = arb.seat.generation;
    submit(job);
    timer_mod(arb.look, qemu_clock_get_ms(QEMU_CLOCK_REALTIME) + LOOK_MS);
}

bool ft_arbiter_init(Error **errp)
{
    const FtStoreConfig *cfg;

    if (arb.store) {
        return true;
    }
    if (!ft_store_config_from_options(&cfg, errp)) {
        return false;
    }
    if (!cfg) {
        return true;
    }
    /* Each side may have an address of its own for it */
    arb.name = cfg->kind == FT_STORE_ETCD ?
               g_strdup_printf("etcd %s/%s", cfg->prefix, cfg->vm) :
               g_strdup_printf("file %s", cfg->vm);
    arb.store = ft_store_new(cfg, errp);
    return arb.store;
}

void ft_arbiter_warn(void)
{
    static bool warned;

    if (!arb.store && !warned) {
        warned = true;
        warn_report("fault tolerance: there is no arbiter (key arbiter): when "
                    "the link between the two sides is cut, BOTH go on; once "
                    "it is back the one that has taken over wins");
    }
}

static bool start_thread(Error **errp)
{
    if (arb.have_thread) {
        return true;
    }
    if (event_notifier_init(&arb.event, false) < 0) {
        error_setg(errp, "cannot create an event notifier");
        return false;
    }
    qemu_mutex_init(&arb.lock);
    qemu_cond_init(&arb.todo_cond);
    qemu_cond_init(&arb.done_cond);
    g_queue_init(&arb.todo);
    g_queue_init(&arb.answered);
    arb.reachable = true;
    event_notifier_set_handler(&arb.event, answered);
    qemu_thread_create(&arb.thread, "ft-arbiter", worker, NULL,
                       QEMU_THREAD_DETACHED);
    arb.have_thread = true;
    return true;
}

static void fill_seat(FtSeat *seat, uint64_t generation)
{
    uint8_t random[16];

    qcrypto_random_bytes(random, sizeof(random), &error_abort);
    seat->generation = generation;
    seat->holder = g_strdup(ft_host_name());
    seat->claim = g_malloc0(2 * sizeof(random) + 1);
    for (int i = 0; i < sizeof(random); i++) {
        sprintf(seat->claim + 2 * i, "%02x", random[i]);
    }
}

/* False with @errp set: the guest must not be started here */
static bool may_start(const FtSeat *seat, Error **errp)
{
    if (!seat->generation || seat->ended || ft_opts.arbiter_force ||
        g_str_equal(seat->holder, ft_host_name())) {
        return true;
    }
    error_setg(errp, "the arbiter says that host %s has this guest, as "
               "generation %" PRIu64 ", and this is host %s: start it there, "
               "or use -ft-listen here; if that host's copy is lost for good, "
               "add arbiter-force=on", seat->holder, seat->generation,
               ft_host_name());
    return false;
}

static bool read_and_judge(Error **errp)
{
    return ft_store_read(arb.store, &arb.seat, START_MS, errp) ==
           FT_STORE_OK && may_start(&arb.seat, errp);
}

bool ft_arbiter_start(Error **errp)
{
    g_auto(FtSeat) next = { 0 };
    g_auto(FtSeat) found = { 0 };
    FtStoreResult ret;

    if (!arb.store || arb.have_thread) {
        /* With a thread: this is a survivor, and has its generation */
        return true;
    }
    if (!read_and_judge(errp)) {
        return false;
    }
    if (arb.seat.generation && !arb.seat.ended && !ft_opts.arbiter_force) {
        info_report("fault tolerance: this guest was not switched off; "
                    "waiting %" PRIu32 " ms for a secondary to take over",
                    HEIR_MS);
        g_usleep(HEIR_MS * 1000);
        if (!read_and_judge(errp)) {
            return false;
        }
    }
    fill_seat(&next, arb.seat.generation + 1);
    ret = arb.seat.generation ?
          ft_store_update(arb.store, &arb.seat, &next, &found, START_MS, errp) :
          ft_store_swap(arb.store, 0, &next, &found, START_MS, errp);
    if (ret == FT_STORE_OK) {
        ft_status.generation = next.generation;
        note_seat(&next);
    } else if (ret == FT_STORE_LOST) {
        error_setg(errp, "host %s has just been given this guest by the "
                   "arbiter", found.holder);
    }
    return ret == FT_STORE_OK;
}

void ft_arbiter_watch(void (*seen)(const FtSeat *seat))
{
    if (!arb.store || !start_thread(&error_abort)) {
        return;
    }
    arb.seen = seen;
    if (!arb.look) {
        arb.look = timer_new_ms(QEMU_CLOCK_REALTIME, look, NULL);
    }
    look(NULL);
}

void ft_arbiter_look(void)
{
    if (arb.look) {
        look(NULL);
    }
}

void ft_arbiter_claim(FtClaimDone *done)
{
    Job *job;

    if (!arb.store) {
        done(true, NULL, false);
        return;
    }
    assert(!arb.done);
    arb.done = done;
    job = g_new0(Job, 1);
    job->kind = JOB_CLAIM;
    job->begun_ns = get_clock();
    job->expected = job->least = ft_status.generation;
    fill_seat(&job->next, job->expected + 1);
    submit(job);
}

bool ft_arbiter_reachable(void)
{
    return !arb.store || !arb.have_thread || arb.reachable;
}

bool ft_arbiter_claiming(void)
{
    return arb.done;
}

/* Hand @job to the worker and wait; it frees a job that takes too long */
static void submit_and_wait(Job *job)
{
    int64_t end = get_clock() + CALL_MS * 1000000LL;

    job->awaited = true;
    submit(job);
    qemu_mutex_lock(&arb.lock);
    while (!job->done && get_clock() < end) {
        qemu_cond_timedwait(&arb.done_cond, &arb.lock,
                            MAX((end - get_clock()) / 1000000, 1));
    }
    job->awaited = job->done;
    qemu_mutex_unlock(&arb.lock);
    if (job->awaited) {
        free_job(job);
    }
}

void ft_arbiter_leave(bool both)
{
    Job *job;

    if (!arb.have_thread || arb.done ||
        arb.seat.generation != ft_status.generation) {
        return;
    }
    job = g_new0(Job, 1);
    job->kind = JOB_LEAVE;
    ft_seat_copy(&job->current, &arb.seat);
    if (both) {
        ft_seat_copy(&job->next, &arb.seat);
        job->next.ended = true;
    } else {
        /* A peer that has not heard of it must not take over */
        fill_seat(&job->next, arb.seat.generation + 1);
    }
    submit_and_wait(job);
}

FtArbiterInfo *ft_arbiter_info(void)
{
    FtArbiterInfo *info;

    if (!arb.store) {
        return NULL;
    }
    info = g_new0(FtArbiterInfo, 1);
    info->record = g_strdup(arb.name);
    info->reachable = arb.reachable;
    info->asking = arb.done;
    info->latency_us = arb.took_ns / 1000;
    info->claim_us = arb.claim_ns / 1000;
    info->generation = arb.seat.generation;
    info->holder = g_strdup(arb.seat.holder ?: "");
    return info;
}
