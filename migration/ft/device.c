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
 * The buffer.  QEMUFile writes to a channel that is lent the caller's array,
 * which keeps its allocation: nothing is copied once more, and nothing grows
 * while the vCPUs stand still.
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
#include "migration/qemu-file.h"
#include "checkpoint.h"
#include "compat.h"
#include "device.h"
#include "vmstate-write.h"

#define BUFFER_SIZE (1 * MiB)
#define SECTION_FULL 0x04       /* QEMU_VM_SECTION_FULL */
#define SECTION_FOOTER 0x7e
#define FILE_MAGIC 0x5145564d   /* "QEVM" */

/* Length of what QEMU 10.x writes before the first section */
#define STATE_HEAD(s, len) ((len) > 8 && ldl_be_p(s) == FILE_MAGIC ? 8 : 0)

/* With the BQL */
static QIOChannelBuffer *buffer;
static QEMUFile *file;
static bool by_plan = true;     /* until it was found to be wrong */

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

static void lend(GByteArray *state)
{
    if (!file) {
        buffer = qio_channel_buffer_new(0);
        file = qemu_file_new_output(QIO_CHANNEL(buffer));
    }
    g_byte_array_set_size(state, MAX(state->len, BUFFER_SIZE));
    buffer->data = state->data;
    buffer->capacity = state->len;
    buffer->usage = 0;
    qio_channel_io_seek(QIO_CHANNEL(buffer), 0, 0, NULL);
}

static void take_back(GByteArray *state, bool ok)
{
    /* It may have grown, and moved */
    state->data = g_steal_pointer(&buffer->data);
    buffer->capacity = 0;
    g_byte_array_set_size(state, ok ? buffer->usage : 0);
    if (!ok) {
        /* What a save has left in the file is not for the next one */
        qemu_fclose(g_steal_pointer(&file));
        object_unref(OBJECT(g_steal_pointer(&buffer)));
    }
}

static int save_devices(GByteArray *state, bool plan)
{
    int ret;

    lend(state);
    if (plan) {
        ft_vmstate_write_enable(true);
    }
    ret = qemu_save_device_state(file);
    if (plan) {
        ft_vmstate_write_enable(false);
    }
    if (!ret) {
        ret = qemu_fflush(file);
    }
    take_back(state, !ret);
    return ret;
}

/*
 * Self-check: upstream's own loop has to write the same; the clock is still.
 * If it does not, what it wrote is right, this time and from now on.
 */
static void compare_loop(GByteArray *state)
{
    g_autoptr(GByteArray) again = g_byte_array_new();
    g_autofree char *section = NULL;

    if (save_devices(again, false)) {
        return;                 /* which would not be a fault of the plan */
    }
    section = ft_device_differs(state->data, state->len, again->data,
                                again->len);
    if (section) {
        error_report("fault tolerance: self-check: the state of %s is not "
                     "what QEMU itself would write; QEMU writes all of it "
                     "from now on, which takes longer", section);
        ft_counters.checks_failed++;
        g_byte_array_set_size(state, 0);
        g_byte_array_append(state, again->data, again->len);
        by_plan = false;
    }
}

bool ft_device_save(GByteArray *state, int64_t *check, Error **errp)
{
    Clock c = stop_clock();
    int ret = save_devices(state, by_plan);

    if (!ret && check && by_plan) {
        int64_t start = get_clock();

        compare_loop(state);
        *check = get_clock() - start;
    }
    restart_clock(c);
    if (ret) {
        error_setg(errp, "saving the device state failed: %s",
                   strerror(abs(ret)));
    }
    return !ret;
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

/*
 * What a second save may change without harm: when and where it was stored,
 * and a clock that KVM is asked for each time
 */
static bool may_differ(const char *name)
{
    return g_str_equal(name, "globalstate") ||
           g_str_equal(name, "kvmclock") ||
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
