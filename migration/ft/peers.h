/*
 * QEMU-FT: the addresses where a peer may be
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * All functions: main loop, or before it runs.
 */
#ifndef MIGRATION_FT_PEERS_H
#define MIGRATION_FT_PEERS_H

#include "qapi/qapi-types-sockets.h"
#include "channel.h"

typedef struct FtAddress {
    InetSocketAddress *inet;
    char *text;                 /* as the user wrote it */
} FtAddress;

/**
 * ft_address_parse: host:port, or with @any_host also :port
 *
 * False with @errp set: nothing is allocated.
 */
bool ft_address_parse(FtAddress *a, const char *text, bool any_host,
                      Error **errp);
void ft_address_free(FtAddress *a);

/** ft_peers_add: one more to be dialled after those that are known */
bool ft_peers_add(const char *text, Error **errp);

/** ft_peers_prefer: to be dialled first from now on, known or not */
bool ft_peers_prefer(const char *text, Error **errp);

/**
 * ft_peers_reach: how the other end of @ch is reached where it listens
 *
 * @listen: [addr]:port as it says itself, or NULL
 *
 * host:port, to be freed, or NULL: not at all.
 */
char *ft_peers_reach(const char *listen, FtChannel *ch);

/** ft_peers_current: which one to dial now; NULL: none is known */
const FtAddress *ft_peers_current(void);

/** ft_peers_count: how many are known; ft_peers_at: one of them */
guint ft_peers_count(void);
const FtAddress *ft_peers_at(guint number);

/** ft_peers_current_at: number of ft_peers_current() */
guint ft_peers_current_at(void);

/** ft_peers_next: there was nobody of use at the current one */
void ft_peers_next(void);

#endif
