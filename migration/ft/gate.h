/*
 * QEMU-FT: output commit
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef MIGRATION_FT_GATE_H
#define MIGRATION_FT_GATE_H

struct FtPacket;

typedef enum FtGateMode {
    FT_GATE_PASS,               /* unprotected: everything goes out at once */
    FT_GATE_HOLD,               /* protected: wait for the epoch's ack */
    FT_GATE_DROP,               /* fenced: nothing goes out ever again */
} FtGateMode;

/*
 * How held output of one kind goes out.  Called in the main loop with the
 * BQL held.
 */
typedef struct FtGateOps {
    /*
     * Let @data go; cannot fail: what cannot be delivered is lost as it
     * would have been without the gate
     */
    void (*release)(void *target, unsigned flags,
                    const uint8_t *data, size_t len);
    /* Take and give back what keeps @target alive while output is held */
    void (*ref)(void *target);
    void (*unref)(void *target);
    /*
     * Say whose packet it is, but for its bytes; the name stays with @target.
     * False, or NULL: it is nobody's that the peer knows
     */
    bool (*packet)(void *target, unsigned flags, struct FtPacket *p);
} FtGateOps;

/** ft_gate_mode: what becomes of output; any thread with the BQL */
extern FtGateMode ft_gate_mode;

/**
 * ft_gate_hold_from: hold output from now on
 *
 * @current: where to read the epoch that output now belongs to; must stay
 *     valid until the gate is opened or closed
 * @on_output: called after each packet that was held, with the BQL held, in
 *     any thread
 */
void ft_gate_hold_from(const uint64_t *current, void (*on_output)(void));

/** ft_gate_open: let everything go, and whatever comes later too */
void ft_gate_open(void);

/** ft_gate_close: drop everything, and whatever comes later too */
void ft_gate_close(void);

/** ft_gate_hold: keep a copy of @iov; only in mode FT_GATE_HOLD */
void ft_gate_hold(const FtGateOps *ops, void *target, unsigned flags,
                  const struct iovec *iov, int iovcnt);

/**
 * ft_gate_release: let go what belongs to epochs up to @epoch, in order
 *
 * @may: asked before each item, so that as little as possible lies between
 *     the question and the system call; NULL: yes
 *
 * False: it said no, and the rest is still held.
 */
bool ft_gate_release(uint64_t epoch, bool (*may)(void));

/**
 * ft_gate_packets: show the packets of @epoch, in order
 *
 * Ends early when @show returns false.
 */
void ft_gate_packets(uint64_t epoch,
                     bool (*show)(const struct FtPacket *p, void *opaque),
                     void *opaque);

/** ft_gate_forget: drop what is held for @target, which goes away */
void ft_gate_forget(void *target);

/** ft_gate_waiting: output is held that no cut has covered yet */
bool ft_gate_waiting(void);

typedef struct FtGateCounts {
    uint64_t held, held_bytes, released;
} FtGateCounts;

FtGateCounts ft_gate_counts(void);

/* gate-net.c: put a gate on every network back end that has a NIC */
void ft_gate_net_attach(void);

/**
 * ft_gate_net_say: let out a packet that the guest said on another host
 *
 * Dropped when there is no such NIC, or with another virtio header.
 */
void ft_gate_net_say(const struct FtPacket *p);

/*
 * gate-console.c: find the guest's consoles; @dev is about to go away, what
 * it said is still to be let go
 */
void ft_gate_console_attach(void);
void ft_gate_console_detach(DeviceState *dev);

#endif
