/*
 * QEMU-FT: the keys that say where the arbiter is
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * All functions: main loop, or before it runs.
 */
#ifndef MIGRATION_FT_ARBITER_OPTIONS_H
#define MIGRATION_FT_ARBITER_OPTIONS_H

#include "arbiter-store.h"

/** ft_arbiter_options_apply: take arbiter=, arbiter-*= and host= */
bool ft_arbiter_options_apply(QemuOpts *opts, Error **errp);

/**
 * ft_store_config_from_options: what ft_store_new() needs, now complete
 *
 * @cfg: set to NULL when no arbiter is wanted; not to be freed
 *
 * When all devices and objects exist: the secret and the VM's UUID are
 * looked up here.  False with @errp set: one of them is missing.
 */
bool ft_store_config_from_options(const FtStoreConfig **cfg, Error **errp);

/** ft_host_name: the name of this host for the record; never NULL */
const char *ft_host_name(void);

#endif
