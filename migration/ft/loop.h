/*
 * QEMU-FT: does the main loop turn?
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef MIGRATION_FT_LOOP_H
#define MIGRATION_FT_LOOP_H

/**
 * ft_loop_watch: keep a stamp of the main loop's last turn
 *
 * @tick: called in the main loop @period_ms apart, may be NULL
 *
 * Main loop only.  Calling it again changes both.
 */
void ft_loop_watch(uint32_t period_ms, void (*tick)(void));

/** ft_loop_age_ms: time since the main loop last turned; any thread */
uint32_t ft_loop_age_ms(void);

/**
 * ft_loop_waits: the main loop is between two turns
 *
 * Any other thread that holds the BQL; true until it lets go.  False, too, as
 * long as nobody has called ft_loop_watch().
 */
bool ft_loop_waits(void);

/**
 * ft_loop_longest_turn_us: how long the main loop has kept the BQL at most
 *
 * Since ft_loop_forget_turns(); both in the main loop only.
 */
uint64_t ft_loop_longest_turn_us(void);
void ft_loop_forget_turns(void);

#endif
