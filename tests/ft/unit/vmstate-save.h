/*
 * QEMU-FT: what a device is saved as, for unit tests
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TESTS_FT_UNIT_VMSTATE_SAVE_H
#define TESTS_FT_UNIT_VMSTATE_SAVE_H

#include "io/channel-buffer.h"
#include "migration/vmstate.h"

/* A file in memory, and what was written to it when it is closed */
QEMUFile *vmstate_open(QIOChannelBuffer **buf);
GByteArray *vmstate_close(QEMUFile *f, QIOChannelBuffer *buf);

/* @opaque as @vmsd of @version has it, by plan or by upstream's loop */
GByteArray *vmstate_save_as(const VMStateDescription *vmsd, void *opaque,
                            int version, bool plan);

#endif
