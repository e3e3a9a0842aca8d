/*
 * QEMU-FT: output commit for guest consoles
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Every character front end that belongs to a device of the machine is a
 * way for the guest to speak: serial ports, virtio consoles and ports, debug
 * and parallel ports.  What it writes is held like a packet.  Where such a
 * front end shares its character device with a monitor (mux), the monitor's
 * output waits too, a few milliseconds at most.
 *
 * A back end may take less than it is offered when a release comes; the
 * rest is kept and offered again by a timer.  A device that keeps writing
 * to such a back end is told 0 bytes once more than BACKLOG_MAX bytes wait
 * there, and does what it does with a full back end: it waits for it.  What
 * is merely held for its commit does not count: then the back end is not
 * full, and a device that waited for it would be called at once and give up.
 */
#include "qemu/osdep.h"
#include "qemu/main-loop.h"
#include "qemu/timer.h"
#include "qom/object.h"
#include "compat.h"
#include "ft.h"
#include "gate.h"

#define BACKLOG_MAX (1024 * 1024)
#define RETRY_MS 10

typedef struct FtConsole {
    DeviceState *dev;           /* NULL: unplugged, being drained */
    FtCharFrontend *fe;         /* part of the device */
    Chardev *chr;               /* where @backlog has to go, referenced */
    GByteArray *backlog;        /* released, but not yet taken */
    size_t held;                /* bytes in the gate */
} FtConsole;

/* Under the BQL */
static GPtrArray *consoles;
static QEMUTimer *retry;

static FtConsole *find_console(Chardev *chr)
{
    for (guint i = 0; consoles && i < consoles->len; i++) {
        FtConsole *c = g_ptr_array_index(consoles, i);

        if (c->dev && c->fe->chr == chr) {
            return c;
        }
    }
    return NULL;
}

static void flush_backlog(FtConsole *c)
{
    int n;

    if (!c->backlog->len) {
        return;
    }
    n = qemu_chr_write(c->chr, c->backlog->data, c->backlog->len, false);
    if (n > 0) {
        g_byte_array_remove_range(c->backlog, 0, n);
    }
    if (c->backlog->len) {
        timer_mod(retry, qemu_clock_get_ms(QEMU_CLOCK_REALTIME) + RETRY_MS);
    }
}

static void retry_backlogs(void *opaque)
{
    for (guint i = 0; i < consoles->len; i++) {
        flush_backlog(g_ptr_array_index(consoles, i));
    }
}

static void console_release(void *target, unsigned flags,
                            const uint8_t *data, size_t len)
{
    FtConsole *c = target;

    c->held -= len;
    g_byte_array_append(c->backlog, data, len);
    flush_backlog(c);
}

/* The back end of a console can be exchanged (chardev-change) */
static void follow_chardev(FtConsole *c, Chardev *chr)
{
    if (c->chr == chr) {
        return;
    }
    if (c->chr) {
        g_byte_array_set_size(c->backlog, 0);
        object_unref(OBJECT(c->chr));
    }
    c->chr = chr;
    object_ref(OBJECT(chr));
}

static void console_ref(void *target)
{
}

static const FtGateOps console_gate = {
    .release = console_release,
    .ref = console_ref,
    .unref = console_ref,
};

int ft_chr_write(Chardev *chr, const uint8_t *buf, int len, bool write_all)
{
    struct iovec iov = { .iov_base = (void *)buf, .iov_len = len };
    FtConsole *c;

    if (likely(ft_gate_mode == FT_GATE_PASS) || !bql_locked() || len <= 0) {
        return qemu_chr_write(chr, buf, len, write_all);
    }
    c = find_console(chr);
    if (!c) {
        return qemu_chr_write(chr, buf, len, write_all);
    }
    if (ft_gate_mode == FT_GATE_DROP) {
        return len;
    }
    follow_chardev(c, chr);
    flush_backlog(c);
    if (c->backlog->len > BACKLOG_MAX && !write_all) {
        /* The back end is full; the device waits until it is not */
        return 0;
    }
    c->held += len;
    ft_gate_hold(&console_gate, c, 0, &iov, 1);
    return len;
}

static bool known(FtCharFrontend *fe)
{
    for (guint i = 0; i < consoles->len; i++) {
        FtConsole *c = g_ptr_array_index(consoles, i);

        if (c->dev && c->fe == fe) {
            return true;
        }
    }
    return false;
}

static int add_consoles_of(Object *obj, void *opaque)
{
    DeviceState *dev = (DeviceState *)object_dynamic_cast(obj, TYPE_DEVICE);

    if (!dev || !dev->realized) {
        return 0;
    }
    for (ObjectClass *oc = object_get_class(obj);
         oc && object_class_dynamic_cast(oc, TYPE_DEVICE);
         oc = object_class_get_parent(oc)) {
        DeviceClass *dc = DEVICE_CLASS(oc);

        for (int i = 0; i < dc->props_count_; i++) {
            const Property *prop = &dc->props_[i];
            FtCharFrontend *fe;

            if (prop->info != &qdev_prop_chr) {
                continue;
            }
            fe = object_field_prop_ptr(obj, prop);
            if (!known(fe)) {
                FtConsole *c = g_new0(FtConsole, 1);

                c->dev = dev;
                c->fe = fe;
                c->backlog = g_byte_array_new();
                g_ptr_array_add(consoles, c);
            }
        }
    }
    return 0;
}

static void forget_drained(void)
{
    for (guint i = consoles->len; i-- > 0;) {
        FtConsole *c = g_ptr_array_index(consoles, i);

        if (!c->dev && !c->held && !c->backlog->len) {
            if (c->chr) {
                object_unref(OBJECT(c->chr));
            }
            g_byte_array_free(c->backlog, true);
            g_free(c);
            g_ptr_array_remove_index(consoles, i);
        }
    }
}

void ft_gate_console_attach(void)
{
    if (!consoles) {
        consoles = g_ptr_array_new();
        retry = timer_new_ms(QEMU_CLOCK_REALTIME, retry_backlogs, NULL);
    }
    forget_drained();
    object_child_foreach_recursive(qdev_get_machine(), add_consoles_of, NULL);
}

void ft_gate_console_detach(DeviceState *dev)
{
    for (guint i = 0; consoles && i < consoles->len; i++) {
        FtConsole *c = g_ptr_array_index(consoles, i);

        if (c->dev == dev) {
            c->dev = NULL;
            c->fe = NULL;
        }
    }
}
