/*
 * QEMU-FT: leaving a host whose way to the network is lost
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Main loop only, with the BQL held.
 */
#ifndef MIGRATION_FT_UPLINK_H
#define MIGRATION_FT_UPLINK_H

#include "qapi/qapi-types-ft.h"
#include "wire.h"

/** ft_uplink_option: take a value of the key uplink= */
bool ft_uplink_option(const char *text, Error **errp);

/**
 * ft_uplink_find: watch the interfaces of all NICs there are
 *
 * Once all devices exist, and whenever one has come or gone.
 */
void ft_uplink_find(void);

/** ft_uplink_record: what the peer has to know, as a record; to be freed */
GByteArray *ft_uplink_record(void);

/**
 * ft_uplink_heard: what the peer has said of its NICs
 *
 * @told: NULL: there is no peer any more
 */
void ft_uplink_heard(const FtUplinks *told);

/** ft_uplink_query: for query-ft; to be freed */
FtUplinkList *ft_uplink_query(void);

#endif
