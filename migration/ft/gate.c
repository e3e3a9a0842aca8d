/*
 * QEMU-FT: output commit
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The output rule: nothing the guest says to the outside leaves before the
 * state that produced it can survive the loss of either host.  One queue
 * holds everything, whatever it will leave by, in the order the guest said
 * it; each item carries the number of the epoch that was current then.
 * Epochs are committed in order, so releasing is taking from the front.
 *
 * Everything here runs with the BQL held.  Output is produced by device
 * models in vCPU threads or in the main loop, also from within a release
 * (a back end that answers at once); such output belongs to a later epoch
 * and only lengthens the tail.
 */
#include "qemu/osdep.h"
#include "qemu/iov.h"
#include "qemu/main-loop.h"
#include "qemu/queue.h"
#include "fault.h"
#include "gate.h"
#include "wire.h"

typedef struct FtHeld {
    QTAILQ_ENTRY(FtHeld) next;
    const FtGateOps *ops;
    void *target;
    uint64_t epoch;
    unsigned flags;
    size_t len;
    uint8_t data[];
} FtHeld;

FtGateMode ft_gate_mode;
static QTAILQ_HEAD(, FtHeld) queue = QTAILQ_HEAD_INITIALIZER(queue);
static const uint64_t *current_epoch;
static void (*output_cb)(void);
static FtGateCounts counts;

static void unlink_held(FtHeld *h)
{
    QTAILQ_REMOVE(&queue, h, next);
    counts.held--;
    counts.held_bytes -= h->len;
}

static void free_held(FtHeld *h)
{
    h->ops->unref(h->target);
    g_free(h);
}

void ft_gate_hold_from(const uint64_t *current, void (*on_output)(void))
{
    current_epoch = current;
    output_cb = on_output;
    ft_gate_mode = FT_GATE_HOLD;
}

void ft_gate_open(void)
{
    ft_gate_mode = FT_GATE_PASS;
    ft_gate_release(UINT64_MAX, NULL);
    current_epoch = NULL;
}

void ft_gate_close(void)
{
    FtHeld *h;

    ft_gate_mode = FT_GATE_DROP;
    while ((h = QTAILQ_FIRST(&queue))) {
        unlink_held(h);
        free_held(h);
    }
    current_epoch = NULL;
}

void ft_gate_hold(const FtGateOps *ops, void *target, unsigned flags,
                  const struct iovec *iov, int iovcnt)
{
    size_t len = iov_size(iov, iovcnt);
    FtHeld *h = g_malloc(sizeof(*h) + len);

    assert(bql_locked());
    *h = (FtHeld) {
        .ops = ops,
        .target = target,
        .epoch = *current_epoch,
        .flags = flags,
        .len = len,
    };
    iov_to_buf(iov, iovcnt, 0, h->data, len);
    ops->ref(target);
    QTAILQ_INSERT_TAIL(&queue, h, next);
    counts.held++;
    counts.held_bytes += len;
    output_cb();
}

bool ft_gate_release(uint64_t epoch, bool (*may)(void))
{
    FtHeld *h;

    while ((h = QTAILQ_FIRST(&queue)) && h->epoch <= epoch) {
        if (may && !may()) {
            return false;
        }
        unlink_held(h);
        counts.released++;
        h->ops->release(h->target, h->flags, h->data, h->len);
        free_held(h);
        ft_fault(FT_FAULT_RELEASE_HALF);
    }
    return true;
}

void ft_gate_packets(uint64_t epoch,
                     bool (*show)(const FtPacket *p, void *opaque),
                     void *opaque)
{
    FtHeld *h;

    QTAILQ_FOREACH(h, &queue, next) {
        FtPacket p = { .data = h->data, .length = h->len };

        if (h->epoch == epoch && h->ops->packet &&
            h->ops->packet(h->target, h->flags, &p) && !show(&p, opaque)) {
            break;
        }
    }
}

void ft_gate_forget(void *target)
{
    FtHeld *h, *tmp;

    QTAILQ_FOREACH_SAFE(h, &queue, next, tmp) {
        if (h->target == target) {
            unlink_held(h);
            free_held(h);
        }
    }
}

bool ft_gate_waiting(void)
{
    FtHeld *last = QTAILQ_LAST(&queue);

    return last && current_epoch && last->epoch == *current_epoch;
}

FtGateCounts ft_gate_counts(void)
{
    return counts;
}
