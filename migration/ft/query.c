/*
 * QEMU-FT: query-ft and info ft
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-ft.h"
#include "qapi/qapi-visit-ft.h"
#include "qapi/clone-visitor.h"
#include "monitor/hmp.h"
#include "monitor/monitor.h"
#include "arbiter.h"
#include "carry.h"
#include "checkpoint.h"
#include "cut.h"
#include "disk-hold.h"
#include "disk-log.h"
#include "disk-mirror.h"
#include "disk-sync.h"
#include "gate.h"
#include "link-view.h"
#include "loop.h"
#include "options.h"
#include "primary.h"
#include "secondary.h"
#include "state.h"
#include "throttle.h"
#include "uplink.h"
#include "version.h"

static FtDistribution *distribution(const FtWindow *w)
{
    FtPercentiles p = ft_window_percentiles(w);
    FtDistribution *d = g_new0(FtDistribution, 1);

    d->samples = p.samples;
    d->p50 = p.p50;
    d->p99 = p.p99;
    d->max = p.max;
    return d;
}

static FtPhases *phases(void)
{
    FtPhases *p = g_new0(FtPhases, 1);

    p->stop = ft_window_percentiles(&ft_counters.stop).p50;
    p->device = ft_window_percentiles(&ft_counters.save).p50;
    p->harvest = ft_window_percentiles(&ft_counters.harvest).p50;
    p->copy = ft_window_percentiles(&ft_counters.copy).p50;
    p->resume = ft_window_percentiles(&ft_counters.resume).p50;
    return p;
}

static FtLongest *longest(void)
{
    FtLongest *l = g_new0(FtLongest, 1);

    l->pause = ft_cut_longest_us();
    l->turn = ft_loop_longest_turn_us();
    return l;
}

static FtCuts *cuts(void)
{
    FtCuts *c = g_new0(FtCuts, 1);

    c->total = ft_counters.total;
    c->interval = ft_counters.cuts[FT_CAUSE_INTERVAL];
    c->idle = ft_counters.cuts[FT_CAUSE_IDLE];
    c->complete = ft_counters.cuts[FT_CAUSE_COMPLETE];
    c->quiet = ft_counters.cuts[FT_CAUSE_QUIET];
    c->delay = ft_counters.cuts[FT_CAUSE_DELAY];
    c->dirty = ft_counters.cuts[FT_CAUSE_DIRTY];
    c->disk = ft_counters.cuts[FT_CAUSE_DISK];
    c->skipped = ft_counters.skipped;
    c->without_pause = ft_counters.without_pause;
    c->overlapping = ft_counters.overlapping;
    return c;
}

static void fill_traffic(FtInfo *info)
{
    FtSecondaryCounters sec = ft_secondary_counters();

    info->bytes_sent = sec.bytes_sent + ft_primary.past_sent;
    info->bytes_received = sec.bytes_received + ft_primary.past_received;
    if (ft_primary.ch) {
        info->bytes_sent += ft_channel_bytes_sent(ft_primary.ch);
        info->bytes_received += ft_channel_bytes_received(ft_primary.ch);
    }
    info->epoch = ft_status.role == FT_ROLE_SECONDARY ? sec.epoch :
                  ft_checkpoint_committed();
}

static FtDiskInfoList *disks(void)
{
    const FtDisks *set = ft_status.role == FT_ROLE_SECONDARY ?
                         ft_secondary_disks() : ft_mirror_disks();
    FtDiskInfoList *list = NULL, **tail = &list;

    for (uint32_t i = 0; set && i < set->n; i++) {
        const FtDisk *d = &set->disk[i];
        FtDiskInfo *info = g_new0(FtDiskInfo, 1);

        info->name = g_strdup(d->name);
        info->device = g_strdup(d->device);
        info->size = d->size;
        info->has_sync_remaining = ft_disk_sync_active();
        info->sync_remaining = ft_disk_sync_remaining(i);
        QAPI_LIST_APPEND(tail, info);
    }
    return list;
}

FtInfo *qmp_query_ft(Error **errp)
{
    FtInfo *info = g_new0(FtInfo, 1);
    FtGateCounts gate = ft_gate_counts();
    const char *reason;

    info->ft_version = g_strdup(ft_version);
    info->role = ft_status.role;
    info->state = ft_state_shown(&reason);
    info->reason = g_strdup(reason);
    info->links = ft_link_view_list();
    info->degraded = ft_state_lacks();
    info->arbiter = ft_arbiter_info();
    info->peer = g_strdup(ft_status.peer);
    info->mode = g_strdup(ft_primary.mode->name);
    info->generation = ft_status.generation;
    info->pause = distribution(&ft_counters.pause);
    info->phases = phases();
    info->longest = longest();
    info->has_sync_time = ft_counters.sync_time_ms;
    info->sync_time = ft_counters.sync_time_ms;
    info->ack_latency = distribution(&ft_counters.ack);
    info->dirty_pages = distribution(&ft_counters.pages);
    info->epoch_bytes = distribution(&ft_counters.bytes);
    fill_traffic(info);
    info->has_sync_remaining = ft_checkpoint_remaining(&info->sync_remaining);
    info->disks = disks();
    info->uplinks = ft_uplink_query();
    info->shared = ft_opts.shared;
    info->disk_bytes = ft_disk_log_bytes();
    info->journal_bytes = ft_secondary_counters().journal_bytes +
                          ft_hold_bytes();
    info->durability = ft_opts.durability;
    info->held_packets = gate.held;
    info->held_bytes = gate.held_bytes;
    info->released_packets = gate.released;
    info->carry = g_new0(FtCarryInfo, 1);
    *info->carry = ft_carry_counts();
    info->cuts = cuts();
    info->throttle = ft_throttle_percent();
    info->compressed = g_new0(FtCompressed, 1);
    ft_checkpoint_compressed(&info->compressed->before,
                             &info->compressed->after);
    info->self_check = g_new0(FtSelfCheck, 1);
    info->self_check->passed = ft_counters.checks_passed;
    info->self_check->failed = ft_counters.checks_failed;
    if (ft_status.takeover) {
        info->takeover = QAPI_CLONE(FtTakeover, ft_status.takeover);
    }
    return info;
}

static void print_distribution(Monitor *mon, const char *name,
                               const FtDistribution *d, const char *unit)
{
    monitor_printf(mon, "%-12s p50 %" PRIu64 "  p99 %" PRIu64 "  max %" PRIu64
                   " %s (%" PRIu32 " samples)\n",
                   name, d->p50, d->p99, d->max, unit, d->samples);
}

static void print_degraded(Monitor *mon, const FtDegradationList *list)
{
    for (; list; list = list->next) {
        monitor_printf(mon, "degraded     %s\n", list->value->reason);
    }
}

static void print_arbiter(Monitor *mon, const FtArbiterInfo *a)
{
    if (!a) {
        monitor_printf(mon, "arbiter      none\n");
        return;
    }
    monitor_printf(mon, "arbiter      %s: %s%s, generation %" PRIu64
                   " held by %s, answers in %" PRIu64 " us\n", a->record,
                   a->reachable ? "answers" : "cannot be asked",
                   a->asking ? ", being asked who may act" : "",
                   a->generation, *a->holder ? a->holder : "nobody",
                   a->latency_us);
}

static void hmp_info_ft(Monitor *mon, const QDict *qdict)
{
    g_autoptr(FtInfo) i = qmp_query_ft(&error_abort);

    monitor_printf(mon, "%s, %s%s%s\n", FtRole_str(i->role),
                   FtState_str(i->state), i->reason ? ": " : "",
                   i->reason ?: "");
    if (i->role == FT_ROLE_NONE) {
        return;
    }
    monitor_printf(mon, "peer         %s, generation %" PRIu64 ", epoch %"
                   PRIu64 "\n", i->peer ?: "none", i->generation, i->epoch);
    print_arbiter(mon, i->arbiter);
    for (FtLinkInfoList *l = i->links; l; l = l->next) {
        monitor_printf(mon, "link         %s, %s\n", l->value->address,
                       FtLinkState_str(l->value->state));
    }
    if (i->has_sync_remaining) {
        monitor_printf(mon, "first copy   %" PRIu64 " MiB to go\n",
                       i->sync_remaining >> 20);
    }
    print_distribution(mon, "pause", i->pause, "us");
    monitor_printf(mon, "longest      pause %" PRIu64 "  turn of the main loop %"
                   PRIu64 " us\n", i->longest->pause, i->longest->turn);
    print_distribution(mon, "ack latency", i->ack_latency, "us");
    print_distribution(mon, "dirty pages", i->dirty_pages, "pages");
    print_distribution(mon, "epoch bytes", i->epoch_bytes, "bytes");
    monitor_printf(mon, "held         %" PRIu64 " packets, %" PRIu64
                   " bytes; released %" PRIu64 "\n", i->held_packets,
                   i->held_bytes, i->released_packets);
    monitor_printf(mon, "carried      %" PRIu64 " packets out, %" PRIu64
                   " in\n", i->carry->output, i->carry->input);
    monitor_printf(mon, "cuts         %" PRIu64 ": %" PRIu64 " interval, %"
                   PRIu64 " idle, %" PRIu64 " quiet, %" PRIu64 " delay, %"
                   PRIu64 " dirty, %" PRIu64 " disk; %" PRIu64 " skipped\n",
                   i->cuts->total, i->cuts->interval, i->cuts->idle,
                   i->cuts->quiet, i->cuts->delay, i->cuts->dirty,
                   i->cuts->disk, i->cuts->skipped);
    if (i->compressed->before) {
        monitor_printf(mon, "compressed   %" PRIu64 " MiB to %" PRIu64
                       " MiB\n", i->compressed->before >> 20,
                       i->compressed->after >> 20);
    }
    if (i->throttle) {
        monitor_printf(mon, "throttle     %" PRIu32 " %%\n", i->throttle);
    }
    for (FtDiskInfoList *l = i->disks; l; l = l->next) {
        monitor_printf(mon, "disk         %s, %" PRIu64 " MiB%s",
                       l->value->name, l->value->size >> 20,
                       i->shared ? ", shared" : "");
        if (l->value->has_sync_remaining) {
            monitor_printf(mon, ", %" PRIu64 " MiB to go",
                           l->value->sync_remaining >> 20);
        }
        monitor_printf(mon, "\n");
    }
    for (FtUplinkList *l = i->uplinks; l; l = l->next) {
        monitor_printf(mon, "uplink       %s, %s: %s, peer %s\n",
                       l->value->nic, l->value->interface ?: "no interface",
                       FtUplinkState_str(l->value->state),
                       FtUplinkState_str(l->value->peer));
    }
    print_degraded(mon, i->degraded);
    if (i->self_check->passed || i->self_check->failed) {
        monitor_printf(mon, "self-check   %" PRIu64 " passed, %" PRIu64
                       " failed\n", i->self_check->passed,
                       i->self_check->failed);
    }
}

static void register_info_ft(void)
{
    monitor_register_hmp("ft", true, hmp_info_ft);
}

type_init(register_info_ft)
