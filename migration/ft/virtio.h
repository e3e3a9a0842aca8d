/*
 * QEMU-FT: interrupts of virtio devices that a cut has missed
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef MIGRATION_FT_VIRTIO_H
#define MIGRATION_FT_VIRTIO_H

/**
 * ft_virtio_notify_all: say on each queue that is in use that buffers came back
 *
 * After a takeover, the vCPUs running or about to; main loop.
 */
void ft_virtio_notify_all(void);

#endif
