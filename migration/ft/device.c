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

/* Length of what QEMU 10.x writes before the first section */
#define STATE_HEAD(s, len) ((len) > 8 && ldl_be_p(s) == FILE_MAGIC ? 8 : 0)

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
    if (STATE_HEAD(state, len)) {
        qemu_get_be32(f);
        qemu_get_be32(f);
    }
    cpu_synchronize_all_pre_loadvm();
    ok = ft_compat_load_device_state(f, errp) >= 0;
    qemu_fclose(f);
    return ok;
}

/* One section of a saved state */
typedef struct Section {
    const uint8_t *name;        /* and instance: what identifies it */
    size_t name_len;
    const uint8_t *data;
    size_t len;
} Section;

#define SECTION_HEAD 6          /* type, u32 section id, u8 name length */
#define SECTION_FOOT 5          /* type, u32 section id */
#define SECTION_IDS 8           /* after the name: u32 instance, version */

/*
 * The next section at *@pos.  The stream does not tell the length of one:
 * it ends with a footer that repeats its id, followed by the next section
 * or by the end of the state, which is one zero byte.
 */
static bool next_section(const uint8_t *s, size_t len, size_t *pos,
                         Section *sec)
{
    const uint8_t *head = s + *pos;
    size_t i = *pos + SECTION_HEAD + SECTION_IDS;

    if (*pos + SECTION_HEAD > len || head[0] != SECTION_FULL) {
        return false;
    }
    sec->name = head + SECTION_HEAD;
    sec->name_len = head[5] + 4;
    i += head[5];
    sec->data = s + i;
    for (; i + SECTION_FOOT < len; i++) {
        const uint8_t *foot = s + i;

        if (foot[0] == SECTION_FOOTER && !memcmp(foot + 1, head + 1, 4) &&
            (foot[5] == SECTION_FULL || i + SECTION_FOOT + 1 == len)) {
            sec->len = foot - sec->data;
            *pos = i + SECTION_FOOT;
            return true;
        }
    }
    return false;
}

static bool find_section(const uint8_t *s, size_t len, const Section *like,
                         Section *found)
{
    size_t pos = STATE_HEAD(s, len);

    while (next_section(s, len, &pos, found)) {
        if (found->name_len == like->name_len &&
            !memcmp(found->name, like->name, like->name_len)) {
            return true;
        }
    }
    return false;
}

/* What a reload may change without harm: when and where it was stored */
static bool may_differ(const char *name)
{
    return g_str_equal(name, "globalstate") ||
           g_str_has_suffix(name, "mc146818rtc");
}

char *ft_device_differs(const uint8_t *a, size_t alen,
                        const uint8_t *b, size_t blen)
{
    size_t pos = STATE_HEAD(a, alen), n = 0;
    Section x, y;

    while (next_section(a, alen, &pos, &x)) {
        g_autofree char *name = g_strndup((const char *)x.name,
                                          x.name_len - 4);

        n++;
        if (!find_section(b, blen, &x, &y) ||
            ((x.len != y.len || memcmp(x.data, y.data, x.len)) &&
             !may_differ(name))) {
            return g_steal_pointer(&name);
        }
    }
    return n && pos + 1 == alen ? NULL : g_strdup("(the format)");
}
