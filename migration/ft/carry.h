/*
 * QEMU-FT: packets of an epoch, on the primary
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Main loop or any thread with the BQL, unless said otherwise.
 */
#ifndef MIGRATION_FT_CARRY_H
#define MIGRATION_FT_CARRY_H

#include "channel.h"

/**
 * ft_carry_start: output is held from now on: pass packets on to @ch's peer
 *
 * @epoch: where to read the current epoch; valid until ft_carry_stop()
 *
 * Does nothing with carry=off.
 */
void ft_carry_start(FtChannel *ch, const uint64_t *epoch);
void ft_carry_stop(void);

/** ft_carry_released: output of epochs up to @epoch has been let go */
void ft_carry_released(uint64_t epoch);

/**
 * ft_carry_output: append to @out what is to stand behind BEGIN @epoch
 *
 * That epoch has been cut, and the guest runs on.
 */
void ft_carry_output(GByteArray *out, uint64_t epoch);

/** ft_carry_input: @sender has a packet for its NIC, which gets it now */
void ft_carry_input(NetClientState *sender, const struct iovec *iov,
                    int iovcnt);

/** ft_carry_for_many: to more than one receiver, and so everywhere anyway */
bool ft_carry_for_many(const struct iovec *iov, int iovcnt,
                       size_t header_length);

/** ft_carry_tell: the peer goes on now: tell it all that it is to be told */
void ft_carry_tell(void);

FtCarryInfo ft_carry_counts(void);

#endif
