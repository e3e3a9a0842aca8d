/*
 * QEMU-FT: saving and loading device state
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The clock.  The section "timer" stores the raw offsets of the VM's clock,
 * which mean something to another host only while the clock is stopped.
 * Stopping it for good at each cut would make it drift against the clocks
 * that KVM keeps; so it is stopped for the save alone, and the offsets are
 * put back as they were, as if it had never stood still.
 *
 * The buffer.  QEMUFile writes to a channel buffer that keeps its
 * allocation between saves: nothing grows while the vCPUs stand still.
 */
#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/error-report.h"
#include "qemu/seqlock.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "io/channel-buffer.h"
#include "migration/global_state.h"
#include "system/cpu-timers.h"
#include "system/cpu-timers-internal.h"
#include "system/cpus.h"
#include "compat.h"
#include "migration/qemu-file.h"
#include "device.h"
#include "vmstate-bulk.h"

#define BUFFER_SIZE (1 * MiB)
#define SECTION_FULL 0x04       /* QEMU_VM_SECTION_FULL */
#define SECTION_FOOTER 0x7e
#define FILE_MAGIC 0x5145564d   /* "QEVM" */

/* Main loop only */
static QIOChannelBuffer *buffer;
static QEMUFile *file;

typedef struct Clock {
    int64_t clock_offset, ticks_offset;
    bool enabled;
} Clock;

static Clock stop_clock(void)
{
    Clock c = {
        .clock_offset = timers_state.cpu_clock_offset,
        .ticks_offset = timers_state.cpu_ticks_offset,
        .enabled = timers_state.cpu_ticks_enabled,
    };

    cpu_disable_ticks();
    return c;
}

static void restart_clock(Clock c)
{
    seqlock_write_lock(&timers_state.vm_clock_seqlock,
                       &timers_state.vm_clock_lock);
    timers_state.cpu_clock_offset = c.clock_offset;
    timers_state.cpu_ticks_offset = c.ticks_offset;
    timers_state.cpu_ticks_enabled = c.enabled;
    seqlock_write_unlock(&timers_state.vm_clock_seqlock,
                         &timers_state.vm_clock_lock);
}

const uint8_t *ft_device_save(size_t *len, Error **errp)
{
    Clock c;
    int ret;

    if (!buffer) {
        buffer = qio_channel_buffer_new(BUFFER_SIZE);
        file = qemu_file_new_output(QIO_CHANNEL(buffer));
    }
    buffer->usage = 0;
    qio_channel_io_seek(QIO_CHANNEL(buffer), 0, 0, NULL);

    c = stop_clock();
    ft_vmstate_bulk_enable(true);
    ret = qemu_save_device_state(file);
    ft_vmstate_bulk_enable(false);
    restart_clock(c);

    if (ret >= 0) {
        ret = qemu_fflush(file);
    }
    if (ret < 0) {
        error_setg(errp, "saving the device state failed: %s",
                   strerror(-ret));
        return NULL;
    }
    *len = buffer->usage;
    return buffer->data;
}

bool ft_device_load(const uint8_t *state, size_t len, Error **errp)
{
    QIOChannelBuffer *bioc = qio_channel_buffer_new(len);
    QEMUFile *f;
    bool ok = true;

    memcpy(bioc->data, state, len);
    bioc->usage = len;
    f = qemu_file_new_input(QIO_CHANNEL(bioc));
    object_unref(OBJECT(bioc));

    /* Written by 10.x, not read by the loader */
    if (len > 8 && ldl_be_p(state) == FILE_MAGIC) {
        qemu_get_be32(f);
        qemu_get_be32(f);
    }
    cpu_synchronize_all_pre_loadvm();
    ok = ft_compat_load_device_state(f, errp) >= 0;
    qemu_fclose(f);
    return ok;
}

/*
 * Sections start with type, id, length and text of the name, instance and
 * version.  Their lengths are not in the stream; but both states come from
 * the same machine, so the sections of one start where those of the other
 * do, and a change is inside the section that began last before it.
 */
static char *section_at(const uint8_t *s, size_t len, size_t pos,
                        size_t *start)
{
    for (size_t i = MIN(pos, len - 6); i > 8; i--) {
        uint8_t n = s[i + 5];

        if (s[i] == SECTION_FULL && n && i + 6 + n <= len &&
            (i == 8 || s[i - 5] == SECTION_FOOTER)) {
            *start = i;
            return g_strndup((const char *)s + i + 6, n);
        }
    }
    *start = 8;
    return g_strdup("(start)");
}

/*
 * Sections that a reload may change without harm: the clock of the host and
 * when the state was stored
 */
static bool may_differ(const char *name)
{
    static const char *const names[] = { "globalstate", "mc146818rtc" };

    for (int i = 0; i < ARRAY_SIZE(names); i++) {
        if (g_str_has_suffix(name, names[i])) {
            return true;
        }
    }
    return false;
}

char *ft_device_differs(const uint8_t *a, size_t alen,
                        const uint8_t *b, size_t blen)
{
    if (alen != blen) {
        return g_strdup("(length)");
    }
    for (size_t i = 8; i + 6 < alen; i++) {
        size_t start;
        char *name;

        if (a[i] == b[i]) {
            continue;
        }
        name = section_at(a, alen, i, &start);
        if (!may_differ(name)) {
            return name;
        }
        g_free(name);
        /* On to the next section */
        while (i + 1 < alen && !(a[i] == SECTION_FOOTER &&
                                 a[i + 5] == SECTION_FULL)) {
            i++;
        }
    }
    return NULL;
}
