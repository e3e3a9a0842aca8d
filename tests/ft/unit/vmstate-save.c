/*
 * QEMU-FT: what a device is saved as, for unit tests
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "migration/qemu-file.h"
#include "migration/ft/vmstate-write.h"
#include "vmstate-save.h"

QEMUFile *vmstate_open(QIOChannelBuffer **buf)
{
    *buf = qio_channel_buffer_new(1024);
    return qemu_file_new_output(QIO_CHANNEL(*buf));
}

GByteArray *vmstate_close(QEMUFile *f, QIOChannelBuffer *buf)
{
    GByteArray *bytes = g_byte_array_new();

    g_assert_cmpint(qemu_fflush(f), ==, 0);
    g_byte_array_append(bytes, buf->data, buf->usage);
    qemu_fclose(f);
    object_unref(OBJECT(buf));
    return bytes;
}

GByteArray *vmstate_save_as(const VMStateDescription *vmsd, void *opaque,
                            int version, bool plan)
{
    QIOChannelBuffer *buf;
    QEMUFile *f = vmstate_open(&buf);

    ft_vmstate_write_enable(plan);
    g_assert_cmpint(vmstate_save_state_v(f, vmsd, opaque, NULL, version,
                                         &error_abort), ==, 0);
    ft_vmstate_write_enable(false);
    return vmstate_close(f, buf);
}
