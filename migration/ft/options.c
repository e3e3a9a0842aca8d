/*
 * QEMU-FT: the keys of -ft-peer and -ft-listen
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The one place that checks what the user wrote.  Options are parsed
 * before any device exists, so the rest of the start-up is left to a
 * machine-init-done notifier (start.c).
 */
#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "qemu/help_option.h"
#include "qemu/module.h"
#include "qemu/option.h"
#include "qemu/config-file.h"
#include "qapi/error.h"
#include "qapi/util.h"
#include "arbiter-options.h"
#include "epoch.h"
#include "ft.h"
#include "keeper.h"
#include "options.h"
#include "start.h"
#include "uplink.h"

FtOptions ft_opts = {
    .interval_ms = 100,
    .output_delay_us = 3000,
    .quiet_us = 300,
    .dirty_limit = 4096,
    .in_flight = 4,
    .timeout_ms = 500,
    .throttle = 80,
    .durability = FT_DURABILITY_DISK,
    .disk_sync = FT_DISK_SYNC_HASH,
};

static const struct {
    const char *name;
    uint32_t *value;
    uint32_t min, max;
} keys[] = {
    { "interval", &ft_opts.interval_ms, 1, 60000 },
    { "output-delay", &ft_opts.output_delay_us, 0, 1000000 },
    { "quiet", &ft_opts.quiet_us, 0, 1000000 },
    { "dirty-limit", &ft_opts.dirty_limit, 16, 16777216 },
    { "in-flight", &ft_opts.in_flight, 1, FT_EPOCHS_IN_FLIGHT },
    { "timeout", &ft_opts.timeout_ms, FT_TIMEOUT_MIN_MS,
      FT_TIMEOUT_MAX_MS },
    { "throttle", &ft_opts.throttle, 0, 95 },
    { "self-check", &ft_opts.self_check, 0, 1000000 },
    { "sync-rate", &ft_opts.sync_rate, 0, 1000000 },
};

static const struct {
    const char *name;
    const QEnumLookup *lookup;
    int *value;
} choices[] = {
    { "durability", &FtDurability_lookup, (int *)&ft_opts.durability },
    { "disk-sync", &FtDiskSync_lookup, (int *)&ft_opts.disk_sync },
    { "compress", &OnOffAuto_lookup, (int *)&ft_opts.compress },
};

static QemuOptsList ft_opts_list = {
    .name = "ft",
    .implied_opt_name = "address",
    .head = QTAILQ_HEAD_INITIALIZER(ft_opts_list.head),
    .desc = {
        {
            .name = "address",
            .type = QEMU_OPT_STRING,
            .help = "host:port of the other side ([addr]:port to listen on)",
        }, {
            .name = "peer",
            .type = QEMU_OPT_STRING,
            .help = "host:port of a further peer, or another way to the same; "
                    "may be repeated",
        }, {
            .name = "listen",
            .type = QEMU_OPT_STRING,
            .help = "[addr]:port on which a primary waits for its guest once "
                    "the peer has it",
        }, {
            .name = "interval",
            .type = QEMU_OPT_NUMBER,
            .help = "longest time between two checkpoints, ms",
            .def_value_str = "100",
        }, {
            .name = "output-delay",
            .type = QEMU_OPT_NUMBER,
            .help = "longest time output waits for a checkpoint to be made, "
                    "us",
            .def_value_str = "3000",
        }, {
            .name = "quiet",
            .type = QEMU_OPT_NUMBER,
            .help = "checkpoint once waiting output has had no successor for "
                    "so long, us",
            .def_value_str = "300",
        }, {
            .name = "early",
            .type = QEMU_OPT_BOOL,
            .help = "checkpoint once as many packets wait as usual",
            .def_value_str = "on",
        }, {
            .name = "dirty-limit",
            .type = QEMU_OPT_NUMBER,
            .help = "pages the guest may dirty at most before a checkpoint "
                    "comes early",
            .def_value_str = "4096",
        }, {
            .name = "in-flight",
            .type = QEMU_OPT_NUMBER,
            .help = "most checkpoints on their way at once; more than one only "
                    "to a peer that is far away",
            .def_value_str = "4",
        }, {
            .name = "throttle",
            .type = QEMU_OPT_NUMBER,
            .help = "most of its time that a guest is made to sleep when it "
                    "dirties far more than that while one is sent, %",
            .def_value_str = "80",
        }, {
            .name = "timeout",
            .type = QEMU_OPT_NUMBER,
            .help = "a peer that is silent for so long is dead, ms",
            .def_value_str = "500",
        }, {
            .name = "self-check",
            .type = QEMU_OPT_NUMBER,
            .help = "compare both copies every so many checkpoints, 0: never",
            .def_value_str = "0",
        }, {
            .name = "durability",
            .type = QEMU_OPT_STRING,
            .help = "what the guest has flushed is safe on both hosts' disks "
                    "(disk), or on the primary's and in the other's memory "
                    "(memory)",
            .def_value_str = "disk",
        }, {
            .name = "disk-sync",
            .type = QEMU_OPT_STRING,
            .help = "first copy of the disks: hash (what differs), full, or "
                    "none (they are the same)",
            .def_value_str = "hash",
        }, {
            .name = "compress",
            .type = QEMU_OPT_STRING,
            .help = "compress memory on its way to the peer: auto (while "
                    "the link is slower than that), on, or off",
            .def_value_str = "auto",
        }, {
            .name = "shared",
            .type = QEMU_OPT_BOOL,
            .help = "both sides use the same images, on shared storage",
            .def_value_str = "off",
        }, {
            .name = "arbiter-force",
            .type = QEMU_OPT_BOOL,
            .help = "start the guest although the arbiter says that another "
                    "host has it, whose copy is lost",
            .def_value_str = "off",
        }, {
            .name = "uplink",
            .type = QEMU_OPT_STRING,
            .help = "interface ([netdev:]name) to watch instead of those "
                    "found; may be repeated; off: watch none",
        }, {
            .name = "sync-rate",
            .type = QEMU_OPT_NUMBER,
            .help = "limit of that copy, MiB/s read, 0: none",
            .def_value_str = "0",
        }, {
            .name = "carry",
            .type = QEMU_OPT_BOOL,
            .help = "send packets that wait along with their checkpoint, so "
                    "that a takeover loses none",
            .def_value_str = "on",
        }, {
            .name = "stamp",
            .type = QEMU_OPT_BOOL,
            .help = "test aid: before each of the guest's frames send one "
                    "that says the generation",
            .def_value_str = "off",
        }, {
            .name = "arbiter",
            .type = QEMU_OPT_STRING,
            .help = "who decides when the link is cut: "
                    "etcd://host:port/prefix (more hosts after doubled "
                    "commas: a:2379,,b:2379), file:/path, or none",
            .def_value_str = "none",
        }, {
            .name = "arbiter-tls",
            .type = QEMU_OPT_STRING,
            .help = "directory with ca-cert.pem and, if etcd asks for them, "
                    "client-cert.pem and client-key.pem",
        }, {
            .name = "arbiter-user",
            .type = QEMU_OPT_STRING,
            .help = "user at etcd",
        }, {
            .name = "arbiter-secret",
            .type = QEMU_OPT_STRING,
            .help = "id of the -object secret with that user's password",
        }, {
            .name = "host",
            .type = QEMU_OPT_STRING,
            .help = "this host's name in the arbiter's record (default: the "
                    "host name)",
        },
        { /* end of list */ }
    },
};

static void ft_register_opts(void)
{
    qemu_add_opts(&ft_opts_list);
}

opts_init(ft_register_opts);

static int add_peer(void *opaque, const char *name, const char *value,
                    Error **errp)
{
    return g_str_equal(name, "peer") && !ft_peers_add(value, errp) ? -1 : 0;
}

static int add_uplink(void *opaque, const char *name, const char *value,
                      Error **errp)
{
    return g_str_equal(name, "uplink") && !ft_uplink_option(value, errp) ?
           -1 : 0;
}

/* Who listens has peers for the time after a takeover */
static bool apply_addresses(QemuOpts *opts, bool listen, Error **errp)
{
    const char *address = qemu_opt_get(opts, "address");
    const char *later = qemu_opt_get(opts, "listen");

    if (listen && later) {
        error_setg(errp, "listen= has no meaning here, where the address is "
                   "the one to listen on; remove it");
        return false;
    }
    if (later && !ft_address_parse(&ft_opts.listen_at, later, true, errp)) {
        error_prepend(errp, "listen: ");
        return false;
    }
    if (!address) {
        error_setg(errp, "no address; give %s",
                   listen ? "[addr]:port" : "host:port");
        return false;
    }
    return (listen ? ft_address_parse(&ft_opts.listen_at, address, true, errp)
                   : ft_peers_add(address, errp)) &&
           !qemu_opt_foreach(opts, add_peer, NULL, errp);
}

static bool apply_choices(QemuOpts *opts, Error **errp)
{
    for (int i = 0; i < ARRAY_SIZE(choices); i++) {
        const char *text = qemu_opt_get(opts, choices[i].name);
        int v = text ? qapi_enum_parse(choices[i].lookup, text, -1, NULL) :
                       *choices[i].value;

        if (v < 0) {
            g_autoptr(GString) known = g_string_new("");

            for (int k = 0; k < choices[i].lookup->size; k++) {
                g_string_append_printf(known, "%s%s", k ? ", " : "",
                                       choices[i].lookup->array[k]);
            }
            error_setg(errp, "%s=%s is not known; give one of %s",
                       choices[i].name, text, known->str);
            return false;
        }
        *choices[i].value = v;
    }
    return true;
}

static bool apply_opts(QemuOpts *opts, bool listen, Error **errp)
{
    if (!apply_addresses(opts, listen, errp)) {
        return false;
    }
    for (int i = 0; i < ARRAY_SIZE(keys); i++) {
        uint64_t v = qemu_opt_get_number(opts, keys[i].name, *keys[i].value);

        if (v < keys[i].min || v > keys[i].max) {
            error_setg(errp, "%s=%" PRIu64 " is out of range; give a number "
                       "from %" PRIu32 " to %" PRIu32,
                       keys[i].name, v, keys[i].min, keys[i].max);
            return false;
        }
        *keys[i].value = v;
    }
    ft_opts.early = qemu_opt_get_bool(opts, "early", true);
    ft_opts.carry = qemu_opt_get_bool(opts, "carry", true);
    ft_opts.stamp = qemu_opt_get_bool(opts, "stamp", false);
    ft_opts.shared = qemu_opt_get_bool(opts, "shared", false);
    ft_opts.arbiter_force = qemu_opt_get_bool(opts, "arbiter-force", false);
    if (ft_opts.shared && qemu_opt_find(opts, "disk-sync")) {
        error_setg(errp, "disk-sync= has no meaning with shared=on, where "
                   "nothing is copied; remove one of them");
        return false;
    }
    return !qemu_opt_foreach(opts, add_uplink, NULL, errp) &&
           apply_choices(opts, errp) && ft_arbiter_options_apply(opts, errp);
}

/* What -incoming sees for -ft-listen; told apart by its address */
static const char incoming_for_listen[] = "defer";

void ft_incoming_check(const char *arg)
{
    if (arg != incoming_for_listen) {
        ft_opts.incoming_given = true;
    }
}

const char *ft_option_parse(const char *option, const char *arg)
{
    bool listen = g_str_equal(option, "ft-listen");
    Error *err = NULL;
    QemuOpts *opts;

    if (has_help_option(arg)) {
        qemu_opts_print_help(&ft_opts_list, true);
        exit(0);
    }
    if (ft_opts.given) {
        error_report("-%s cannot be used twice or together with -%s; a QEMU "
                     "is either the primary or the secondary", option,
                     listen ? "ft-peer" : "ft-listen");
        exit(1);
    }
    opts = qemu_opts_parse(&ft_opts_list, arg, true, &err);
    if (!opts || !apply_opts(opts, listen, &err)) {
        error_report_err(err);
        exit(1);
    }
    ft_opts.given = true;
    ft_opts.listen = listen;
    qemu_opts_del(opts);
    /* Here because a sandbox, set up later, would not allow it */
    ft_keeper_start();
    ft_start_at_machine_done();
    return incoming_for_listen;
}
