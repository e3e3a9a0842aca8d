/*
 * QEMU-FT: interrupts of virtio devices that a cut has missed
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * An iothread that has completed a request cannot raise the interrupt itself:
 * it signals an eventfd (virtio_notify_irqfd()), which the main loop reads, or
 * the kernel where it has an irqfd.  Until then the interrupt is in no
 * device's state.  The used ring is: the request is not done again.  So a cut
 * in between records a guest that waits for an interrupt that will never come;
 * and that is the rule, not the exception, since the drain of a cut is what
 * requests under way complete in.
 *
 * When a VM is stopped, virtio takes the notifiers away from the queues, and
 * looks at each a last time.  A cut does not stop the VM.  To look at them there
 * would cost time in each pause, and still miss what the iothread, which goes on,
 * signals a moment later.  It is the survivor who cares: it says on every
 * queue that buffers were used.  Drivers have to take such an interrupt
 * when there was nothing, and look at the ring whenever they get one.
 */
#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "hw/qdev-core.h"
#include "hw/virtio/virtio.h"
#include "hw/virtio/virtio-bus.h"
#include "standard-headers/linux/virtio_config.h"
#include "virtio.h"

#define ISR_QUEUE 1             /* virtio 1.2, 4.1.4.5: "Queue Interrupt" */

static int notify_device(Object *obj, void *opaque)
{
    VirtIODevice *vdev =
        (VirtIODevice *)object_dynamic_cast(obj, TYPE_VIRTIO_DEVICE);
    BusState *bus;
    VirtioBusClass *k;

    if (!vdev || vdev->broken || !(vdev->status & VIRTIO_CONFIG_S_DRIVER_OK)) {
        return 0;
    }
    bus = qdev_get_parent_bus(DEVICE(vdev));
    k = VIRTIO_BUS_GET_CLASS(bus);
    for (int i = 0; k->notify && i < virtio_get_num_queues(vdev); i++) {
        if (virtio_queue_get_desc_addr(vdev, i)) {
            qatomic_or(&vdev->isr, ISR_QUEUE);
            k->notify(bus->parent, virtio_queue_vector(vdev, i));
        }
    }
    return 0;
}

void ft_virtio_notify_all(void)
{
    object_child_foreach_recursive(qdev_get_machine(), notify_device, NULL);
}
