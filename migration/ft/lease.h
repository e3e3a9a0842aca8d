/*
 * QEMU-FT: how long a primary may be sure that it is still the one
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef MIGRATION_FT_LEASE_H
#define MIGRATION_FT_LEASE_H

#include "qemu/thread.h"

/* Beats that may be under way; an echo of an older one proves nothing */
#define FT_LEASE_BEATS 64

typedef struct FtLease {
    QemuMutex lock;
    int64_t timeout_ns;         /* the peer's: the same on both sides */
    struct {
        uint64_t counter;
        int64_t until;          /* what its echo would prove */
    } beat[FT_LEASE_BEATS];
    int64_t until;
} FtLease;

/**
 * ft_lease_now: nanoseconds of the clock that leases are measured on
 *
 * Unlike get_clock() it goes on while the host is suspended.
 */
int64_t ft_lease_now(void);

void ft_lease_init(FtLease *l, uint32_t timeout_ms);
void ft_lease_destroy(FtLease *l);

/**
 * ft_lease_sent: a beat is about to be written
 *
 * @now, @age: ft_lease_now() before the write, and the age, ns, of the main
 *     loop that the beat tells
 *
 * Any thread; so are the others.
 */
void ft_lease_sent(FtLease *l, uint64_t counter, int64_t now, int64_t age);

/** ft_lease_echo: the peer has read that beat; unknown counters are ignored */
void ft_lease_echo(FtLease *l, uint64_t counter);

/** ft_lease_proof: the peer has read something that was written at @sent */
void ft_lease_proof(FtLease *l, int64_t sent, int64_t age);

/** ft_lease_valid: the peer cannot have taken over by @now for silence */
bool ft_lease_valid(FtLease *l, int64_t now);

#endif
