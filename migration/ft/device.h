/*
 * QEMU-FT: saving and loading device state
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef MIGRATION_FT_DEVICE_H
#define MIGRATION_FT_DEVICE_H

/**
 * ft_device_save: the state of all devices, in upstream's format
 *
 * @state: what is in it is replaced; to be used again, since it keeps its
 *     memory
 * @check: NULL; or compare with what is written without vmstate-write.c,
 *     report and count a difference, and set the time that took, ns
 *
 * Main loop, BQL held, no vCPU running, block devices drained.  Whether or
 * not the VM's clock runs, the state holds the clock's value and the clock
 * goes on undisturbed.  False with @errp set, and @state empty, when a
 * device fails to save.
 */
bool ft_device_save(GByteArray *state, int64_t *check, Error **errp);

/**
 * ft_device_load: load what ft_device_save() wrote
 *
 * Main loop, BQL held; a fresh process that has not run yet, guest RAM in
 * place.  False with @errp set when the state does not fit.
 */
bool ft_device_load(const uint8_t *state, size_t len, Error **errp);

/**
 * ft_device_differs: name of the first section in which two states differ
 *
 * Ignores what may differ between a state and its reload.  NULL when they
 * are the same; to be freed by the caller.
 */
char *ft_device_differs(const uint8_t *a, size_t alen,
                        const uint8_t *b, size_t blen);

#endif
