/*
 * QEMU-FT: test of a program that saves device state without us
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Some of QEMU's own tests have migration code and no more: that this one
 * links says that theirs do.
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/module.h"
#include "io/channel-buffer.h"
#include "migration/qemu-file.h"
#include "migration/vmstate.h"

typedef struct Pair {
    uint32_t a;
    uint16_t b;
} Pair;

static const VMStateDescription vmstate_pair = {
    .name = "pair",
    .version_id = 1,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT32(a, Pair),
        VMSTATE_UINT16(b, Pair),
        VMSTATE_END_OF_LIST()
    },
};

static void test_save(void)
{
    static const uint8_t want[] = { 0, 0, 0x12, 0x34, 0x56, 0x78 };
    Pair pair = { .a = 0x1234, .b = 0x5678 };
    QIOChannelBuffer *buf = qio_channel_buffer_new(64);
    QEMUFile *f = qemu_file_new_output(QIO_CHANNEL(buf));

    g_assert_cmpint(vmstate_save_state_v(f, &vmstate_pair, &pair, NULL, 1,
                                         &error_abort), ==, 0);
    g_assert_cmpint(qemu_fflush(f), ==, 0);
    g_assert_cmpmem(buf->data, buf->usage, want, sizeof(want));
    qemu_fclose(f);
    object_unref(OBJECT(buf));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    module_call_init(MODULE_INIT_QOM);
    g_test_add_func("/ft/stubs/save", test_save);
    return g_test_run();
}
