/*
 * QEMU-FT: for a QEMU that runs below valgrind
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Valgrind ends a program that makes a process which shares its memory.
 * Loaded before the C library (LD_PRELOAD), this says that there can be no
 * such process, and QEMU does without (migration/ft/keeper.c).  Threads are
 * made in another way.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>

int clone(int (*fn)(void *), void *stack, int flags, void *arg, ...)
{
    errno = ENOSYS;
    return -1;
}
