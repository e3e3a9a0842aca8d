/*
 * QEMU-FT: the primary's further links to its secondary
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * All functions: main loop.
 */
#ifndef MIGRATION_FT_LINK_DIAL_H
#define MIGRATION_FT_LINK_DIAL_H

#include "channel.h"

/**
 * ft_link_dial_offer: the current peer has answered on @ch
 *
 * Nothing happens when no other address is known.  Otherwise what is to be
 * sent behind the HELLO is appended to it.
 */
void ft_link_dial_offer(FtChannel *ch, GByteArray *hello);

/**
 * ft_link_dial_turn: dial the links that are missing
 *
 * To be called several times within the time-out.  @ch: NULL when there is
 * no connection.
 */
void ft_link_dial_turn(FtChannel *ch);

#endif
