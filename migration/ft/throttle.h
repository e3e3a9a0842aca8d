/*
 * QEMU-FT: a guest that writes faster than the link carries
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef MIGRATION_FT_THROTTLE_H
#define MIGRATION_FT_THROTTLE_H

/**
 * ft_throttle_cut: a cut found @pages dirty, where @limit were wanted
 *
 * @most: as below; 0: it is not the link's fault
 *
 * Main loop.  Slows the guest down, or lets it get faster again.
 */
void ft_throttle_cut(uint64_t pages, uint64_t limit, uint32_t most);

/**
 * ft_throttle_half: half as fast as now, if it may be
 *
 * @most: of its time, that the guest may lose, percent
 *
 * Main loop.  False: it is as slow as it may be.
 */
bool ft_throttle_half(uint32_t most);

/** ft_throttle_stop: full speed, after the sleep that has begun; main loop */
void ft_throttle_stop(void);

/** ft_throttle_percent: of the time, in which the vCPUs do not run now */
uint32_t ft_throttle_percent(void);

#endif
