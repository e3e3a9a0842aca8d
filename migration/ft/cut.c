/*
 * QEMU-FT: the cut
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A cut is one instant in the life of the guest.  In order:
 *
 *  1 stop the vCPUs; nothing to do when all of them sleep (vcpu.c)
 *  2 drain block devices, so that no request is in flight: one that is
 *    is in no device's state.  With request queueing off, a request that
 *    follows from another's completion is not parked but run to its end.
 *  3 the next epoch begins: what the guest says from here on, which is
 *    nothing before step 7, belongs to it
 *  4 save the device state into a buffer
 *  5 harvest the dirty pages; after 4, since saving may write to guest RAM
 *  6 copy them into the arena, or let ship.c encode them (ship.c says when)
 *  7 let everything go on
 *
 * No vm_stop(): that would flush every image, tell every device, and stop
 * the clock.  pause_all_vcpus() with the run state left at RUNNING is what
 * reset and wake-up do too.
 *
 * Where it may run.  aio_poll() is entered nested: by monitor commands, by
 * device resets, and by vCPU threads in the middle of an instruction.  A
 * bottom half of the main AioContext would run there and record a machine
 * that is half way through something.  Handlers in the iohandler context
 * and timers of the main loop run only from main_loop_wait().
 *
 * Or in the thread of the vCPU that has just fallen asleep as the last one,
 * while the main loop is between two turns: no thread has anything half
 * done then either.  Bottom halves that the drain runs here may wake that
 * vCPU; so it looks once more before it sleeps.  Likewise in the thread of the
 * only vCPU that is awake, in the place where it would be stopped by
 * pause_all_vcpus(): its state is complete there, and it runs no code of the
 * guest until the cut is over.
 *
 * A reset or shutdown that was requested but not yet carried out is in no
 * device's state; the cut waits until it is done.  pause_all_vcpus() drops
 * the BQL, so this is looked at again afterwards.
 */
#include "qemu/osdep.h"
#include "qemu/main-loop.h"
#include "qemu/timer.h"
#include "qapi/error.h"
#include "block/block.h"
#include "exec/cpu-common.h"
#include "hw/core/cpu.h"
#include "migration/global_state.h"
#include "system/block-backend.h"
#include "system/cpus.h"
#include "system/runstate.h"
#include "system/tcg.h"
#include "cut.h"
#include "device.h"
#include "disk-mirror.h"
#include "failout.h"
#include "fault.h"
#include "ft.h"
#include "guest.h"
#include "harvest.h"
#include "hash.h"
#include "loop.h"
#include "options.h"
#include "ship.h"
#include "vcpu.h"

static bool active;             /* between drain_begin() and drain_end() */
static bool taking;             /* ft_cut_take() is under way */
static int64_t longest;         /* time that the guest stood still, ns */

bool ft_cut_active(void)
{
    return active;
}

uint64_t ft_cut_longest_us(void)
{
    return longest / 1000;
}

void ft_cut_forget_longest(void)
{
    longest = 0;
}

bool ft_cut_init(FtCut *cut, const FtRam *ram, uint32_t keep_pages,
                 Error **errp)
{
    uint64_t max = ft_ram_max_bytes(ram);

    *cut = (FtCut) { 0 };
    if (!ft_arena_init(&cut->pages, max,
                       (uint64_t)keep_pages * ram->page_size, errp) ||
        !ft_arena_init(&cut->list, max / ram->page_size * sizeof(FtPageId),
                       keep_pages * sizeof(FtPageId), errp)) {
        ft_arena_destroy(&cut->pages);
        return false;
    }
    cut->device = g_byte_array_new();
    return true;
}

void ft_cut_populate(FtCut *cut)
{
    ft_arena_populate(&cut->pages);
    ft_arena_populate(&cut->list);
}

void ft_cut_destroy(FtCut *cut)
{
    ft_arena_destroy(&cut->pages);
    ft_arena_destroy(&cut->list);
    if (cut->device) {
        g_byte_array_free(cut->device, true);
    }
    *cut = (FtCut) { 0 };
}

static bool must_wait(void)
{
    RunState now = runstate_get();

    return qemu_reset_requested_get() || qemu_shutdown_requested_get() ||
           (now == RUN_STATE_FINISH_MIGRATE && !ft_guest_forbidden()) ||
           now == RUN_STATE_SAVE_VM || now == RUN_STATE_RESTORE_VM;
}

/*
 * Stop the vCPUs.  False: something is under way that a cut must not hit,
 * nothing is stopped.  Sets @paused when there is something to resume.
 */
static bool stop_vcpus(bool *paused)
{
    int64_t patience = ft_opts.timeout_ms * 1000000LL / FT_BEATS_PER_TIMEOUT;

    *paused = false;
    if (must_wait()) {
        return false;
    }
    if (!runstate_is_running()) {
        return !current_cpu;
    }
    if (tcg_enabled() && ft_vcpus_may_be_left(patience)) {
        return true;
    }
    if (current_cpu) {
        /* It cannot wait for itself */
        return false;
    }
    pause_all_vcpus();
    if (must_wait() || !runstate_is_running()) {
        resume_all_vcpus();
        return false;
    }
    *paused = true;
    return true;
}

static void set_queueing(bool on)
{
    BlockBackend *blk = NULL;

    while ((blk = blk_all_next(blk))) {
        if (blk_get_attached_dev(blk)) {
            blk_set_disable_request_queuing(blk, !on);
        }
    }
}

static void drain_begin(void)
{
    set_queueing(false);
    bdrv_drain_all_begin();
    active = true;
}

static void drain_end(void)
{
    active = false;
    bdrv_drain_all_end();
    set_queueing(true);
}

static void copy_pages(FtCut *cut, const FtRam *ram)
{
    const FtPageId *ids = (const FtPageId *)cut->list.base;

    for (uint64_t i = 0; i < cut->npages; i++) {
        const FtBlock *b = &ram->blocks[ft_page_block(ids[i])];

        memcpy(ft_arena_take(&cut->pages, ram->page_size),
               b->host + ft_page_number(ids[i]) * ram->page_size,
               ram->page_size);
    }
}

static int64_t lap(int64_t *since)
{
    int64_t now = get_clock(), spent = now - *since;

    *since = now;
    return spent;
}

/* Everything between stop and resume; the guest stands still */
static bool collect(FtCut *cut, FtRam *ram, FtShip *ship, bool hash,
                    Error **errp)
{
    int64_t t = get_clock(), check = 0;

    qemu_flush_coalesced_mmio_buffer();
    if (!cut->last) {
        global_state_store();
    }
    if (!ft_device_save(cut->device, hash ? &check : NULL, errp)) {
        return false;
    }
    cut->save = lap(&t) - check;

    ft_ram_refresh(ram);
    cut->npages = ft_harvest(ram, &ship->hot, &cut->list);
    cut->harvest = lap(&t);

    if (!ft_ship_in_place(ship, cut)) {
        copy_pages(cut, ram);
    }
    cut->hashed = hash;
    cut->copy = lap(&t);
    cut->check = check;
    if (hash) {
        cut->ram_hash = ft_ram_hash(ram, NULL, NULL);
        cut->device_hash = ft_hash(cut->device->data, cut->device->len, 0);
        cut->check += lap(&t);
        cut->copy += cut->check;
    }
    return true;
}

static FtCutResult cut_take(FtCut *cut, FtEpoch *epoch, FtRam *ram,
                            FtShip *ship, bool hash, Error **errp)
{
    bool paused, ok;
    int64_t t;

    ft_arena_reset(&cut->list);
    ft_arena_reset(&cut->pages);
    cut->in_place = false;
    cut->start = t = get_clock();
    if (!stop_vcpus(&paused)) {
        return FT_CUT_SKIPPED;
    }
    drain_begin();
    if (ft_failout_pending()) {
        /* What a request that failed has done to a device goes nowhere */
        drain_end();
        if (paused) {
            resume_all_vcpus();
        }
        return FT_CUT_SKIPPED;
    }
    ft_fault(FT_FAULT_CUT_PAUSED);
    ft_mirror_cut();
    cut->epoch = ft_epoch_cut(epoch);
    cut->unacked = ft_epoch_in_flight(epoch);
    cut->without_pause = !paused;
    cut->stop = lap(&t);

    ok = collect(cut, ram, ship, hash, errp);

    t = get_clock();
    drain_end();
    if (paused) {
        resume_all_vcpus();
    }
    cut->resume = lap(&t);
    cut->total = t - cut->start;
    longest = MAX(longest, cut->total);
    ft_fault(FT_FAULT_CUT_RESUMED);
    if (!ok) {
        ft_epoch_abandon(epoch);
        return FT_CUT_FAILED;
    }
    return FT_CUT_DONE;
}

FtCutResult ft_cut_take(FtCut *cut, FtEpoch *epoch, FtRam *ram, FtShip *ship,
                        bool hash, Error **errp)
{
    FtCutResult result;

    assert(bql_locked() && !qemu_in_coroutine());
    assert(!current_cpu || (ft_vcpus_all_idle() && ft_loop_waits()));
    if (taking) {
        /* The vCPU that waits for us to be stopped */
        return FT_CUT_SKIPPED;
    }
    taking = true;
    result = cut_take(cut, epoch, ram, ship, hash, errp);
    taking = false;
    return result;
}

bool ft_cut_harvest(FtRam *ram, FtArena *list)
{
    int64_t start = get_clock();
    bool paused;

    assert(bql_locked() && !qemu_in_coroutine() && !current_cpu);
    if (!stop_vcpus(&paused)) {
        return false;
    }
    drain_begin();
    ft_ram_refresh(ram);
    ft_harvest(ram, NULL, list);
    drain_end();
    if (paused) {
        resume_all_vcpus();
    }
    longest = MAX(longest, get_clock() - start);
    return true;
}
