/*
 * QEMU-FT: differences between two versions of a page or a device state
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Formats as in docs/protocol.rst.  Pure functions, no locks.  Applying a
 * delta that its _valid() function has accepted cannot fail.
 */
#ifndef MIGRATION_FT_DELTA_H
#define MIGRATION_FT_DELTA_H

/* For tests: do without the processor's wide registers */
extern bool ft_delta_narrow;

/**
 * ft_page_delta: encode what changed from @old to @new
 *
 * @out: room for @max bytes
 *
 * Returns the bytes used; 0 when nothing changed; -1 when the runs do not
 * fit in @max bytes, so that sending the page whole is cheaper.
 */
int ft_page_delta(const void *old, const void *new, uint32_t page_size,
                  uint8_t *out, uint32_t max);
bool ft_page_delta_valid(const uint8_t *delta, uint32_t len,
                         uint32_t page_size);
void ft_page_delta_apply(void *page, const uint8_t *delta, uint32_t len);

/**
 * ft_device_delta: append to @out what changed from @old to @new
 *
 * Both are @len bytes long.  Runs closer to each other than their headers
 * are long are joined.
 */
void ft_device_delta(const uint8_t *old, const uint8_t *new, size_t len,
                     GByteArray *out);
bool ft_device_delta_valid(const uint8_t *delta, size_t len, uint64_t full);
void ft_device_delta_apply(uint8_t *state, const uint8_t *delta, size_t len);

#endif
