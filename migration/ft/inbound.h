/*
 * QEMU-FT: packets that come for the guest while it moves
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Main loop, BQL held, unless said otherwise.
 */
#ifndef MIGRATION_FT_INBOUND_H
#define MIGRATION_FT_INBOUND_H

#include "channel.h"

/**
 * ft_inbound_capture: the guest here gets no packet any more; @ch's peer
 * does
 *
 * Copies are kept until ft_inbound_return() or ft_inbound_forget().
 */
void ft_inbound_capture(FtChannel *ch);

/** ft_inbound_return: it goes on here after all, and gets what was kept */
void ft_inbound_return(void);

/** ft_inbound_forget: drop what is kept; captures nothing any more */
void ft_inbound_forget(void);

/** ft_inbound_take: @sender has a packet for its NIC; true: taken */
bool ft_inbound_take(NetClientState *sender, const struct iovec *iov,
                     int iovcnt);

/**
 * ft_inbound_keep: the primary has passed a packet on
 *
 * In the thread that reads the connection; nobody else uses this file at
 * that time.  False with @errp set: it broke the protocol.
 */
bool ft_inbound_keep(const FtRecord *rec, Error **errp);

/** ft_inbound_nic: whose packet it is; NULL: nobody's here */
NetClientState *ft_inbound_nic(const FtPacket *p);

/** ft_inbound_give: give the guest a packet, if it has that NIC */
void ft_inbound_give(const FtPacket *p);

/** ft_inbound_deliver: give the guest, which runs here now, what was kept */
void ft_inbound_deliver(void);

#endif
