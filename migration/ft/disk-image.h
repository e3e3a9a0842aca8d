/*
 * QEMU-FT: the secondary's images, to be written
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef MIGRATION_FT_DISK_IMAGE_H
#define MIGRATION_FT_DISK_IMAGE_H

#include "disk.h"
#include "disk-apply.h"

/**
 * ft_images_lock: activate the images of @disks, which takes their locks
 *
 * Main loop, BQL held.  False with @errp set, naming the drive; may be tried
 * again.
 */
bool ft_images_lock(const FtDisks *disks, Error **errp);

/**
 * ft_images_add: make the images of @disks, locked before, @a's targets
 *
 * As ft_images_lock(); on failure @a is good for nothing but
 * ft_apply_free().
 */
bool ft_images_add(FtApply *a, const FtDisks *disks, Error **errp);

#endif
