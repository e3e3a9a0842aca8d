/*
 * QEMU-FT: fault points
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * QEMU_FT_FAULT=point[:N][,hang] makes this process die by SIGKILL the N-th
 * time it passes the point (the first by default), or makes the thread that
 * passes it stay there for good, with the locks it holds.  Shipped, because
 * only a death at the exact instant shows whether the protocol holds.
 */
#ifndef MIGRATION_FT_FAULT_H
#define MIGRATION_FT_FAULT_H

typedef enum FtFaultPoint {
    FT_FAULT_NONE,
    /* primary */
    FT_FAULT_FIRST_COPY,        /* a piece of the first copy was sent */
    FT_FAULT_CUT_PAUSED,        /* vCPUs stopped, nothing saved yet */
    FT_FAULT_CUT_RESUMED,       /* vCPUs run again, nothing sent yet */
    FT_FAULT_SEND_HALF,         /* half of an epoch is written */
    FT_FAULT_SENT,              /* all of an epoch is written */
    FT_FAULT_ACK_RECEIVED,      /* the ack has come, nothing released */
    FT_FAULT_RELEASE_HALF,      /* one held packet is let go, more wait */
    FT_FAULT_DISK_SYNC,         /* a part of a disk was copied */
    FT_FAULT_DISK_WRITE,        /* a write is in the image and in the log */
    FT_FAULT_SWITCH_CUT,        /* stopped for a switchover, cut, not sent */
    FT_FAULT_SWITCH_READY,      /* all is let go, the peer not told yet */
    FT_FAULT_SWITCH_SAID,       /* the peer has been told to go on */
    FT_FAULT_INPUT_PASSED,      /* one for the guest is kept for the peer */
    /* secondary */
    FT_FAULT_RECV_HALF,         /* an epoch has begun to arrive */
    FT_FAULT_STAGED,            /* an epoch is complete, not acknowledged */
    FT_FAULT_ACKED,             /* acknowledged, not applied */
    FT_FAULT_APPLY_HALF,        /* applied in part */
    FT_FAULT_DISK_APPLIED,      /* one more write is in the image */
    FT_FAULT_SWITCH_HEARD,      /* told to go on, nothing done about it */
    FT_FAULT_SWITCH_LOADED,     /* the device state is loaded, nobody told */
    FT_FAULT__MAX,
} FtFaultPoint;

extern FtFaultPoint ft_fault_armed;

void ft_fault_hit(FtFaultPoint point);

static inline void ft_fault(FtFaultPoint point)
{
    if (unlikely(ft_fault_armed == point)) {
        ft_fault_hit(point);
    }
}

bool ft_fault_last_count(void);

/**
 * ft_fault_next: the next ft_fault(@point) will act
 *
 * For a point that needs something done first, which must not be done when
 * the process is to go on.
 */
static inline bool ft_fault_next(FtFaultPoint point)
{
    return unlikely(ft_fault_armed == point) && ft_fault_last_count();
}

/** ft_fault_init: read the environment; false when it names no point */
bool ft_fault_init(Error **errp);

#endif
