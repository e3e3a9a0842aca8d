/*
 * QEMU-FT: the host's network interfaces, as the kernel tells of them
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef MIGRATION_FT_UPLINK_TABLE_H
#define MIGRATION_FT_UPLINK_TABLE_H

#include "qapi/qapi-types-ft.h"

typedef struct FtUplinkTable FtUplinkTable;

/* What a datagram held, as bits */
#define FT_UPLINK_CHANGED 1u    /* an interface is not what it was */
#define FT_UPLINK_DONE 2u       /* the list that was asked for is complete */
#define FT_UPLINK_AGAIN 4u      /* it changed meanwhile: ask again */
#define FT_UPLINK_ERROR 8u      /* the kernel refuses to tell */

/* What an interface had once, so that its loss shows; zero at first */
typedef struct FtUplinkPast {
    bool seen;                  /* it existed */
    bool member;                /* of a bridge or the like */
    bool outward;               /* the bridge led out of this host */
} FtUplinkPast;

FtUplinkTable *ft_uplink_table_new(void);
void ft_uplink_table_free(FtUplinkTable *t);

/**
 * ft_uplink_table_expect: a complete list is about to come
 *
 * Interfaces that are not in it are forgotten when it is done.
 */
void ft_uplink_table_expect(FtUplinkTable *t);

/**
 * ft_uplink_table_feed: take one datagram of a NETLINK_ROUTE socket
 *
 * Returns bits.  What is malformed is skipped.
 */
unsigned ft_uplink_table_feed(FtUplinkTable *t, const void *buf, size_t len);

/**
 * ft_uplink_table_judge: does the tap @name lead anywhere?
 *
 * @ports: look at the ports of its bridge, too
 *
 * Unknown when there is no such interface.
 */
FtUplinkState ft_uplink_table_judge(const FtUplinkTable *t, const char *name,
                                    bool ports, FtUplinkPast *past);

/**
 * ft_uplink_table_plain: is this interface up, with carrier?
 *
 * Unknown when it has never existed, down when it does not any more.
 */
FtUplinkState ft_uplink_table_plain(const FtUplinkTable *t, const char *name,
                                    FtUplinkPast *past);

/** ft_uplink_table_has: interface @name exists and has this MAC address */
bool ft_uplink_table_has(const FtUplinkTable *t, const char *name,
                         const uint8_t mac[6]);

#endif
