/*
 * QEMU-FT: records as the peer may send them, for unit tests
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TESTS_FT_UNIT_WIRE_RAW_H
#define TESTS_FT_UNIT_WIRE_RAW_H

#include "migration/ft/wire.h"

/* What ft_wire_put() would refuse to write: any header, a right check */
void wire_put_raw(GByteArray *out, uint32_t type, uint32_t flags,
                  uint32_t length, const void *payload, uint32_t bytes);

/* The one record that is in @buf */
FtRecord wire_next_record(const GByteArray *buf);

#endif
