/*
 * QEMU-FT: arrays of plain elements in device state
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Internal to vmstate-*.c.  With the BQL held.
 */
#ifndef MIGRATION_FT_VMSTATE_ARRAY_H
#define MIGRATION_FT_VMSTATE_ARRAY_H

#include "vmstate-plan.h"

/**
 * ft_array_encode: @n elements as they are in the stream
 *
 * @out: for @n * @plan->bytes
 * @stride: bytes from one element to the next
 * @plan: what an element consists of, all of it plain
 */
void ft_array_encode(uint8_t *out, const uint8_t *elems, size_t stride,
                     int n, const FtPlan *plan);

/**
 * ft_array_kept: the same from what has been written in the last save
 *
 * Returns NULL when this array is not worth keeping.  What it returns is
 * valid and stays the same until the next ft_array_begin().
 */
const uint8_t *ft_array_kept(const VMStateField *field, const uint8_t *elems,
                             size_t stride, int n, const FtPlan *plan);

/* Around each save of all devices */
void ft_array_begin(void);
void ft_array_end(void);

#endif
